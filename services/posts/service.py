"""Rules of posts, likes and comments, and the cache of post bodies.

The cache holds the JSON of a `Post`, its counts included, its author's names left out. A new post
is written through; an edit, a like, a comment or a deletion drops the entry after its commit, and
what was read before that commit cannot fill it again (`Cache.fill_many`). An entry outlives the
truth, by its time to live at most, only when the drop itself was lost: Redis was away, or this
process ended between commit and drop.

A private author's posts, with all that is below them, are for followers and the author. Whether
somebody follows is asked of the social service for each such read, never kept, so that an unfollow
or a block counts at once; without an answer there is no post. Everyone else's posts cost nothing.
The lists of all posts, newest and popular, hold nothing private but the reader's own. A batch is
not for a reader: its caller is told which authors are private.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import orjson

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.internal import (
    FollowStatus,
    Imported,
    ImportPosts,
    PostBatch,
    PostsByIds,
)
from pulse_sdk.contract.posts import (
    Comment,
    CreateComment,
    CreatePost,
    EditPost,
    Like,
    LikeStatus,
    PopularQuery,
    Post,
    PostsQuery,
)
from services.kit.auth import Identity
from services.kit.blocks import Blocks
from services.kit.cache import Cache
from services.kit.errors import ServiceError
from services.kit.paging import decode_cursor, id_cursor, invalid_cursor, page_of
from services.kit.peers import Peers
from services.posts.authors import Author, Authors, key_of
from services.posts.comments import CommentStore
from services.posts.store import PostStore, Stored

_ALL = "all"
"""The one key of the popular posts."""

# A cached body begins {"id":"…","author_id":"…" and ends "author":null}, as the contract orders it.
_AUTHOR_ID = slice(58, 94)
_UNNAMED = slice(None, -len(b"null}"))


class PostsService:
    """Posts, likes and comments."""

    def __init__(
        self,
        store: PostStore,
        comments: CommentStore,
        authors: Authors,
        blocks: Blocks,
        posts: Cache,
        popular: Cache,
        peers: Peers,
    ) -> None:
        self._store = store
        self._comments = comments
        self._authors = authors
        self._blocks = blocks
        self._posts = posts
        self._popular = popular
        self._peers = peers

    async def create(self, author: Identity, new: CreatePost, key: str | None) -> tuple[bytes, int]:
        """Make a post; with a key that was used before, the post it made then.

        It is the JSON of a `Post`, and its version.

        Raises:
            ServiceError: 409 `idempotency_key_reused`, the key was used for another text.
        """
        post, made = await self._store.insert(author.user_id, new.text, key)
        if post.version == 1 and post.text != new.text:  # what was edited is not compared
            raise _key_reused("post")
        body = _json(post)
        if made:
            # It may have been liked, hence dropped, since its commit: what is there stays.
            await self._posts.fill_many({post.id: body})
        return _by(await self._authors.one(author.user_id), body), post.version

    async def get(self, reader: Identity, post_id: UUID) -> Post:
        """A post.

        Raises:
            ServiceError: 404 `post_not_found`.
        """
        return await self._named(await self._seen(reader, post_id))

    async def newest(self, reader: Identity, query: PostsQuery) -> bytes:
        """The newest posts, of one author when one is given: the JSON of a `Page[Post]`."""
        before, count = id_cursor(query.cursor), query.limit + 1
        if query.author_id is None:
            found = await self._store.newest(reader.user_id, before, count)
        elif await self._may_read(reader, query.author_id):
            found = await self._store.by_author(query.author_id, before, count)
        else:
            found = []
        keys = {author_id: key_of(author_id) for author_id in {post.author_id for post in found}}
        authors = await self._authors.many(keys.values())
        names = {author_id: orjson.Fragment(authors[key].json) for author_id, key in keys.items()}
        page = page_of(found, query.limit, _id)
        items = [{**post._asdict(), "author": names[post.author_id]} for post in page.items]
        told = {"items": items, "next_cursor": page.next_cursor}
        return orjson.dumps(told, option=orjson.OPT_UTC_Z)

    async def popular(self, query: PopularQuery) -> Page[Post]:
        """The most popular recent posts, ranked anew each half hour."""
        ranked = await self._popular.get_or_load(_ALL, PostsByIds, self._rank)
        if not ranked.ids:
            await self._popular.drop(_ALL)  # the first like need not wait
        batch = PostBatch.model_validate_json(await self.batch(ranked))
        private = set(batch.private_author_ids)
        posts = [post for post in batch.items if post.author_id not in private]
        return Page(items=posts[: query.limit])

    async def _rank(self) -> PostsByIds:
        return PostsByIds(ids=await self._store.popular())

    async def edit(
        self, caller: Identity, post_id: UUID, change: EditPost, versions: frozenset[int] | None
    ) -> Post:
        """Change a post of the caller's own, if it has one of these versions, when any are given.

        Raises:
            ServiceError: 403 `post_not_yours`, 404 `post_not_found`, 412 `stale`.
        """
        await self._own(caller, post_id)
        post = await self._store.edit(post_id, change.text, versions)
        await self._posts.drop(post_id)
        return await self._named(post)

    async def delete(self, caller: Identity, post_id: UUID) -> None:
        """Delete a post of the caller's own, with its likes and comments.

        Raises:
            ServiceError: 403 `post_not_yours`, 404 `post_not_found`.
        """
        await self._store.delete(await self._own(caller, post_id))
        await self._posts.drop(post_id)

    async def like(self, caller: Identity, post_id: UUID) -> None:
        """Like a post; liking it again changes nothing.

        Raises:
            ServiceError: 404 `post_not_found`; 403 `blocked`, the author and the caller have
                blocked one another.
        """
        post = await self._seen(caller, post_id)
        await self._at_peace(caller, {post.author_id})
        if await self._store.like(post, caller.user_id):
            await self._posts.drop(post_id)

    async def unlike(self, caller: Identity, post_id: UUID) -> None:
        """Take a like back; without one nothing changes.

        Raises:
            ServiceError: 404 `post_not_found`.
        """
        await self._seen(caller, post_id)
        if await self._store.unlike(post_id, caller.user_id):
            await self._posts.drop(post_id)

    async def liked(self, caller: Identity, post_id: UUID) -> LikeStatus:
        """Whether the caller likes a post.

        Raises:
            ServiceError: 404 `post_not_found`.
        """
        await self._seen(caller, post_id)
        return LikeStatus(liked=await self._store.liked(post_id, caller.user_id))

    async def likes(self, reader: Identity, post_id: UUID, query: PageQuery) -> Page[Like]:
        """Who likes a post, latest first.

        Raises:
            ServiceError: 404 `post_not_found`.
        """
        before = _like_cursor(query.cursor)
        await self._seen(reader, post_id)
        found = await self._store.likes(post_id, before, query.limit + 1)
        people = await self._authors.many({key_of(like.user_id) for like in found})
        named = [
            like.model_copy(update={"user": people[key_of(like.user_id)].names}) for like in found
        ]
        return page_of(
            named, query.limit, lambda like: f"{like.liked_at.isoformat()} {like.user_id}"
        )

    async def comment(
        self, author: Identity, post_id: UUID, new: CreateComment, key: str | None
    ) -> Comment:
        """Comment on a post or reply; with a key that was used before, the comment it made then.

        Raises:
            ServiceError: 404 `post_not_found` or `comment_not_found`; 409 `reply_too_deep` or
                `idempotency_key_reused`, the key was used for something else; 403
                `blocked`, one of those who would be answered and the caller have blocked one
                another.
        """
        post = await self._seen(author, post_id)
        parent, answered = None, {post.author_id}
        if new.parent_id is not None:
            parent = await self._comments.by_id(post_id, new.parent_id)
            answered.add(parent.author_id)
        await self._at_peace(author, answered)
        comment, made = await self._comments.insert(post, author.user_id, new.text, parent, key)
        if made:
            await self._posts.drop(post_id)
        elif (comment.text, comment.parent_id) != (new.text, new.parent_id):
            raise _key_reused("comment")
        (named,) = await self._all_named([comment])
        return named

    async def comments(self, reader: Identity, post_id: UUID, query: PageQuery) -> Page[Comment]:
        """The comments on a post itself, newest first.

        Raises:
            ServiceError: 404 `post_not_found`.
        """
        before = id_cursor(query.cursor)
        await self._seen(reader, post_id)
        found = await self._comments.newest(post_id, None, before, query.limit + 1)
        return page_of(await self._all_named(found), query.limit, _id)

    async def replies(
        self, reader: Identity, post_id: UUID, comment_id: UUID, query: PageQuery
    ) -> Page[Comment]:
        """The replies to a comment, newest first.

        Raises:
            ServiceError: 404 `post_not_found` or `comment_not_found`.
        """
        before = id_cursor(query.cursor)
        await self._seen(reader, post_id)
        await self._comments.by_id(post_id, comment_id)
        found = await self._comments.newest(post_id, comment_id, before, query.limit + 1)
        return page_of(await self._all_named(found), query.limit, _id)

    async def delete_comment(self, caller: Identity, post_id: UUID, comment_id: UUID) -> None:
        """Delete a comment with all replies below it: the caller's own, or any on their post.

        Raises:
            ServiceError: 403 `comment_not_yours`, 404 `post_not_found` or `comment_not_found`,
                409 `thread_busy`.
        """
        post = await self._seen(caller, post_id)
        comment = await self._comments.by_id(post_id, comment_id)
        if caller.user_id not in {comment.author_id, post.author_id}:
            detail = "Only its author or the post's may delete a comment."
            raise ServiceError.forbidden("comment_not_yours", detail)
        await self._comments.delete(post_id, comment_id)
        await self._posts.drop(post_id)

    async def batch(self, wanted: PostsByIds) -> bytes:
        """The posts that exist, in the order asked for: one look into the cache for all.

        It is the JSON of a `PostBatch`, put together from what is kept as JSON.
        """
        entries = dict(zip(wanted.ids, await self._posts.get_many(wanted.ids), strict=True))
        missing = [post_id for post_id, entry in entries.items() if entry is None]
        if missing:
            loaded = {post.id: _json(post) for post in await self._store.by_ids(missing)}
            entries |= loaded
            await self._posts.fill_many(loaded)
        found = [entry for entry in entries.values() if entry is not None]
        authors = await self._authors.many_if_possible({entry[_AUTHOR_ID] for entry in found})
        items = b",".join(_by(authors[entry[_AUTHOR_ID]], entry) for entry in found)
        private = b",".join(b'"%b"' % key for key, author in authors.items() if author.private)
        return b'{"private_author_ids":[%b],"items":[%b]}' % (private, items)

    async def import_posts(self, posts: ImportPosts) -> Imported:
        """Add the posts that are not there yet, and authors' names."""
        await self._authors.import_authors(posts.authors)
        return Imported(imported=await self._store.import_posts(posts.posts))

    async def _seen(self, reader: Identity, post_id: UUID) -> Post:
        """A post without its author's names.

        Raises:
            ServiceError: 404, there is none or not for this reader; 503, that cannot be told now.
        """
        post = await self._posts.get_or_load(post_id, Post, lambda: self._store.by_id(post_id))
        if not await self._may_read(reader, post.author_id):
            raise ServiceError.not_found("post")
        return post

    async def _own(self, caller: Identity, post_id: UUID) -> Post:
        post = await self._seen(caller, post_id)
        if post.author_id != caller.user_id:
            raise ServiceError.forbidden("post_not_yours", "Only its author may change a post.")
        return post

    async def _at_peace(self, caller: Identity, others: set[UUID]) -> None:
        if await self._blocks.between(caller.user_id, others):
            raise ServiceError.forbidden("blocked", "One of you has blocked the other.")

    async def _may_read(self, reader: Identity, author_id: UUID) -> bool:
        if author_id == reader.user_id or not (await self._authors.one(author_id)).private:
            return True
        path = f"/internal/follows/{reader.user_id}/{author_id}"
        status = await self._peers.call("social", path, FollowStatus.model_validate_json)
        return status.follows

    async def _named(self, post: Post) -> Post:
        author = await self._authors.one(post.author_id)
        return post.model_copy(update={"author": author.names})

    async def _all_named(self, comments: list[Comment]) -> list[Comment]:
        authors = await self._authors.many({key_of(comment.author_id) for comment in comments})
        return [
            comment.model_copy(update={"author": authors[key_of(comment.author_id)].names})
            for comment in comments
        ]


def _key_reused(what: str) -> ServiceError:
    detail = f"This Idempotency-Key was used for another {what}."
    return ServiceError.conflict("idempotency_key_reused", detail)


def _json(post: Stored) -> bytes:
    """What the cache holds of a post."""
    return orjson.dumps({**post._asdict(), "author": None}, option=orjson.OPT_UTC_Z)


def _by(author: Author, body: bytes) -> bytes:
    """A post as the cache holds it, with its author's names put in."""
    return b"%b%b}" % (body[_UNNAMED], author.json)


def _id(item: Stored | Comment) -> str:
    return str(item.id)


def _like_cursor(cursor: str | None) -> Like | None:
    """The like that a list of likes continues after.

    Raises:
        ServiceError: 422, it is not a cursor of such a list.
    """
    if cursor is None:
        return None
    try:
        liked_at, _, user_id = decode_cursor(cursor).partition(" ")
        return Like(user_id=UUID(user_id), liked_at=datetime.fromisoformat(liked_at))
    except ValueError:
        raise invalid_cursor() from None

"""Rules of posts, likes and comments, and the cache of post bodies.

The cache holds the JSON of a `Post`, its counts included. A new post is written through; a like, a
comment or a deletion drops the entry after its commit, and what was read before that commit cannot
fill it again (`Cache.fill_many`). An entry outlives the truth, by its time to live at most, only
when the drop itself was lost: Redis was away, or this process ended between commit and drop.
"""

from __future__ import annotations

from uuid import UUID

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.internal import Imported, ImportPosts, PostBatch, PostsByIds
from pulse_sdk.contract.posts import Comment, CreateComment, CreatePost, Post, PostsQuery
from services.kit.auth import Identity
from services.kit.cache import Cache
from services.kit.errors import ServiceError
from services.kit.paging import id_cursor, page_of
from services.posts.store import PostStore


class PostsService:
    """Posts, likes and comments."""

    def __init__(self, store: PostStore, posts: Cache) -> None:
        self._store = store
        self._posts = posts

    async def create(self, author: Identity, new: CreatePost, key: str | None) -> Post:
        """Make a post; with a key that was used before, the post it made then."""
        post, made = await self._store.insert(author.user_id, new.text, key)
        if made:
            # Not set_many: the post may have been liked, hence dropped, since its commit.
            await self._posts.fill_many({post.id: _json(post)})
        return post

    async def get(self, post_id: UUID) -> Post:
        """A post.

        Raises:
            ServiceError: 404 `post_not_found`.
        """
        return await self._posts.get_or_load(post_id, Post, lambda: self._store.by_id(post_id))

    async def newest(self, query: PostsQuery) -> Page[Post]:
        """The newest posts, of one author when one is given."""
        before = id_cursor(query.cursor)
        found = await self._store.newest(query.author_id, before, query.limit + 1)
        return page_of(found, query.limit, _id)

    async def delete(self, caller: Identity, post_id: UUID) -> None:
        """Delete a post of the caller's own, with its likes and comments.

        Raises:
            ServiceError: 403 `post_not_yours`, 404 `post_not_found`.
        """
        post = await self.get(post_id)
        if post.author_id != caller.user_id:
            raise ServiceError.forbidden("post_not_yours", "Only its author may delete a post.")
        await self._store.delete(post)
        await self._posts.drop(post_id)

    async def like(self, caller: Identity, post_id: UUID) -> None:
        """Like a post; liking it again changes nothing.

        Raises:
            ServiceError: 404 `post_not_found`.
        """
        if await self._store.like(await self.get(post_id), caller.user_id):
            await self._posts.drop(post_id)

    async def unlike(self, caller: Identity, post_id: UUID) -> None:
        """Take a like back; without one nothing changes.

        Raises:
            ServiceError: 404 `post_not_found`.
        """
        if await self._store.unlike(post_id, caller.user_id):
            await self._posts.drop(post_id)

    async def comment(
        self, author: Identity, post_id: UUID, new: CreateComment, key: str | None
    ) -> Comment:
        """Comment on a post; with a key that was used before, the comment it made then.

        Raises:
            ServiceError: 404 `post_not_found`.
        """
        post = await self.get(post_id)
        comment, made = await self._store.comment(post, author.user_id, new.text, key)
        if made:
            await self._posts.drop(post_id)
        return comment

    async def comments(self, post_id: UUID, query: PageQuery) -> Page[Comment]:
        """The comments under a post, newest first.

        Raises:
            ServiceError: 404 `post_not_found`.
        """
        before = id_cursor(query.cursor)
        await self.get(post_id)
        found = await self._store.comments(post_id, before, query.limit + 1)
        return page_of(found, query.limit, _id)

    async def batch(self, wanted: PostsByIds) -> PostBatch:
        """The posts that exist, in the order asked for: one look into the cache for all."""
        entries = dict(zip(wanted.ids, await self._posts.get_many(wanted.ids), strict=True))
        missing = [post_id for post_id, entry in entries.items() if entry is None]
        if missing:
            loaded = {post.id: _json(post) for post in await self._store.by_ids(missing)}
            entries |= loaded
            await self._posts.fill_many(loaded)
        found = b",".join(entry for entry in entries.values() if entry is not None)
        return PostBatch.model_validate_json(b'{"items":[%b]}' % found)

    async def import_posts(self, posts: ImportPosts) -> Imported:
        """Add the posts that are not there yet."""
        return Imported(imported=await self._store.import_posts(posts.posts))


def _json(post: Post) -> bytes:
    return post.model_dump_json().encode()


def _id(item: Post | Comment) -> str:
    return str(item.id)

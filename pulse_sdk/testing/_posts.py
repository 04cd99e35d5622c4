"""Posts, likes and comments of the fake."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.posts import (
    MAX_REPLY_DEPTH,
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
from pulse_sdk.contract.problems import Refusal
from pulse_sdk.testing._kit import Endpoint, Received, page
from pulse_sdk.testing._world import World, moment

_POPULAR_DAYS = timedelta(days=7)


def create(world: World, got: Received[CreatePost, None]) -> Post:
    """Post a text."""
    key = ("post", got.caller, got.key)
    made = world.posts.get(world.remembered(*key) or UUID(int=0))
    if made is not None and made.version == 1 and made.text != got.body.text:
        raise _key_reused("post")
    if made is None:
        made = Post(
            id=world.new_id(),
            author_id=got.caller,
            text=got.body.text,
            like_count=0,
            comment_count=0,
            created_at=world.now(),
        )
        world.posts[made.id] = made
        world.remember(made.id, *key)
    return named(world, made)


def newest(world: World, got: Received[None, PostsQuery]) -> Page[Post]:
    """The newest posts, of one author when one is given."""
    author_id = got.query.author_id
    if author_id is not None:
        readable = world.may_read(got.caller, author_id)
        found = [p for p in world.posts.values() if p.author_id == author_id and readable]
    else:
        found = [p for p in world.posts.values() if p.author_id == got.caller or _public(world, p)]
    return listed(world, found, got.query)


def popular(world: World, got: Received[None, PopularQuery]) -> Page[Post]:
    """The most popular recent posts: votes against age."""
    now = world.now()

    def rank(post: Post) -> float:
        votes = post.like_count + 2 * post.comment_count
        hours = (now - post.created_at).total_seconds() / 3600
        return -votes / float((hours + 2) ** 1.5)

    found = [
        post
        for post in world.posts.values()
        if post.like_count + post.comment_count
        and now - post.created_at < _POPULAR_DAYS
        and _public(world, post)
    ]
    return Page(items=[named(world, p) for p in sorted(found, key=rank)[: got.query.limit]])


def get(world: World, got: Received[None, None]) -> Post:
    """One post."""
    return named(world, _seen(world, got))


def edit(world: World, got: Received[EditPost, None]) -> Post:
    """Change a post of the caller's own."""
    post = _own(world, got)
    got.check_version("post", post.version)
    change = {"text": got.body.text, "edited_at": world.now(), "version": post.version + 1}
    world.posts[post.id] = post = post.model_copy(update=change)
    return named(world, post)


def delete(world: World, got: Received[None, None]) -> None:
    """Delete a post of the caller's own."""
    post = _own(world, got)
    del world.posts[post.id]
    world.likes.pop(post.id, None)
    for comment in _comments_of(world, post.id):
        del world.comments[comment.id]


def like(world: World, got: Received[None, None]) -> None:
    """Like a post."""
    post = _seen(world, got)
    _at_peace(world, got.caller, [post.author_id])
    if got.caller not in world.likes[post.id]:
        world.likes[post.id][got.caller] = world.now()
        _count(world, post, likes=1)
        world.notify([post.author_id], "like", got.caller, {"post_id": post.id})


def unlike(world: World, got: Received[None, None]) -> None:
    """Take a like back."""
    post = _seen(world, got)
    if world.likes[post.id].pop(got.caller, None) is not None:
        _count(world, post, likes=-1)


def liked(world: World, got: Received[None, None]) -> LikeStatus:
    """Whether the caller likes a post."""
    return LikeStatus(liked=got.caller in world.likes[_seen(world, got).id])


def likes(world: World, got: Received[None, PageQuery]) -> Page[Like]:
    """Who likes a post, latest first."""
    found = [
        Like(user_id=user_id, liked_at=at, user=world.names(user_id))
        for user_id, at in world.likes[_seen(world, got).id].items()
    ]
    return page(found, got.query, lambda x: f"{moment(x.liked_at)} {x.user_id}", newest_first=True)


def comment(world: World, got: Received[CreateComment, None]) -> Comment:
    """Comment on a post, or reply to a comment there."""
    post, new = _seen(world, got), got.body
    parent = None if new.parent_id is None else _comment(world, post.id, new.parent_id)
    _at_peace(world, got.caller, [post.author_id, *([parent.author_id] if parent else ())])
    depth = 0 if parent is None else parent.depth + 1
    if depth > MAX_REPLY_DEPTH:
        detail = f"Replies are nested {MAX_REPLY_DEPTH} deep at most; reply further up."
        raise Refusal.conflict("reply_too_deep", detail)
    key = ("comment", post.id, got.caller, got.key)
    made = world.comments.get(world.remembered(*key) or UUID(int=0))
    if made is not None:
        if (made.text, made.parent_id) != (new.text, new.parent_id):
            raise _key_reused("comment")
        return _named(world, made)
    made = Comment(
        id=world.new_id(),
        post_id=post.id,
        author_id=got.caller,
        text=new.text,
        created_at=world.now(),
        parent_id=new.parent_id,
        depth=depth,
    )
    world.comments[made.id] = made
    world.remember(made.id, *key)
    _count(world, post, comments=1)
    _count_replies(world, made, 1)
    about = {"post_id": post.id, "comment_id": made.id}
    if parent is not None:
        world.notify([parent.author_id], "reply", got.caller, about)
    if parent is None or parent.author_id != post.author_id:
        world.notify([post.author_id], "comment", got.caller, about)
    return _named(world, made)


def comments(world: World, got: Received[None, PageQuery]) -> Page[Comment]:
    """The comments on a post itself, newest first."""
    return _replies_to(world, _seen(world, got).id, None, got.query)


def replies(world: World, got: Received[None, PageQuery]) -> Page[Comment]:
    """The replies to a comment, newest first."""
    parent = _comment(world, _seen(world, got).id, got.id("comment_id"))
    return _replies_to(world, parent.post_id, parent.id, got.query)


def delete_comment(world: World, got: Received[None, None]) -> None:
    """Delete a comment with all replies below it."""
    post = _seen(world, got)
    comment = _comment(world, post.id, got.id("comment_id"))
    if got.caller not in {comment.author_id, post.author_id}:
        detail = "Only its author or the post's may delete a comment."
        raise Refusal.forbidden("comment_not_yours", detail)
    gone = {comment.id}
    # Replies are made after what they reply to.
    for one in _comments_of(world, post.id):
        if one.id in gone or one.parent_id in gone:
            gone.add(one.id)
            del world.comments[one.id]
    _count(world, post, comments=-len(gone))
    _count_replies(world, comment, -1)


def named(world: World, post: Post) -> Post:
    """A post with its author's names."""
    return post.model_copy(update={"author": world.names(post.author_id)})


def listed(world: World, posts: list[Post], query: PageQuery) -> Page[Post]:
    """A page of posts, newest first."""
    found = page(posts, query, lambda post: str(post.id), newest_first=True)
    return Page(items=[named(world, p) for p in found.items], next_cursor=found.next_cursor)


def _key_reused(what: str) -> Refusal:
    detail = f"This Idempotency-Key was used for another {what}."
    return Refusal.conflict("idempotency_key_reused", detail)


def _at_peace(world: World, caller: UUID, others: list[UUID]) -> None:
    if world.blocked(caller, others):
        raise Refusal.forbidden("blocked", "One of you has blocked the other.")


def _public(world: World, post: Post) -> bool:
    author = world.users.get(post.author_id)
    return author is None or author.visibility == "public"


def _seen(world: World, got: Received[object, object]) -> Post:
    post = world.posts.get(got.id("post_id"))
    if post is None or not world.may_read(got.caller, post.author_id):
        raise Refusal.not_found("post")
    return post


def _own(world: World, got: Received[object, object]) -> Post:
    post = _seen(world, got)
    if post.author_id != got.caller:
        raise Refusal.forbidden("post_not_yours", "Only its author may change a post.")
    return post


def _count(world: World, post: Post, *, likes: int = 0, comments: int = 0) -> None:
    counts = {
        "like_count": post.like_count + likes,
        "comment_count": post.comment_count + comments,
    }
    world.posts[post.id] = post.model_copy(update=counts)


def _count_replies(world: World, comment: Comment, by: int) -> None:
    if comment.parent_id is not None:
        parent = world.comments[comment.parent_id]
        change = {"reply_count": parent.reply_count + by}
        world.comments[parent.id] = parent.model_copy(update=change)


def _comments_of(world: World, post_id: UUID) -> list[Comment]:
    return [comment for comment in world.comments.values() if comment.post_id == post_id]


def _comment(world: World, post_id: UUID, comment_id: UUID) -> Comment:
    comment = world.comments.get(comment_id)
    if comment is None or comment.post_id != post_id:
        raise Refusal.not_found("comment")
    return comment


def _replies_to(
    world: World, post_id: UUID, parent_id: UUID | None, query: PageQuery
) -> Page[Comment]:
    found = [
        _named(world, comment)
        for comment in _comments_of(world, post_id)
        if comment.parent_id == parent_id
    ]
    return page(found, query, lambda comment: str(comment.id), newest_first=True)


def _named(world: World, comment: Comment) -> Comment:
    return comment.model_copy(update={"author": world.names(comment.author_id)})


_POSTS = "/api/v1/posts"
_POST = f"{_POSTS}/{{post_id}}"
_COMMENTS = f"{_POST}/comments"
_COMMENT = f"{_COMMENTS}/{{comment_id}}"

ENDPOINTS = (
    Endpoint("POST", _POSTS, create, body=CreatePost, status=201),
    Endpoint("GET", _POSTS, newest, query=PostsQuery),
    Endpoint("GET", f"{_POSTS}/popular", popular, query=PopularQuery),
    Endpoint("GET", _POST, get),
    Endpoint("PATCH", _POST, edit, body=EditPost),
    Endpoint("DELETE", _POST, delete),
    Endpoint("PUT", f"{_POST}/like", like),
    Endpoint("DELETE", f"{_POST}/like", unlike),
    Endpoint("GET", f"{_POST}/like", liked),
    Endpoint("GET", f"{_POST}/likes", likes, query=PageQuery),
    Endpoint("POST", _COMMENTS, comment, body=CreateComment, status=201),
    Endpoint("GET", _COMMENTS, comments, query=PageQuery),
    Endpoint("DELETE", _COMMENT, delete_comment),
    Endpoint("GET", f"{_COMMENT}/replies", replies, query=PageQuery),
)

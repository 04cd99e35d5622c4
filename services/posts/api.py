"""HTTP endpoints of the posts service."""

from __future__ import annotations

from aiohttp import web

from pulse_sdk.contract.common import Page, PageQuery
from pulse_sdk.contract.internal import Imported, ImportPosts, PostBatch, PostsByIds
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
from services.kit.http import Access, Call, Encoded, endpoint
from services.posts.service import PostsService

SERVICE = web.AppKey("service", PostsService)


async def create(call: Call[CreatePost, None]) -> Encoded[Post]:
    """Post a text, once for each `Idempotency-Key`."""
    return Encoded(*await call.app[SERVICE].create(call.user, call.body, call.idempotency_key))


async def newest(call: Call[None, PostsQuery]) -> Encoded[Page[Post]]:
    """The newest posts, of one author when one is given."""
    return Encoded(await call.app[SERVICE].newest(call.user, call.query))


async def popular(call: Call[None, PopularQuery]) -> Page[Post]:
    """The most popular recent posts, ranked anew each half hour. It is one page."""
    return await call.app[SERVICE].popular(call.query)


async def get(call: Call[None, None]) -> Post:
    """One post."""
    return await call.app[SERVICE].get(call.user, call.id("post_id"))


async def edit(call: Call[EditPost, None]) -> Post:
    """Change a post of the caller's own, unless `If-Match` names another version."""
    return await call.app[SERVICE].edit(call.user, call.id("post_id"), call.body, call.if_match)


async def delete(call: Call[None, None]) -> None:
    """Delete a post of the caller's own, with its likes and comments."""
    await call.app[SERVICE].delete(call.user, call.id("post_id"))


async def like(call: Call[None, None]) -> None:
    """Like a post."""
    await call.app[SERVICE].like(call.user, call.id("post_id"))


async def unlike(call: Call[None, None]) -> None:
    """Take a like back."""
    await call.app[SERVICE].unlike(call.user, call.id("post_id"))


async def liked(call: Call[None, None]) -> LikeStatus:
    """Whether the caller likes a post."""
    return await call.app[SERVICE].liked(call.user, call.id("post_id"))


async def likes(call: Call[None, PageQuery]) -> Page[Like]:
    """Who likes a post, latest first."""
    return await call.app[SERVICE].likes(call.user, call.id("post_id"), call.query)


async def comment(call: Call[CreateComment, None]) -> Comment:
    """Comment on a post, or reply to a comment there, once for each `Idempotency-Key`."""
    return await call.app[SERVICE].comment(
        call.user, call.id("post_id"), call.body, call.idempotency_key
    )


async def comments(call: Call[None, PageQuery]) -> Page[Comment]:
    """The comments on a post itself, newest first."""
    return await call.app[SERVICE].comments(call.user, call.id("post_id"), call.query)


async def replies(call: Call[None, PageQuery]) -> Page[Comment]:
    """The replies to a comment, newest first."""
    return await call.app[SERVICE].replies(
        call.user, call.id("post_id"), call.id("comment_id"), call.query
    )


async def delete_comment(call: Call[None, None]) -> None:
    """Delete a comment of the caller's own or on the caller's post, with all replies below it."""
    await call.app[SERVICE].delete_comment(call.user, call.id("post_id"), call.id("comment_id"))


async def batch(call: Call[PostsByIds, None]) -> Encoded[PostBatch]:
    """Posts by their ids, for other services."""
    return Encoded(await call.app[SERVICE].batch(call.body))


async def import_posts(call: Call[ImportPosts, None]) -> Imported:
    """Add posts and authors' names, for the operator."""
    return await call.app[SERVICE].import_posts(call.body)


_POSTS = "/api/v1/posts"
_POST = "/api/v1/posts/{post_id}"
_LIKE = f"{_POST}/like"
_COMMENTS = f"{_POST}/comments"
_COMMENT = f"{_COMMENTS}/{{comment_id}}"

ENDPOINTS = (
    endpoint("POST", _POSTS, create, body=CreatePost, returns=Post, status=201),
    endpoint("GET", _POSTS, newest, query=PostsQuery, returns=Page[Post]),
    endpoint("GET", f"{_POSTS}/popular", popular, query=PopularQuery, returns=Page[Post]),
    endpoint("GET", _POST, get, returns=Post),
    endpoint("PATCH", _POST, edit, body=EditPost, returns=Post),
    endpoint("DELETE", _POST, delete),
    endpoint("PUT", _LIKE, like),
    endpoint("DELETE", _LIKE, unlike),
    endpoint("GET", _LIKE, liked, returns=LikeStatus),
    endpoint("GET", f"{_POST}/likes", likes, query=PageQuery, returns=Page[Like]),
    endpoint("POST", _COMMENTS, comment, body=CreateComment, returns=Comment, status=201),
    endpoint("GET", _COMMENTS, comments, query=PageQuery, returns=Page[Comment]),
    endpoint("DELETE", _COMMENT, delete_comment),
    endpoint("GET", f"{_COMMENT}/replies", replies, query=PageQuery, returns=Page[Comment]),
    endpoint(
        "POST",
        "/internal/posts/batch",
        batch,
        body=PostsByIds,
        returns=PostBatch,
        access=Access.SERVICE,
        callers=("social",),
    ),
    endpoint(
        "POST",
        "/internal/import",
        import_posts,
        body=ImportPosts,
        returns=Imported,
        access=Access.SERVICE,
        callers=("operator",),
    ),
)

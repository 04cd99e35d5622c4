"""Posts, likes and comments."""

from __future__ import annotations

from tests.contract.cast import NOTHING, Cast, Person, refused


async def a_post_is_made_read_changed_and_deleted(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    post = await ada.pulse.posts.create("  Hello\n ")
    await ben.pulse.posts.get(post.id)
    await refused(ben.pulse.posts.edit(post.id, "Mine"))
    await refused(ben.pulse.posts.delete(post.id))
    edited = await ada.pulse.posts.edit(post.id, "Hello again", version=post.version)
    await refused(ada.pulse.posts.edit(post.id, "Hello?", version=post.version))
    await ada.pulse.posts.edit(post.id, edited.text)
    await ben.pulse.posts.list(limit=100).page()
    await ada.pulse.posts.delete(post.id)
    await refused(ada.pulse.posts.get(post.id))
    await refused(ada.pulse.posts.delete(post.id))


async def a_key_makes_one_post(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    for person, text in ((ada, "Once"), (ada, "Once"), (ben, "By another")):
        post = await person.pulse.posts.create(text, idempotency_key="the-same")
    await refused(ada.pulse.posts.create("Another", idempotency_key="the-same"))
    await ben.pulse.posts.edit(post.id, "By another, better")
    await ben.pulse.posts.create("By another", idempotency_key="the-same")
    await ada.pulse.posts.list(author_id=ada.user.id).page()


async def posts_come_newest_first_page_by_page(cast: Cast) -> None:
    [ada] = await cast.join("ada")
    for number in range(5):
        await ada.pulse.posts.create(f"Post {number}")
    cursor = None
    for _ in range(3):
        page = await ada.pulse.posts.list(author_id=ada.user.id, limit=2, cursor=cursor).page()
        cursor = page.next_cursor
    await ada.pulse.posts.list(author_id=NOTHING).page()
    await refused(ada.pulse.posts.list(cursor="nonsense").page())


async def likes_count_once(cast: Cast) -> None:
    ada, ben, cleo = await cast.join("ada", "ben", "cleo")
    post = await ada.pulse.posts.create("Like me")
    await ben.pulse.posts.liked(post.id)
    await ben.pulse.posts.like(post.id)
    await ben.pulse.posts.like(post.id)
    await cleo.pulse.posts.like(post.id)
    await ben.pulse.posts.liked(post.id)
    page = await ada.pulse.posts.likes(post.id, limit=1).page()
    await ada.pulse.posts.likes(post.id, limit=1, cursor=page.next_cursor).page()
    await ben.pulse.posts.popular(limit=5).page()
    await ben.pulse.posts.unlike(post.id)
    await ben.pulse.posts.unlike(post.id)
    await ada.pulse.posts.get(post.id)
    for call in (ada.pulse.posts.like, ada.pulse.posts.unlike, ada.pulse.posts.liked):
        await refused(call(NOTHING))
    await refused(ada.pulse.posts.likes(NOTHING).page())


async def comments_are_threads(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    post = await ada.pulse.posts.create("What do you think?")
    first = await ben.pulse.posts.comment(post.id, "Well", idempotency_key="one")
    await ben.pulse.posts.comment(post.id, "Well", idempotency_key="one")
    await refused(ben.pulse.posts.comment(post.id, "Another", idempotency_key="one"))
    reply = await ada.pulse.posts.comment(post.id, "Yes?", parent_id=first.id)
    await ben.pulse.posts.comment(post.id, "Another")
    page = await ada.pulse.posts.comments(post.id, limit=1).page()
    await ada.pulse.posts.comments(post.id, limit=1, cursor=page.next_cursor).page()
    await ben.pulse.posts.replies(post.id, first.id).page()
    await ben.pulse.posts.get(post.id)
    deep = reply
    for depth in range(2, 6):
        deep = await ben.pulse.posts.comment(post.id, f"Depth {depth}", parent_id=deep.id)
    await refused(ben.pulse.posts.comment(post.id, "Too deep", parent_id=deep.id))
    await refused(ben.pulse.posts.delete_comment(post.id, reply.id))
    await ada.pulse.posts.delete_comment(post.id, reply.id)
    await ada.pulse.posts.comments(post.id).page()
    await ada.pulse.posts.get(post.id)
    await refused(ada.pulse.posts.comment(post.id, "To nobody", parent_id=reply.id))
    await refused(ada.pulse.posts.replies(post.id, reply.id).page())
    await refused(ada.pulse.posts.delete_comment(post.id, reply.id))
    await refused(ada.pulse.posts.comment(NOTHING, "To nothing"))
    await refused(ada.pulse.posts.comments(NOTHING).page())


async def a_private_author_writes_for_followers(cast: Cast) -> None:
    ada, fan, stranger = await cast.join("ada", "fan", "stranger")
    post = await ada.pulse.posts.create("For friends")
    await fan.pulse.social.follow(ada.user.id)
    await ada.pulse.users.update_me(visibility="private")

    async def status() -> int:
        return (await stranger.http.get(f"/api/v1/posts/{post.id}")).status_code

    await cast.until(status, lambda status: status == 404)
    await fan.pulse.posts.get(post.id)
    await ada.pulse.posts.get(post.id)
    await fan.pulse.posts.list(author_id=ada.user.id).page()
    await stranger.pulse.posts.list(author_id=ada.user.id).page()
    await stranger.pulse.posts.list(limit=100).page()
    await refused(stranger.pulse.posts.like(post.id))
    await refused(stranger.pulse.posts.comment(post.id, "Hello?"))


async def what_is_wrong_with_a_request_is_told(cast: Cast) -> None:
    [ada] = await cast.join("ada")
    posts = "/api/v1/posts"
    await ada.http.post(posts, json={"text": ""})
    await ada.http.post(posts, json={"text": "x" * 501, "colour": "red"})
    await ada.http.post(posts, json={"text": "nul \x00"})
    await ada.http.post(posts, json={})
    await ada.http.post(posts, json=[])
    await ada.http.post(posts, content=b"{", headers={"Content-Type": "application/json"})
    await ada.http.post(posts, content=b"{}", headers={"Content-Type": "text/plain"})
    await ada.http.post(posts, json={"text": "Hello"}, headers={"Idempotency-Key": "x" * 129})
    await ada.http.get(posts, params={"limit": "0"})
    await ada.http.get(posts, params={"limit": "many", "colour": "red"})
    await ada.http.get(posts, params=[("limit", "1"), ("limit", "2")])
    await ada.http.get(posts, params={"author_id": "nobody"})
    await ada.http.get(f"{posts}/nothing")
    await ada.http.get(f"{posts}/{NOTHING}/likes", params={"cursor": "nonsense"})
    await ada.http.put(posts, json={"text": "Hello"})
    await ada.http.get(f"{posts}/{NOTHING}/nothing")
    await ada.http.get("/api/v1/nothing")
    await ada.http.get("/nothing")
    await not_logged_in(ada)


async def not_logged_in(ada: Person) -> None:
    for given in ("", "Basic abc", "Bearer nonsense"):
        await ada.http.get("/api/v1/users/me", headers={"Authorization": given})
    await ada.http.get("/api/v1/posts/nothing/nothing", headers={"Authorization": ""})


async def who_is_blocked_answers_nothing(cast: Cast) -> None:
    ada, ben, cleo = await cast.join("ada", "ben", "cleo")
    post = await ada.pulse.posts.create("For all but one")
    own = await ben.pulse.posts.create("Of one")
    elsewhere = await cleo.pulse.posts.create("Of another")
    said = await ada.pulse.posts.comment(elsewhere.id, "Here too")
    await ben.pulse.posts.like(post.id)
    await ada.pulse.social.block(ben.user.id)

    async def likes() -> int:
        return (await ben.http.put(f"/api/v1/posts/{post.id}/like")).status_code

    await cast.until(likes, lambda status: status == 403)
    await refused(ben.pulse.posts.comment(post.id, "Why?"))
    await refused(ben.pulse.posts.comment(elsewhere.id, "Why?", parent_id=said.id))
    await refused(ada.pulse.posts.like(own.id))
    await ben.pulse.posts.comment(elsewhere.id, "To another")
    await ben.pulse.posts.unlike(post.id)
    await ben.pulse.posts.get(post.id)
    await ada.pulse.social.unblock(ben.user.id)
    await cast.until(likes, lambda status: status == 204)


BEHAVIOURS = (
    a_post_is_made_read_changed_and_deleted,
    a_key_makes_one_post,
    posts_come_newest_first_page_by_page,
    likes_count_once,
    comments_are_threads,
    a_private_author_writes_for_followers,
    what_is_wrong_with_a_request_is_told,
    who_is_blocked_answers_nothing,
)

"""Accounts, sessions and profiles."""

from __future__ import annotations

from tests.contract.cast import NOTHING, PASSWORD, Cast, refused


async def registering_and_logging_in(cast: Cast) -> None:
    pulse = cast.stranger()
    name, email = cast.username("ada"), f"{cast.username('ada')}@people.example"
    await pulse.auth.register(
        email=email, username=name.upper(), password=PASSWORD, display_name="Ada Lovelace"
    )
    await pulse.users.me()
    for taken in (name, cast.username("other")):
        await refused(
            pulse.auth.register(
                email=email, username=taken, password=PASSWORD, display_name="Another"
            )
        )
    await refused(
        pulse.auth.register(
            email=f"other.{email}", username=name, password=PASSWORD, display_name="Another"
        )
    )
    await pulse.auth.login(email.upper(), PASSWORD)
    await pulse.auth.login(name.upper(), PASSWORD)
    await refused(pulse.auth.login(name, "wrong password"))
    await refused(pulse.auth.login(cast.username("nobody"), PASSWORD))


async def sessions_and_their_ends(cast: Cast) -> None:
    [ada] = await cast.join("ada")
    other, third = cast.stranger(), cast.stranger()
    await other.auth.login(ada.user.username, PASSWORD)
    await third.auth.login(ada.user.username, PASSWORD)
    here = await ada.pulse.auth.session()
    first = await ada.pulse.auth.sessions(limit=2).page()
    await ada.pulse.auth.sessions(limit=2, cursor=first.next_cursor).page()
    there = await third.auth.session()
    await ada.pulse.auth.end_session(there.id)
    await refused(ada.pulse.auth.end_session(there.id))
    await refused(third.auth.session())
    await refused(third.auth.sessions().page())
    await other.auth.logout()
    await ada.pulse.auth.end_session(here.id)
    await refused(ada.pulse.auth.sessions().page())
    await ada.pulse.users.me()


async def a_refresh_token_has_one_successor(cast: Cast) -> None:
    [ada] = await cast.join("ada")
    first = ada.tokens.refresh_token
    renewed = await ada.pulse.auth.refresh(first)
    again = await ada.pulse.auth.refresh(first)
    assert renewed.refresh_token == again.refresh_token != first
    third = (await ada.pulse.auth.refresh(again.refresh_token)).refresh_token
    await ada.pulse.auth.session()
    await refused(cast.stranger().auth.refresh(first))
    await refused(cast.stranger().auth.refresh(third))
    await refused(cast.stranger().auth.refresh("nonsense"))


async def a_new_password_ends_the_other_sessions(cast: Cast) -> None:
    [ada] = await cast.join("ada")
    other = cast.stranger()
    await other.auth.login(ada.user.username, PASSWORD)
    await refused(ada.pulse.auth.change_password("wrong password", "another password"))
    await ada.pulse.auth.change_password(PASSWORD, "another password")
    await ada.pulse.auth.sessions().page()
    await refused(other.auth.session())
    await refused(cast.stranger().auth.login(ada.user.username, PASSWORD))
    await cast.stranger().auth.login(ada.user.username, "another password")
    await ada.pulse.auth.logout_everywhere()


async def many_wrong_passwords_are_one_too_many(cast: Cast) -> None:
    [ada] = await cast.join("ada")
    stranger = cast.stranger()
    for _ in range(10):
        await refused(stranger.auth.login(ada.user.username, "wrong password"))
    await refused(stranger.auth.login(ada.user.username, PASSWORD))


async def a_profile_is_changed_in_the_version_that_was_read(cast: Cast) -> None:
    ada, ben = await cast.join("ada", "ben")
    me = await ada.pulse.users.me()
    changed = await ada.pulse.users.update_me(bio="  Countess ", version=me.version)
    await refused(ada.pulse.users.update_me(bio="Nobody", version=me.version))
    await ada.pulse.users.update_me(bio="Countess", version=changed.version)
    await ada.pulse.users.update_me(visibility="private", display_name="A. L.")
    await ben.pulse.users.get(ada.user.id)
    await refused(ben.pulse.users.get(NOTHING))


async def people_are_found_by_their_names(cast: Cast) -> None:
    ada, adam, _ = await cast.join("adalind", "adalwin", "ben")
    await ada.pulse.users.update_me(display_name="Élisabeth Wölfflin")
    await adam.pulse.users.search(ada.user.username[:20].upper()).page()
    await adam.pulse.users.search("elisabeth wolfflin").page()
    await adam.pulse.users.search("qqxzvk jjwqpf").page()


BEHAVIOURS = (
    registering_and_logging_in,
    sessions_and_their_ends,
    a_refresh_token_has_one_successor,
    a_new_password_ends_the_other_sessions,
    many_wrong_passwords_are_one_too_many,
    a_profile_is_changed_in_the_version_that_was_read,
    people_are_found_by_their_names,
)

"""What people do with their own account, through the client."""

from __future__ import annotations

import pytest

from pulse_sdk import AsyncPulse, errors
from tests.conftest import RunningStack
from tests.e2e.conftest import PASSWORD, Join


async def test_an_account_is_used_in_two_places(stack: RunningStack, join: Join) -> None:
    ada = await join("ada")
    async with AsyncPulse(stack.gateway_url) as phone:
        await phone.auth.login(ada.user.username, PASSWORD)
        listed = [session async for session in ada.pulse.auth.sessions(limit=1)]
        assert [session.current for session in listed] == [False, True]

        await ada.pulse.auth.change_password(PASSWORD, "a new and longer password")

        refresh_token = phone.credentials.refresh_token
        assert refresh_token is not None
        with pytest.raises(errors.NotAuthenticated):
            await phone.auth.refresh(refresh_token)
        await phone.auth.login(ada.user.username, "a new and longer password")
        await phone.auth.end_session(listed[1].id)
        with pytest.raises(errors.NotAuthenticated):
            await ada.pulse.auth.change_password("a new and longer password", PASSWORD)
        await phone.auth.logout_everywhere()
        assert phone.credentials.access_token is None


async def test_a_wrong_current_password_is_refused_once(join: Join) -> None:
    ada = await join("ada")
    with pytest.raises(errors.Forbidden) as refused:
        await ada.pulse.auth.change_password("wrong password", PASSWORD)
    assert (refused.value.code, refused.value.attempts) == ("password_wrong", 1)


async def test_an_edit_of_an_old_version_is_refused(join: Join) -> None:
    ada = await join("ada")
    read = await ada.pulse.users.me()
    edited = await ada.pulse.users.update_me(bio="Countess", version=read.version)
    with pytest.raises(errors.Conflict) as refused:
        await ada.pulse.users.update_me(bio="Duchess", version=read.version)
    assert (refused.value.status, refused.value.code) == (412, "stale")
    assert await ada.pulse.users.me() == edited


async def test_people_are_found_by_name(join: Join) -> None:
    ada, ben = await join("ada"), await join("ben")
    await ada.pulse.users.update_me(display_name="Ada Lovelace Byron", visibility="private")
    found = [user.id async for user in ben.pulse.users.search("lovelase byron", limit=1)]
    assert ada.user.id in found
    first = (await ben.pulse.users.search(ada.user.username).page()).items[0]
    assert (first.id, first.visibility) == (ada.user.id, "private")

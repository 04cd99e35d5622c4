"""The session that `pulse api login` leaves behind, one for each address.

A refresh token is exchanged for the next once and a later use ends the session, so that processes
which share one must agree on who renews it: each reads and replaces the stored tokens under a lock
of the file, and the one that comes second finds the new tokens there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

from pydantic import BaseModel, ValidationError

from pulse_cli.errors import Refused, Unusable
from pulse_cli.files import private_folder, write_private
from pulse_sdk import NotAuthenticated, Pulse
from pulse_sdk.contract.users import Tokens


class _Stored(BaseModel):
    """The file's content."""

    url: str
    login: UUID
    """Another with each log-in; the same when tokens are renewed."""
    tokens: Tokens


def sessions_folder() -> Path:
    """Where sessions are stored: `$XDG_STATE_HOME/pulse/sessions`, by default in `~/.local/state`.

    A relative `XDG_STATE_HOME` is ignored, as its specification says.
    """
    told = Path(os.environ.get("XDG_STATE_HOME", ""))
    state = told if told.is_absolute() else Path.home() / ".local" / "state"
    return state / "pulse" / "sessions"


class Session:
    """Who the command line is at an address; gives the client its access tokens."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._login: UUID | None = None
        self._file = sessions_folder() / f"{sha256(url.encode()).hexdigest()[:32]}.json"

    @property
    def exists(self) -> bool:
        """Whether somebody is logged in, as far as this machine knows."""
        return self._file.exists()

    def begin(self, tokens: Tokens) -> None:
        """Store a log-in, in place of an earlier one."""
        with self._locked():
            self._store(uuid4(), tokens)

    def end(self) -> None:
        """Forget the tokens."""
        with self._locked():
            self._file.unlink(missing_ok=True)

    def token(self, refused: str | None) -> str:
        """The stored access token, renewed when it is the one that is refused.

        Raises:
            Refused: Nobody is logged in, the session has ended, or another began since.
            Unusable: The folder of sessions cannot be used.
            PulseError: The server could not be asked for a new token.
        """
        with self._locked():
            stored = self._read()
            # A command that is under way does not go on as somebody else.
            self._login = self._login or stored.login
            if self._login != stored.login:
                raise Refused(f"somebody has logged in anew at {self.url}; start the command again")
            tokens = stored.tokens
            access = tokens.access_token.get_secret_value()
            if access != refused:
                return access
            try:
                with Pulse(self.url) as client:
                    tokens = client.auth.refresh(tokens.refresh_token.get_secret_value())
            except NotAuthenticated:
                self._file.unlink(missing_ok=True)
                raise Refused(
                    f"the session at {self.url} has ended; log in with: pulse api login USERNAME"
                ) from None
            self._store(stored.login, tokens)
            return tokens.access_token.get_secret_value()

    def _read(self) -> _Stored:
        try:
            return _Stored.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            raise Refused(
                f"nobody is logged in at {self.url}; log in with: pulse api login USERNAME"
            ) from None
        except ValidationError:
            raise Refused(
                f"{self._file} cannot be understood; log in with: pulse api login USERNAME"
            ) from None

    def _store(self, login: UUID, tokens: Tokens) -> None:
        stored = _Stored(url=self.url, login=login, tokens=tokens)
        write_private(self._file, stored.model_dump_json())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the file; the lock ends with the process that holds it, however it ends."""
        folder = self._file.parent
        try:
            private_folder(folder)
            lock = os.open(self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unusable(
                f"sessions cannot be kept in {folder}: {error.strerror}; "
                "name another state folder with XDG_STATE_HOME"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

"""The stack that connected and end-to-end tests share, started through the project's own CLI."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pulse_cli.stack.load import running_stack
from pulse_cli.stack.model import Stack

PULSE = Path(sys.executable).with_name("pulse")

CONFIGURATION = """
[gateway]
requests_per_second = 1000  # all tests are one client

[push]
private_addresses = true  # tests are push services
"""


def pytest_configure() -> None:
    """Let programs that tests start hear Ctrl-C, also when a shell runs us in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pulse(
    project_dir: Path, *arguments: str, timeout: float = 250
) -> subprocess.CompletedProcess[str]:
    """Run the CLI in a project folder, as a person would."""
    return subprocess.run(
        [str(PULSE), "-C", str(project_dir), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


@dataclass(frozen=True)
class RunningStack:
    """A stack that runs on free ports in a folder of its own."""

    project_dir: Path
    gateway_url: str

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.project_dir / ".pulse"

    @property
    def stack(self) -> Stack:
        """The effective stack, as it is now."""
        found = running_stack(self.state)
        assert found is not None
        return found

    def pulse(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the CLI in the stack's folder."""
        return pulse(self.project_dir, *arguments)


@contextmanager
def running(project_dir: Path, *options: str) -> Iterator[RunningStack]:
    """Run a stack of this folder's own on free ports."""
    (project_dir / "pulse.toml").write_text(CONFIGURATION)
    try:
        up = pulse(project_dir, "up", "--isolated", "--json", *options)
        assert up.returncode == 0, up.stderr
        yield RunningStack(project_dir, json.loads(up.stdout)["gateway_url"])
    finally:
        pulse(project_dir, "down")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """All six services behind the gateway, on real stores."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack

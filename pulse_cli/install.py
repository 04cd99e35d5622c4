"""Installing what the local target lacks: RabbitMQ from Debian's packages, the rest by pip."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from pulse_cli.components import unpack_folders
from pulse_cli.errors import MissingComponent

DISTRIBUTION = "pulse-platform"

BY_HAND = (
    "install RabbitMQ 3.10 or newer and Erlang with your system's package manager "
    "(dnf install rabbitmq-server, pacman -S rabbitmq, brew install rabbitmq) "
    "and keep its service stopped"
)

# The policy file keeps the package from starting a broker of its own. One that is there already
# is the machine owner's and stays; `disable --now` covers what it lets through.
_SYSTEM_INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\\nexit 101\\n' > $policy
    chmod 755 $policy
fi
units=rabbitmq-server.service
[ -e /usr/lib/erlang/bin/epmd ] || units="$units epmd.service epmd.socket"
install() { apt-get install -y --no-install-recommends rabbitmq-server; }
install || { apt-get update; install; }
if command -v systemctl > /dev/null; then
    systemctl disable --now $units || systemctl disable $units
fi
"""


def install_packages(names: Iterable[str]) -> None:
    """Install Python distributions with this interpreter's pip, as `pulse-platform` pins them.

    Raises:
        MissingComponent: when there is no pip, or it fails.
    """
    wanted = [_requirement(name) for name in names]
    if find_spec("pip") is not None:
        argv = [sys.executable, "-m", "pip", "install", *wanted]
    elif uv := shutil.which("uv"):
        argv = [uv, "pip", "install", "--python", sys.executable, *wanted]
    else:
        raise MissingComponent(f"{sys.executable} has no pip; install there: {' '.join(wanted)}")
    _run(argv)


def required_packages() -> list[str]:
    """Return the distributions that the extras `cli`, `services` and `local` ask for."""
    names: dict[str, None] = {}
    for line in requires(DISTRIBUTION) or ():
        requirement, _, marker = line.partition(";")
        if re.search(r"extra == ['\"](cli|services|local)['\"]", marker):
            name = re.match(r"[\w.-]+", requirement)
            if name and name[0] != DISTRIBUTION:
                names[name[0]] = None
    return list(names)


def install_rabbitmq(state: Path) -> str:
    """Install RabbitMQ the best way this user can, and say which one it was.

    Raises:
        MissingComponent: when the machine has no apt, or the installation failed.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise MissingComponent(f"this machine has no apt-get; {BY_HAND}")
    if os.geteuid() == 0:
        _run(["sh", "-c", _SYSTEM_INSTALL])
        return "installed the package rabbitmq-server; its own service is left stopped"
    if _can_sudo():
        _run(["sudo", "-n", "sh", "-c", _SYSTEM_INSTALL])
        return "installed the package rabbitmq-server by sudo; its own service is left stopped"
    folder = _writable(unpack_folders(state))
    unpack_rabbitmq(folder)
    return f"unpacked RabbitMQ and Erlang in {folder}"


def unpack_rabbitmq(folder: Path) -> None:
    """Download Debian's packages of RabbitMQ and Erlang and unpack them, without root.

    The package lists are fetched into a folder of this user, so the system's own need be
    neither there nor fresh. The folder appears whole or not at all.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unpack-", dir=folder.parent) as temporary:
        work = Path(temporary)
        for name in ("lists/partial", "archives/partial", "debs", "root"):
            (work / name).mkdir(parents=True)
        empty = work / "status"
        empty.touch()
        apt = [
            "apt-get",
            f"-oDir::State::Lists={work / 'lists'}",
            f"-oDir::Cache={work}",
            f"-oDir::Cache::Archives={work / 'archives'}",
            "-oDebug::NoLocking=1",
            "-oAPT::Sandbox::User=",
        ]
        _run([*apt, "update"])
        missing_here = _would_install(apt)
        # All of Erlang must lie in one tree, even when the system has a part of it.
        from_scratch = _would_install([*apt, f"-oDir::State::status={empty}"])
        erlang = [p for p in from_scratch if re.match(r"erlang-|rabbitmq-server$", p)]
        _run([*apt, "download", *sorted({*missing_here, *erlang})], cwd=work / "debs")
        for package in sorted((work / "debs").glob("*.deb")):
            _run(["dpkg", "-x", str(package), str(work / "root")])
        relocate_erlang(work / "root", folder)
        shutil.rmtree(folder, ignore_errors=True)
        (work / "root").rename(folder)


def relocate_erlang(root: Path, final: Path) -> None:
    """Rewrite the paths in Erlang's start scripts for a tree that will lie at `final`.

    Libraries that came with it (libssl on a bare machine) are found there too.
    """
    libraries = ":".join(str(final / p.relative_to(root)) for p in root.glob("usr/lib/*-linux-gnu"))
    for script in (*root.glob("usr/lib/erlang/bin/*"), *root.glob("usr/lib/erlang/erts-*/bin/*")):
        content = script.read_bytes()
        if script.is_symlink() or not content.startswith(b"#!/bin/sh"):
            continue
        text = content.decode().replace("/usr/lib/erlang", str(final / "usr/lib/erlang"))
        if libraries:
            extend = f'export LD_LIBRARY_PATH="{libraries}:$LD_LIBRARY_PATH"'
            text = text.replace("#!/bin/sh\n", f"#!/bin/sh\n{extend}\n", 1)
        script.write_text(text)


def _would_install(apt: Sequence[str]) -> list[str]:
    plan = _run([*apt, "install", "-s", "--no-install-recommends", "rabbitmq-server"])
    return re.findall(r"^Inst (\S+)", plan, flags=re.MULTILINE)


def _requirement(name: str) -> str:
    for line in requires(DISTRIBUTION) or ():
        requirement = line.partition(";")[0].strip()
        if re.match(rf"{re.escape(name)}(?![\w.-])", requirement):
            return requirement
    return name


def _can_sudo() -> bool:
    if shutil.which("sudo") is None:
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0


def _writable(folders: Iterable[Path]) -> Path:
    refused: OSError | None = None
    for folder in folders:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            refused = error
        else:
            if os.access(folder.parent, os.W_OK):
                return folder
    raise refused or PermissionError(13, "Permission denied", str(folder))


def _run(argv: Sequence[str], cwd: Path | None = None) -> str:
    """Run a command to its end and return its stdout; raise with its last line when it fails."""
    done = subprocess.run(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        reason = next((line for line in said if line.startswith(("E:", "ERROR:"))), said[-1])
        raise MissingComponent(f"{' '.join(argv[:3])[:60]} failed: {reason}")
    return done.stdout

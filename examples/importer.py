r"""Posts a text file, a post for each line that is not empty.

    PULSE_URL=http://127.0.0.1:8000 PULSE_LOGIN=ada PULSE_PASSWORD=... \
        python examples/importer.py FILE

Each post has an idempotency key made of what it says, so that running it again, after Ctrl-C or a
failure too, posts only what is new.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from pulse_sdk import InvalidInput, Pulse, PulseError


def keyed_lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Number, words and key of each line; a line that says the same again has another key."""
    seen: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if words := line.strip():
            seen[words] += 1
            yield number, words, sha256(f"{seen[words]} {words}".encode()).hexdigest()


def setting(name: str) -> str:
    """A variable of the environment."""
    return os.environ.get(name) or sys.exit(f"importer: set {name}")


def main(file: Path) -> None:
    """Post the file's lines in their order."""
    try:
        lines = list(keyed_lines(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"importer: {file} cannot be read: {error}")
    url, login, password = map(setting, ("PULSE_URL", "PULSE_LOGIN", "PULSE_PASSWORD"))
    done = 0
    # Generous: a gateway that asks to slow down is waited for, and each post happens once anyway.
    with Pulse.login(url, login, password, retries=20) as client:
        try:
            for number, words, key in lines:
                try:
                    client.posts.create(words, idempotency_key=key)
                except InvalidInput as error:
                    sys.exit(f"\nimporter: {file}, line {number}: {error}")
                done += 1
                print(f"\r{done} of {len(lines)} posted", end="", file=sys.stderr, flush=True)
        finally:
            print(file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python importer.py FILE")
    try:
        main(Path(sys.argv[1]))
    except PulseError as error:
        sys.exit(f"importer: {error}; run it again to go on")
    except KeyboardInterrupt:
        sys.exit("importer: stopped; run it again to go on")

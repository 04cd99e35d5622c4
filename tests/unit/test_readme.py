"""What the README shows of tests passes as it stands there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


async def test_the_test_of_a_bot_passes() -> None:
    _, _, section = README.read_text(encoding="utf-8").partition("### Testing your bot\n")
    program = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]
    names: dict[str, Callable[[], Awaitable[None]]] = {}
    exec(compile(program, "README.md", "exec"), names)
    (test,) = [name for name in names if name.startswith("test_")]
    await names[test]()

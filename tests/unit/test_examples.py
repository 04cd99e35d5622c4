"""The examples without a platform: they stay short, and say what they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
NEEDED = {"PULSE_URL": "http://127.0.0.1:1", "PULSE_LOGIN": "ada", "PULSE_PASSWORD": "secret"}


def said(example: Path, folder: Path, environment: dict[str, str]) -> str:
    arguments = [str(Path(__file__))] if example.name == "importer.py" else []
    done = subprocess.run(
        [sys.executable, str(example), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.stem))
def test_an_example_says_what_it_needs(example: Path, tmp_path: Path) -> None:
    assert said(example, tmp_path, {}) == f"{example.stem}: set PULSE_URL\n"
    environment = {**NEEDED, "PULSE_PASSWORD": ""}
    assert said(example, tmp_path, environment) == f"{example.stem}: set PULSE_PASSWORD\n"


def test_examples_are_short_enough_to_be_read() -> None:
    assert len(EXAMPLES) == 4
    for example in EXAMPLES:
        assert len(example.read_text().splitlines()) < 90

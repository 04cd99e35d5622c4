"""Operators find every table in `docs/storage.md`, and what bounds it."""

from __future__ import annotations

import re
from pathlib import Path

from services.migrate import SERVICES

ROOT = Path(__file__).parents[2]


def test_every_table_is_told_with_what_bounds_it() -> None:
    told = set()
    for line in (ROOT / "docs" / "storage.md").read_text().splitlines():
        where, *_ = line.removeprefix("| ").split(" | ")
        databases = SERVICES if where.startswith("all,") else re.findall(r"\w+(?=,)", where)
        told |= {
            (database, table) for database in databases for table in re.findall(r"`(\w+)`", where)
        }
    made = {
        (service, table)
        for service in SERVICES
        for package in ("kit", service)
        for file in (ROOT / "services" / package / "migrations").glob("*.sql")
        for table in re.findall(r"CREATE TABLE (\w+)", file.read_text())
    }
    assert made <= told

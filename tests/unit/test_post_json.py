"""A post's JSON, put together without its model."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pulse_sdk.contract.posts import Post, PostAuthor
from services.kit.ids import new_id
from services.posts.authors import Author
from services.posts.service import _by, _json
from services.posts.store import Stored

NAMES = PostAuthor(username="ada", display_name='Ada "L" Ω')


@pytest.mark.parametrize(
    ("created_at", "edited_at"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC), None),
        (datetime(2026, 1, 2, 3, 4, 5, 0, UTC), datetime(2026, 1, 3, 0, 0, 0, 5, UTC)),
    ],
)
@pytest.mark.parametrize("names", [None, NAMES])
def test_it_is_what_the_model_would_give(
    created_at: datetime, edited_at: datetime | None, names: PostAuthor | None
) -> None:
    stored = Stored(new_id(), new_id(), 'Say "Ω\n😀"', 3, 4, created_at, edited_at, 2)
    author = Author(names, names.model_dump_json().encode() if names else b"null", private=False)
    expected = Post(**stored._asdict(), author=names).model_dump_json()
    assert _by(author, _json(stored)).decode() == expected

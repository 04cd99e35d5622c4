"""Words for posts and messages: as long as real ones, and different each time."""

from __future__ import annotations

import random

WORDS = (  # noqa: SIM905 - seven lines instead of seventy
    "about after again along another around because before between coffee could every evening"
    " first found friends garden great happy holiday house kitchen later light little morning"
    " music never night often people photo picture place quiet rain reading really river school"
    " since something street summer table thanks their these thing think through today together"
    " tomorrow train under until walk water weather week where which while winter with work year"
).split()


def sentence(chance: random.Random) -> str:
    """Return 8 to 20 words, about 50 to 130 characters."""
    return " ".join(chance.choices(WORDS, k=chance.randint(8, 20)))

"""Turning a graph into accounts, follows and posts: the same for the same seed, forever."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pulse_cli.seed.graph import Graph
from pulse_sdk.contract.internal import ImportFollow, ImportPost, ImportUser

_JOINED = datetime(2025, 1, 1, tzinfo=UTC)
_FIRST_POST = datetime(2025, 2, 1, tzinfo=UTC)
_BETWEEN_POSTS = timedelta(seconds=37)

_VOCABULARY = (
    "a again all and any at back bridge bring call city close coffee cold come day door early "
    "every fall far field find first for friend from garden give go good green hand have hear "
    "here hill home house how idea in into just keep know last late learn leave letter light like "
    "line little long look made make maybe meet mind moment moon morning most move music near "
    "never new next night noon north note now ocean of old on once one only open or our out over "
    "page paint paper park part people place plan play quiet rain read river road room run same "
    "say sea see send set shade she ship short show side sing sky slow small snow some song soon "
    "sound south stay step still stone story street summer sun sure take talk tell than that the "
    "their then there they thing think this time to today town train tree try turn under until up "
    "very view voice wait walk wall want warm water way week well were west what wheel when where "
    "while wide will wind window winter with wood word work world year yes yet you"
)
_WORDS = _VOCABULARY.split()
_WORDS_PER_POST = (4, 28)


class Cast:
    """The people of a graph. Ids are UUIDv7 made of a fixed calendar and the seed."""

    def __init__(self, graph: Graph, seed: int) -> None:
        self._graph = graph
        self._seed = seed
        self.ids = {
            node: self._id("user", node, _JOINED + timedelta(seconds=i))
            for i, node in enumerate(graph.nodes)
        }

    def users(self) -> Iterator[ImportUser]:
        """An account for every node."""
        for node, user_id in self.ids.items():
            username = f"s{self._seed}u{node}"
            yield ImportUser(
                id=user_id,
                email=f"{username}@seed.example",
                username=username,
                display_name=f"Seeded {node}",
            )

    def follows(self) -> Iterator[ImportFollow]:
        """The follows of the graph."""
        for follower, followee in self._graph.follows:
            yield ImportFollow(follower_id=self.ids[follower], followee_id=self.ids[followee])

    def posts(self, per_user: int) -> Iterator[ImportPost]:
        """That many posts of each person, oldest first, authors in random turns."""
        chance = random.Random(self._seed)  # noqa: S311 - reproducible on purpose
        number = 0
        for turn in range(per_user):
            for node in chance.sample(self._graph.nodes, len(self._graph.nodes)):
                created_at = _FIRST_POST + number * _BETWEEN_POSTS
                words = chance.choices(_WORDS, k=chance.randint(*_WORDS_PER_POST))
                yield ImportPost(
                    id=self._id("post", f"{node}/{turn}", created_at),
                    author_id=self.ids[node],
                    text=" ".join(words).capitalize() + ".",
                    created_at=created_at,
                )
                number += 1

    def _id(self, kind: str, name: object, made_at: datetime) -> UUID:
        """A UUIDv7 (RFC 9562): 48 bits of milliseconds, the rest from the name's digest."""
        digest = hashlib.blake2b(f"{self._seed}/{kind}/{name}".encode(), digest_size=10).digest()
        milliseconds = round(made_at.timestamp() * 1000)
        value = milliseconds << 80 | int.from_bytes(digest)
        value = value & ~(0xF << 76) | 7 << 76
        return UUID(int=value & ~(0b11 << 62) | 0b10 << 62)

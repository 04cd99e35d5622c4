"""Seeding: reading graphs, and people that are the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from pulse_cli.errors import ConfigError, NotHealthy
from pulse_cli.seed.graph import Graph, read_graph, synthetic_graph
from pulse_cli.seed.importer import Importer
from pulse_cli.seed.people import Cast
from pulse_cli.stack.model import Stack


def _written(folder: Path, text: str) -> Path:
    file = folder / "graph.edges"
    file.write_text(text)
    return file


def test_an_undirected_edge_is_two_follows(tmp_path: Path) -> None:
    graph = read_graph(_written(tmp_path, "1 0\n1 2\n2 1\n"), directed=False)

    assert graph == Graph((0, 1, 2), ((0, 1), (1, 0), (1, 2), (2, 1)))


def test_a_directed_edge_is_one_follow(tmp_path: Path) -> None:
    assert read_graph(_written(tmp_path, "1 0\n"), directed=True).follows == ((1, 0),)


def test_comments_weights_commas_and_loops_are_passed_over(tmp_path: Path) -> None:
    text = "# a comment\n% another\n\n3 4 0.5\n5,6\n7 7\n"

    graph = read_graph(_written(tmp_path, text), directed=True)

    assert graph == Graph((3, 4, 5, 6, 7), ((3, 4), (5, 6)))


def test_matrix_market_has_a_size_line(tmp_path: Path) -> None:
    text = "%%MatrixMarket matrix coordinate pattern symmetric\n% by\n3 3 2\n2 1\n3 1\n"

    graph = read_graph(_written(tmp_path, text), directed=True)

    assert graph.follows == ((2, 1), (3, 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2\n3\n", "line 2: expected `a b`, got '3'"),
        ("1 2\n\n3 x\n", "line 3: 'x' is not a node"),
        ("1 -2\n", "line 1: '-2' is not a node"),
        ("1 99999999999\n", "is not a node"),
        ("1 2 3 4\n", "line 1: expected `a b`"),
        ("# nothing\n", "has no edges"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_graph(_written(tmp_path, text), directed=False)
    assert said in str(raised.value)


def test_a_missing_or_binary_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_graph(tmp_path / "none", directed=False)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match="not a text file"):
        read_graph(binary, directed=False)


def test_a_synthetic_graph_is_reproducible_and_skewed() -> None:
    graph = synthetic_graph(500, seed=7)

    assert graph == synthetic_graph(500, seed=7)
    assert graph != synthetic_graph(500, seed=8)
    followers = sorted(
        (sum(1 for _, followee in graph.follows if followee == node) for node in graph.nodes),
        reverse=True,
    )
    median = followers[len(followers) // 2]
    assert followers[0] > 8 * median
    assert all(follower != followee for follower, followee in graph.follows)


def test_people_are_the_same_for_the_same_seed() -> None:
    graph = synthetic_graph(20, seed=1)

    def everything(seed: int) -> list[object]:
        cast = Cast(graph, seed)
        return [*cast.users(), *cast.follows(), *cast.posts(3)]

    assert everything(1) == everything(1)
    ours = {user.username for user in Cast(graph, 1).users()}
    assert ours.isdisjoint(user.username for user in Cast(graph, 2).users())


def test_ids_are_uuid7_in_the_order_of_time() -> None:
    posts = list(Cast(synthetic_graph(20, seed=1), 1).posts(3))

    assert {post.id.version for post in posts} == {7}
    assert [post.id for post in posts] == sorted(post.id for post in posts)
    assert len({post.id for post in posts}) == 60
    first = posts[0]
    assert first.id.int >> 80 == round(first.created_at.timestamp() * 1000)


async def test_a_service_that_refuses_is_one_sentence() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(503)

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as client:
        importer = Importer(Stack(), client, "k" * 32)
        users = list(Cast(Graph((1, 2), ()), 1).users())
        with pytest.raises(NotHealthy, match="posts refused the import: status 503"):
            await importer.authors(users * 2000, lambda _: None)

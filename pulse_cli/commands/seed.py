"""`pulse seed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulse_cli.context import JSON, Root
from pulse_cli.errors import ConfigError


def seed(
    ctx: typer.Context,
    graph: Annotated[
        Path | None,
        typer.Option(help="An edge list (`a b` per line) or a Matrix Market file."),
    ] = None,
    directed: Annotated[
        bool, typer.Option("--directed", help="`a b` means a follows b, not both ways.")
    ] = False,
    users: Annotated[
        int | None,
        typer.Option(min=2, max=1_000_000, help="People of a synthetic graph, without --graph."),
    ] = None,
    posts_per_user: Annotated[int, typer.Option(min=0, max=1000)] = 20,
    seed: Annotated[
        int, typer.Option(min=0, max=999_999, help="Another number, other people.")
    ] = 1,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Fill the stack with people who follow each other and write; again changes nothing."""
    from pulse_cli.output import data, emit_json, people
    from pulse_cli.seed.graph import read_graph, synthetic_graph
    from pulse_cli.seed.seeding import seed_stack

    if (graph is None) == (users is None):
        raise ConfigError("say whom to seed with one of: --graph FILE, --users N")
    if directed and graph is None:
        raise ConfigError("--directed says how to read --graph FILE; there is none")
    root = Root.of(ctx)
    stack = root.running()
    if graph is not None:
        network = read_graph(graph, directed=directed)
    else:
        network = synthetic_graph(users or 0, seed)
    seeded = seed_stack(
        stack, root.state, network, posts_per_user=posts_per_user, seed=seed, console=people()
    )
    if as_json:
        emit_json(seeded.as_dict())
    else:
        data(
            f"{seeded.users:,} users, {seeded.follows:,} follows, {seeded.posts:,} posts "
            f"({seeded.new_users:,}, {seeded.new_follows:,} and {seeded.new_posts:,} new) "
            f"in {seeded.seconds:.1f} s; all log in with the password in "
            f"{root.state}/secrets/operator/seed_password"
        )

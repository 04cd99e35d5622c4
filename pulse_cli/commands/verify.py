"""`pulse verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pulse_cli.context import JSON, Root, group, service_named

if TYPE_CHECKING:
    from pulse_cli.verify.gateway.run import Conformance
    from pulse_cli.verify.report import Report

verify = group("verify", "Prove on the running stack what its policies and targets promise.")

SERVICE = typer.Option("--service", metavar="NAME", help="The service that is scaled or killed.")
SECONDS = typer.Option("--seconds", min=2, help="How long each stretch is measured.")
RATE = typer.Option("--rate", min=1, help="Requests a second that are sent meanwhile.")


@verify.command()
def scaling(
    ctx: typer.Context,
    service: Annotated[str, SERVICE] = "posts",
    replicas: Annotated[int, typer.Option(min=2, max=16, help="How many instances to reach.")] = 3,
    seconds: Annotated[float, SECONDS] = 10.0,
    rate: Annotated[float, RATE] = 200.0,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Scale a service from 1 instance to several and back under load: shares, latency, errors."""
    from pulse_cli.verify.scaling import verify_scaling

    name = service_named(service)
    _end(verify_scaling(Root.of(ctx), name, replicas, seconds, rate), as_json)


@verify.command()
def failover(
    ctx: typer.Context,
    service: Annotated[str, SERVICE] = "posts",
    seconds: Annotated[float, SECONDS] = 10.0,
    rate: Annotated[float, RATE] = 200.0,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Kill an instance of a service under load: failed requests, and until when they fail."""
    from pulse_cli.verify.failover import verify_failover

    name = service_named(service)
    _end(verify_failover(Root.of(ctx), name, seconds, rate), as_json)


@verify.command()
def gateway(ctx: typer.Context, as_json: Annotated[bool, JSON] = False) -> None:
    """Hold the gateway to each of its policies: a request, and the answer that it promises."""
    import asyncio

    from pulse_cli.stack.secrets import ensure_secrets
    from pulse_cli.verify.gateway.run import conformance
    from pulse_cli.verify.gateway.subject import subject_of

    root = Root.of(ctx)
    subject = subject_of(root.reached(root.target.running()), ensure_secrets(root.state))
    _end(asyncio.run(conformance(subject)), as_json)


def _end(report: Report | Conformance, as_json: bool) -> None:
    from pulse_cli.output import data, emit_json

    if as_json:
        emit_json(report.as_dict())
    else:
        data(report.shown())
    if (error := report.failure()) is not None:
        raise error

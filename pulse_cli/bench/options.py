"""What a caller asks of a bench, and the plans that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex

from pulse_cli.bench.identities import Seed
from pulse_cli.bench.plan import Identity, Plan
from pulse_cli.errors import ConfigError

SCENARIOS = ("mixed", "platform")
FLOOR_RAMP, FLOOR_SECONDS = 3.0, 10.0
MOST_FLOOR_WARMUP = 10.0

STARTING_SECONDS = 10.0
"""Allowed for starting processes and for the last answers, when asking how long tokens live."""


@dataclass(frozen=True)
class Options:
    """What the caller wants."""

    scenario: str
    users: int
    rate: float
    duration: float
    ramp: float
    warmup: float
    seed: int
    processes: int

    @property
    def seconds(self) -> float:
        """From the last log-in to the last answer, at most."""
        return self.floor_seconds + self.ramp + self.warmup + self.duration + STARTING_SECONDS

    @property
    def floor_seconds(self) -> float:
        """The whole calibration."""
        return FLOOR_RAMP + self._floor_warmup + FLOOR_SECONDS

    @property
    def _floor_warmup(self) -> float:
        return min(self.users / self.rate, MOST_FLOOR_WARMUP)

    def check(self) -> None:
        """Raise `ConfigError` for a scenario that does not exist."""
        if self.scenario not in SCENARIOS:
            raise ConfigError(
                f"there is no scenario {self.scenario!r}; there are: {', '.join(SCENARIOS)}"
            )

    def plans(self, base: Plan) -> list[Plan]:
        """Divide the users over the generator processes."""
        count = min(self.processes, self.users)
        return [base.model_copy(update={"first": i, "stride": count}) for i in range(count)]

    def plan(self, seed: Seed, identities: Sequence[Identity], gateway: tuple[str, int]) -> Plan:
        """Return the plan of the measured run."""
        return Plan(
            scenario=f"scenarios.{self.scenario}",
            host=gateway[0],
            port=gateway[1],
            users=self.users,
            rate=self.rate,
            ramp=self.ramp,
            warmup=self.warmup,
            duration=self.duration,
            seed=self.seed,
            run=token_hex(4),
            people=[user.id for user in seed.users],
            password=seed.password,
            identities=list(identities),
        )

    def floor_plan(self, plan: Plan, port: int) -> Plan:
        """Return the plan of the calibration: the same users at the same rate."""
        return plan.model_copy(
            update={
                "scenario": "pulse_cli.bench.floor_scenario",
                "host": "127.0.0.1",
                "port": port,
                "ramp": FLOOR_RAMP,
                "warmup": self._floor_warmup,
                "duration": FLOOR_SECONDS,
            }
        )

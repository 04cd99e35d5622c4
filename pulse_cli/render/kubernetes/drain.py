"""How a pod ends: what it takes to be out of rotation, to finish, and to spare."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Drain:
    """Seconds; together they are a pod's `terminationGracePeriodSeconds`."""

    announce: int = 8
    """Serving on while everybody who sends requests learns that the pod is going: kube-proxy
    follows within a second, other services' look-ups within five."""
    finish: int = 5
    """A service finishes what is under way and ends within 5 s of SIGTERM."""
    gateway: int = 15
    """The gateway gives requests this long, then closes WebSockets, whose clients come back."""
    spare: int = 7

    @property
    def service(self) -> int:
        """A service's whole grace."""
        return self.announce + self.finish + self.spare


DRAIN = Drain()

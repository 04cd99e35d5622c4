"""How a pod ends: what it takes to be out of rotation, to finish, and to spare."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Drain:
    """Seconds; together they are a pod's `terminationGracePeriodSeconds`."""

    looked_up: int = 35
    """Serving on while everybody who looks pods up by name learns that one is going: most
    clusters' CoreDNS keeps an answer for 30 s, and services ask again after three."""
    proxied: int = 8
    """The same behind a Service's own address: kube-proxy follows within a second."""
    finish: int = 5
    """A service finishes what is under way and ends within 5 s of SIGTERM."""
    gateway: int = 15
    """The gateway gives requests this long, then closes WebSockets, whose clients come back."""
    spare: int = 7

    @property
    def service(self) -> int:
        """A service's whole grace."""
        return self.looked_up + self.finish + self.spare


DRAIN = Drain()

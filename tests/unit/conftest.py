"""What tests of several rooms here are given."""

from __future__ import annotations

import pytest

from pulse_cli.targets.kubernetes import kubectl, rollout
from tests.unit.kubectl_support import Cluster


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(kubectl, "_run", cluster)
    monkeypatch.setattr(kubectl, "find", lambda: "kubectl")
    monkeypatch.setattr("pulse_cli.targets.kubernetes.target.find", lambda: "kubectl")
    monkeypatch.setattr(rollout, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(rollout, "STUCK_SECONDS", 0.0)
    return cluster

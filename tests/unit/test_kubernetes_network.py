"""Who may speak to whom in a cluster: network policies, and what a mesh authorizes and routes."""

from __future__ import annotations

from pulse_cli.stack.model import CALLS, SERVICE_NAMES
from tests.unit.kubernetes_package import OVERLAYS, of_kind, pod_specs
from tests.unit.kustomize import Document


def test_network_policies_are_the_graph_of_calls() -> None:
    policies = of_kind("dev", "NetworkPolicy")
    denied = policies["default-deny"]["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    behind = {"users", "posts", "events", "messaging", "social", "notifications"}
    for name in SERVICE_NAMES:
        spec = policies[name]["spec"]
        callers = {caller for caller in SERVICE_NAMES if name in CALLS[caller]}
        assert _pods(spec["ingress"], "from") == callers | (
            {"gateway"} if name in behind else set()
        )
        assert _pods(spec["egress"], "to") == set(CALLS[name])
    assert _pods(policies["gateway"]["spec"]["egress"], "to") == behind
    stores = policies["stores-of-service"]["spec"]["egress"]
    assert _pods(stores, "to") == {"postgres", "redis", "rabbitmq"}
    assert _pods(policies["stores-of-migration"]["spec"]["egress"], "to") == {"postgres"}


def _pods(rules: list[Document], side: str) -> set[str]:
    ends = (end for rule in rules for end in rule.get(side, ()) if "podSelector" in end)
    return {end["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for end in ends}


def test_every_pod_has_a_policy_for_both_directions() -> None:
    for overlay in OVERLAYS:
        policies = of_kind(overlay, "NetworkPolicy")
        for name, _ in pod_specs(overlay):
            app = "migrate" if name.startswith("migrate-") else name
            assert app == "migrate" or app in policies, (overlay, name)


def test_authorization_is_the_graph_of_calls() -> None:
    policies = of_kind("istio", "AuthorizationPolicy", everything=True)
    assert policies["default-deny"]["spec"] == {}
    for name in SERVICE_NAMES:
        allowed: dict[str, set[str]] = {}
        for rule in policies[name]["spec"]["rules"]:
            for principal in rule["from"][0]["source"].get("principals", ()):
                paths = rule["to"][0]["operation"]["paths"]
                allowed[principal.rpartition("/")[2]] = set(paths)
        callers = {caller for caller in SERVICE_NAMES if name in CALLS[caller]}
        assert set(allowed) == callers | {"gateway"}
        assert all(allowed[caller] == {"/internal/*"} for caller in callers)
        assert not any(path.startswith("/internal") for path in allowed["gateway"])
    assert of_kind("istio", "PeerAuthentication")["default"]["spec"]["mtls"] == {"mode": "STRICT"}


def test_clients_keep_their_addresses_in_a_mesh() -> None:
    template = of_kind("istio", "Deployment")["gateway"]["spec"]["template"]
    kong = template["spec"]["containers"][0]
    ports = {one["name"]: one["containerPort"] for one in kong["ports"]}
    past = template["metadata"]["annotations"]["traffic.sidecar.istio.io/excludeInboundPorts"]
    assert past == f"{ports['http']},{ports['https']}"
    modes = of_kind("istio", "PeerAuthentication")["gateway"]["spec"]["portLevelMtls"]
    assert modes == {port: {"mode": "DISABLE"} for port in past.split(",")}


def test_a_canary_gets_its_share() -> None:
    routes = of_kind("istio", "VirtualService", everything=True)
    shares = {
        route["destination"]["subset"]: route["weight"]
        for route in routes["posts"]["spec"]["http"][0]["route"]
    }
    assert shares == {"stable": 80, "canary": 20}
    canary = of_kind("istio", "Deployment", everything=True)["posts-canary"]["spec"]
    stable = of_kind("istio", "Deployment", everything=True)["posts"]["spec"]
    assert canary["selector"] != stable["selector"]
    assert canary["template"]["spec"]["containers"][0]["image"] == "pulse-services:next"
    assert "posts-canary" not in of_kind("istio", "Deployment")

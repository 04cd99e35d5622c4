"""The Kubernetes package: what kustomize makes of it, by the API's own schemas and by our rules."""

from __future__ import annotations

import copy
import difflib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pulse_cli.errors import ConfigError
from pulse_cli.render import kubernetes
from pulse_cli.render.kubernetes.drain import DRAIN
from pulse_cli.render.kubernetes.stores import STATEMENT_MILLISECONDS, peak_connections, pooled
from pulse_cli.stack.model import SERVICE_NAMES
from services.kit import app as kit_app
from services.kit import db as kit_db
from tests.unit.custom_kinds import SCHEMAS
from tests.unit.kubernetes_package import (
    OVERLAYS,
    built,
    configured,
    containers,
    of_kind,
    package,
    pod_specs,
)
from tests.unit.kubernetes_schemas import validator
from tests.unit.kustomize import LOADER, Document, build

VERSIONS = ("1.30", "1.31", "1.32", "1.33", "1.34")
GOLDEN = Path(__file__).parents[1] / "golden" / "kubernetes"
DIGEST = re.compile(r"\b(\w+-settings|gateway-listen|peers|stores)-[a-z0-9]{10}\b")
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
FULL = "production"
"""Whose golden file is whole; the others' are what differs from it."""


def distinct(everything: bool) -> list[Document]:
    """Every object of every overlay, those that are the same once."""
    found = {json.dumps(one, sort_keys=True): one for o in OVERLAYS for one in built(o, everything)}
    return list(found.values())


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_follows_the_strict_schema_of_its_kind(version: str, everything: bool) -> None:
    wrong: list[str] = []
    for one in distinct(everything):
        custom = SCHEMAS.get((one["apiVersion"], one["kind"]))
        # A kind that nobody has a schema for is a failure of the look-up, not a pass.
        rules = custom or validator(version, one["kind"], one["apiVersion"])
        wrong += [f"{one['kind']} {one['metadata']['name']}: {e}" for e in rules.iter_errors(one)]
    assert wrong == []


def test_the_schemas_are_strict() -> None:
    service = of_kind("dev", "Service")["posts"]
    assert validator("1.34", "Service", "v1").is_valid(service)
    assert not validator("1.34", "Service", "v1").is_valid({**service, "extra": 1})
    kubernetes_validate.validate(service, "1.34", strict=True)


def reviewed(overlay: str) -> str:
    """An overlay for people: without the gateway's policies, which are reviewed elsewhere."""
    documents = copy.deepcopy(built(overlay))
    for one in documents:
        if "kong.yml" in one.get("data", {}):
            one["data"]["kong.yml"] = "(what `pulse render kong` shows)"
        if one["kind"] == "Deployment" and one["metadata"]["name"] == "gateway":
            del one["spec"]["template"]["spec"]["containers"][0]["env"]
    text: str = yaml.dump_all(documents, Dumper=DUMPER, sort_keys=True)
    return DIGEST.sub(r"\1-DIGEST", text)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_are_as_they_were_reviewed(overlay: str) -> None:
    """Run with PULSE_TEST_GOLDEN=write after a change that is meant, and read what differs."""
    text = whole = reviewed(FULL)
    file = GOLDEN / f"{overlay}.yaml"
    if overlay != FULL:
        lines = difflib.unified_diff(
            whole.splitlines(), reviewed(overlay).splitlines(), FULL, overlay, lineterm="", n=2
        )
        text = "".join(f"{line}\n" for line in lines)
        file = GOLDEN / f"{overlay}.diff"
    if os.environ.get("PULSE_TEST_GOLDEN") == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl to compare with")
@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_builds_the_same(overlay: str, everything: bool, tmp_path: Path) -> None:
    for path, text in package(everything).items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    done = subprocess.run(
        ["kubectl", "kustomize", str(tmp_path / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = list(yaml.load_all(done.stdout, LOADER))
    theirs.sort(key=lambda one: (one["kind"], one["metadata"]["name"]))
    assert theirs == built(overlay, everything)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_keep_to_the_restricted_standard(overlay: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards, and a bit more."""
    labels = of_kind(overlay, "Namespace")["pulse"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, spec in pod_specs(overlay):
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["serviceAccountName"] in of_kind(overlay, "ServiceAccount"), name
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] and pod["runAsUser"] > 0, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "secret"}, name
        for container in containers(spec):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert own["readOnlyRootFilesystem"] is True
            for bound in ("requests", "limits"):
                assert set(container["resources"][bound]) == {"cpu", "memory", "ephemeral-storage"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rollouts_lose_no_request(overlay: str) -> None:
    for name, one in of_kind(overlay, "Deployment").items():
        spec = one["spec"]
        assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}, name
        pod = spec["template"]["spec"]
        main = pod["containers"][0]
        pause = main["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pause == (DRAIN.looked_up if name in SERVICE_NAMES else DRAIN.proxied)
        drains = kit_app._SHUTDOWN_SECONDS if name in SERVICE_NAMES else DRAIN.gateway
        assert pod["terminationGracePeriodSeconds"] >= pause + drains, name
        probes = [json.dumps(main[f"{p}Probe"]) for p in ("startup", "readiness", "liveness")]
        assert len(set(probes)) == 3, name
        if name in SERVICE_NAMES:  # every store for a start, none for going on
            assert main["startupProbe"]["httpGet"]["path"] == "/health/ready"
            assert main["readinessProbe"]["httpGet"]["path"] == "/health/live"
        assert name in of_kind(overlay, "PodDisruptionBudget")
        assert pod["topologySpreadConstraints"] and pod["affinity"]["podAntiAffinity"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_gateway_reaches_services_while_names_know_no_pod(overlay: str) -> None:
    maps = of_kind(overlay, "ConfigMap").items()
    declared = next(one["data"]["kong.yml"] for name, one in maps if "gateway-settings" in name)
    services = of_kind(overlay, "Service")
    for upstream in yaml.load(declared, LOADER)["upstreams"]:
        *pods, service = upstream["targets"]
        name = service["target"].partition(":")[0]
        assert services[name]["spec"].get("clusterIP") != "None"
        assert [one["target"].partition(":")[0] for one in pods] == (
            [] if overlay == "istio" else [f"{name}-pods"]
        )
        assert service.get("weight", 100) == (1 if pods else 100)


def test_the_gateways_secrets_come_to_their_places_whatever_is_in_them(tmp_path: Path) -> None:
    spec = of_kind("dev", "Deployment")["gateway"]["spec"]["template"]["spec"]
    configure = spec["initContainers"][0]
    script = configure["args"][0]
    secrets = {"token_key": "plain-key_0", "redis_password": 'a"b\\c|d&e/f$g`h'}
    for name, value in secrets.items():
        (tmp_path / name).write_text(value)
    kong_yml = next(
        one["data"]["kong.yml"]
        for name, one in of_kind("dev", "ConfigMap").items()
        if name.startswith("gateway-settings")
    )
    (tmp_path / "template").write_text(kong_yml)
    for there, here in (
        ("/etc/kong-template/kong.yml", tmp_path / "template"),
        ("/kong/kong.yml", tmp_path / "kong.yml"),
        ("/run/secrets/pulse", tmp_path),
    ):
        script = script.replace(there, str(here))
    subprocess.run([*configure["command"], script], check=True)
    text = (tmp_path / "kong.yml").read_text()
    assert "@PULSE_" not in "".join(line for line in text.splitlines() if not line.startswith("#"))
    found = yaml.load(text, LOADER)
    assert found["consumers"][0]["jwt_secrets"][0]["secret"] == secrets["token_key"]
    limits = [one for one in found["plugins"] if one["name"] == "rate-limiting"]
    assert limits[0]["config"]["redis"]["password"] == secrets["redis_password"]
    assert (tmp_path / "kong.yml").stat().st_mode & 0o077 == 0


def test_no_secret_and_no_reference_to_nothing() -> None:
    for overlay in OVERLAYS:
        assert not of_kind(overlay, "Secret")
        maps = of_kind(overlay, "ConfigMap")
        for name, spec in pod_specs(overlay):
            for container in containers(spec):
                for source in container.get("envFrom", ()):
                    assert source["configMapRef"]["name"] in maps, (overlay, name)
            for volume in spec["volumes"]:
                own = volume.get("configMap", {"optional": True})
                assert own.get("optional") or own["name"] in maps, (overlay, name)
    made = set(of_kind("production", "ExternalSecret", everything=True))
    mounted = {
        volume["secret"]["secretName"]
        for name, spec in pod_specs("production")
        for volume in spec["volumes"]
        if "secret" in volume and not volume["secret"].get("optional")
    }
    assert made >= mounted - {"pgbouncer"}


@pytest.mark.parametrize("overlay", ["production", "aws", "gcp", "azure"])
def test_managed_stores_are_reached_with_tls(overlay: str) -> None:
    maps = {
        name.rpartition("-")[0]: one["data"] for name, one in of_kind(overlay, "ConfigMap").items()
    }
    assert maps["stores"]["SERVICE_REDIS_TLS"] == maps["stores"]["SERVICE_RABBITMQ_TLS"] == "true"
    assert maps["migrate-settings"]["PGSSLMODE"].startswith("verify-")
    assert '"ssl": true' in maps["gateway-settings"]["kong.yml"]
    assert "server_tls_sslmode = verify-" in maps["pgbouncer-settings"]["pgbouncer.ini"]
    service = of_kind(overlay, "Service")["gateway"]["spec"]
    assert [port["port"] for port in service["ports"]] == [443]
    assert service["externalTrafficPolicy"] == "Local"
    assert not of_kind(overlay, "StatefulSet")


def test_a_pooler_is_there_when_connections_may_run_out_and_then_they_do_not() -> None:
    default = configured()
    assert peak_connections(default) == 6 * 6 * 11 + 10
    assert pooled(default)
    watched = configured(**{"kubernetes.managed.postgres_replica": "replica.example.org"})
    assert peak_connections(watched) == 6 * 6 * 12 + 10
    roomy = configured(**{"kubernetes.managed.postgres_connections": 406})
    assert not pooled(roomy)
    names = {one["metadata"]["name"] for one in build(kubernetes.files(roomy), "overlays/aws")}
    assert "pgbouncer" not in names

    ini = next(
        one["data"]["pgbouncer.ini"]
        for name, one in of_kind("production", "ConfigMap").items()
        if name.startswith("pgbouncer-settings")
    )
    sizes = [int(part.partition("=")[2]) for part in ini.split() if part.startswith("pool_size=")]
    pods = of_kind("production", "Deployment")["pgbouncer"]["spec"]["replicas"]
    assert pods * sum(sizes) <= default.kubernetes.managed.postgres_connections
    assert kit_db._STATEMENT_MILLISECONDS == STATEMENT_MILLISECONDS


def test_too_few_connections_even_for_a_pooler_are_refused_with_the_sum() -> None:
    few = configured(**{"kubernetes.managed.postgres_connections": 60})
    with pytest.raises(ConfigError, match=r"= 60 is too few even with PgBouncer: .* 72 sessions"):
        kubernetes.files(few)


def test_the_job_of_migrations_is_another_with_another_image() -> None:
    def job(**settings: object) -> str:
        documents = build(kubernetes.files(configured(**settings)), "overlays/dev")
        return next(str(one["metadata"]["name"]) for one in documents if one["kind"] == "Job")

    ours = {"images.services": "registry.example.org:5000/pulse/services:1.4.2_RC"}
    assert job(**ours).startswith("migrate-1-4-2-rc-")
    assert job() != job(**ours)
    assert job() == job()


def test_autoscaling_goes_by_processors_and_requests() -> None:
    scalers = of_kind("production", "HorizontalPodAutoscaler")
    assert set(scalers) == {*SERVICE_NAMES, "gateway"}
    kinds = [metric["type"] for metric in scalers["posts"]["spec"]["metrics"]]
    assert kinds == ["Resource", "Pods"]
    assert "replicas" not in of_kind("production", "Deployment")["posts"]["spec"]
    assert not of_kind("dev", "HorizontalPodAutoscaler")

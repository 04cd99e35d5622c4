"""What Prometheus is told to scrape is there, and has the promised metrics with few labels."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from pulse_cli.stack.model import SERVICE_NAMES
from services.kit.ids import new_id
from tests.conftest import RunningStack
from tests.connected.people import People

PROMISED = {
    "http_request_duration_seconds": {"method", "route", "status", "le"},
    "db_query_duration_seconds": {"query", "le"},
    "db_slow_queries": {"query"},
    "db_pool_connections": {"server", "state"},
    "db_pool_wait_seconds": {"le"},
    "cache_requests": {"cache", "outcome"},
    "event_lag_seconds": {"type", "le"},
    "events_handled": {"type", "outcome"},
    "degraded": {"what"},
    "process_cpu_seconds": set(),
    "process_resident_memory_bytes": set(),
}
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


def targets(stack: RunningStack) -> dict[str, str]:
    """The address of every instance that Prometheus is told of."""
    listed = json.loads((stack.state / "rendered" / "prometheus-services.json").read_text())
    return {one["labels"]["instance"]: one["targets"][0] for one in listed}


def test_the_configuration_names_every_instance_and_the_gateway(stack: RunningStack) -> None:
    file = stack.state / "rendered" / "prometheus.yml"
    jobs = {job["job_name"]: job for job in yaml.safe_load(file.read_text())["scrape_configs"]}
    (gateway,) = jobs["gateway"]["static_configs"][0]["targets"]
    answer = httpx.get(f"http://{gateway}{jobs['gateway']['metrics_path']}")
    assert "envoy_http_downstream_rq_total" in answer.text
    (listed,) = jobs["services"]["file_sd_configs"][0]["files"]
    assert file.with_name(listed).is_file()
    assert set(targets(stack)) >= {f"{name}-0" for name in SERVICE_NAMES}
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "config", str(file)], check=True, capture_output=True)


@pytest.mark.parametrize("service", SERVICE_NAMES)
async def test_a_service_shows_what_was_promised(
    stack: RunningStack, people: People, service: str
) -> None:
    person = await people.new()
    url = f"http://{targets(stack)[f'{service}-0']}"
    async with httpx.AsyncClient(base_url=url, headers=person.headers) as client:
        for path in (f"/api/v1/posts/{new_id()}", f"/nowhere/{new_id()}"):
            await client.get(path)
        await client.request("INVENTED", f"/nowhere/{new_id()}")
        text = (await client.get("/metrics")).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name, labels in PROMISED.items():
        for sample in families[name].samples:
            assert set(sample.labels) <= labels
    values = {v for f in families.values() for sample in f.samples for v in sample.labels.values()}
    assert not [value for value in values if ID.search(value)]
    assert "unmatched" in values
    assert "INVENTED" not in values

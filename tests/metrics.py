"""What an instance of a service tells Prometheus."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families


async def counted(url: str, sample: str, **labels: str) -> float:
    """The sum of the samples of this name that have these labels."""
    async with httpx.AsyncClient(timeout=60) as client:
        text = (await client.get(f"{url}/metrics")).text
    return sum(
        one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name == sample and one.labels.items() >= labels.items()
    )

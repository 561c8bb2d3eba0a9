"""Numbers as Go's client for Prometheus writes them, and histograms that add up."""

from __future__ import annotations

import pytest
from kvorum.server import latency
from kvorum.server.families import US_A_MS, go_number, histogram, plain_histogram
from kvorum.server.latency import Buckets
from prometheus_client.metrics_core import Metric


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0001, "0.0001"),
        (0.0512, "0.0512"),
        (1.0, "1"),
        (163.84, "163.84"),
        (819200.0, "819200"),
        (1048576.0, "1.048576e+06"),
        (8388608.0, "8.388608e+06"),
        (2e6, "2e+06"),
        (1.5e21, "1.5e+21"),
    ],
)
def test_numbers_are_go_s(value: float, text: str) -> None:
    assert go_number(value) == text


def samples(metric: Metric) -> dict[str, float]:
    return {
        sample.labels.get("le", sample.name.rpartition("_")[2]): sample.value
        for sample in metric.samples
    }


def test_buckets_are_cumulated() -> None:
    buckets = Buckets((1_000, 2_000, 4_000))
    for us in (1, 1_000, 1_001, 4_000, 9_999):
        buckets.add(us)
    expected = {"0.001": 2, "0.002": 3, "0.004": 4, "+Inf": 5, "count": 5, "sum": 0.016001}
    assert samples(histogram("x", "about", buckets.read())) == expected
    shown = samples(histogram("x", "about", buckets.read(), US_A_MS))
    assert shown == {"1": 2, "2": 3, "4": 4, "+Inf": 5, "count": 5, "sum": 16.001}
    plain = plain_histogram("x", "about", (1, 2), (3, 0, 4), 99)
    assert samples(plain) == {"1": 3, "2": 3, "+Inf": 7, "count": 7, "sum": 99}


def test_bounds_are_etcd_s() -> None:
    first_and_last = {
        "DISK": (0.001, 8.192, 14),
        "NETWORK": (0.0001, 3.2768, 16),
        "HASH": (0.01, 163.84, 15),
        "SNAPSHOT": (0.01, 655.36, 17),
        "DEFRAGMENT": (0.1, 409.6, 13),
        "COMPACTION": (0.1, 819.2, 14),
        "CALL": (0.005, 10.0, 11),
    }
    found = {
        name: (bounds[0] / 1e6, bounds[-1] / 1e6, len(bounds))
        for name in first_and_last
        for bounds in [getattr(latency, f"{name}_BUCKETS_US")]
    }
    assert found == first_and_last

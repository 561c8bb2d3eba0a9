"""Families of metrics in the shapes that prometheus-client wants them, from what a node counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from kvorum.server.latency import Histogram

Labelled = Iterable[tuple[tuple[str, ...], float]]
US_A_SECOND = 1_000_000
US_A_MS = 1_000


def gauge(name: str, about: str, value: float) -> Metric:
    """One gauge."""
    return GaugeMetricFamily(name, about, value)


def counter(name: str, about: str, value: float) -> Metric:
    """One counter; ``_total`` is added to its name."""
    return CounterMetricFamily(name, about, value)


def bare_counter(name: str, about: str, value: float) -> Metric:
    """One counter of etcd's without the suffix that prometheus-client gives every counter; the
    text's head is mended by ``metrics.Metrics.render``.
    """
    metric = Metric(name, about, "counter")
    metric.add_sample(name, {}, value)
    return metric


def gauges(name: str, about: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    """A gauge for each tuple of label values."""
    family = GaugeMetricFamily(name, about, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def counters(name: str, about: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    """A counter for each tuple of label values."""
    family = CounterMetricFamily(name, about, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def histogram(name: str, about: str, counts: Histogram, unit_us: int = US_A_SECOND) -> Metric:
    """One histogram, in seconds unless told otherwise."""
    return histograms(name, about, [((), counts)], unit_us=unit_us)


def histograms(
    name: str,
    about: str,
    values: Iterable[tuple[tuple[str, ...], Histogram]],
    labels: tuple[str, ...] = (),
    unit_us: int = US_A_SECOND,
) -> Metric:
    """A histogram for each tuple of label values."""
    family = HistogramMetricFamily(name, about, labels=labels)
    for label_values, counts in values:
        bounds = [bound / unit_us for bound in counts.bounds_us]
        family.add_metric(label_values, _cumulated(bounds, counts.counts), counts.sum_us / unit_us)
    return family


def plain_histogram(
    name: str, about: str, bounds: Sequence[float], counts: Sequence[int], total: float
) -> Metric:
    """A histogram of something that is no duration."""
    family = HistogramMetricFamily(name, about)
    family.add_metric((), _cumulated(bounds, counts), total)
    return family


def _cumulated(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    buckets, total = [], 0
    for bound, count in zip(bounds, counts, strict=False):
        total += count
        buckets.append((go_number(bound), float(total)))
    buckets.append(("+Inf", float(total + counts[-1])))
    return buckets


def go_number(value: float) -> str:
    """A number as Go's client writes it: bounds are labels, and labels are compared as texts."""
    if value < 1e6:
        return f"{value:.15g}"
    _, digits, exponent = Decimal(repr(value)).as_tuple()
    shown = "".join(map(str, digits)).rstrip("0")
    power = len(digits) + int(exponent) - 1
    point = "." if shown[1:] else ""
    return f"{shown[0]}{point}{shown[1:]}e+{power:02d}"

"""h2load (nghttp2) as the client: written in C, it takes the least from what it measures."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.measure.wire import framed


class Shape(NamedTuple):
    """Connections, calls in flight on each, calls in all."""

    connections: int
    flight: int
    calls: int

    def __str__(self) -> str:
        return f"{self.connections}x{self.flight}"

    def scaled(self, factor: float) -> Shape:
        """The same with more or fewer calls; a multiple of what is in flight."""
        width = self.connections * self.flight
        return self._replace(calls=max(2, round(self.calls * factor / width)) * width)


@dataclass(frozen=True)
class Call:
    """What is asked: a method and one encoded request. ``answer_bytes``: of a good answer at least;
    a refusal is an answer of HTTP too, and only its length tells.
    """

    path: str
    request: bytes
    answer_bytes: int = 1


class Answered(NamedTuple):
    """Of one run: calls a second and quantiles of their times, in microseconds."""

    per_s: float
    p50_us: float
    p99_us: float
    p999_us: float


def quantile(sorted_values: list[float], share: float) -> float:
    """A quantile of values in order; the nearest one."""
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def ask(port: int, call: Call, shape: Shape, scratch: Path) -> Answered:
    """Let h2load ask. AssertionError unless every call was answered well."""
    body, times = scratch / "body", scratch / "times"
    body.write_bytes(framed(call.request))
    times.unlink(missing_ok=True)
    command = [
        *("h2load", "-t1", f"-c{shape.connections}", f"-m{shape.flight}", f"-n{shape.calls}"),
        *("-d", str(body), f"--log-file={times}", "-w30", "-W30"),
        *("-H", "content-type: application/grpc", "-H", "te: trailers"),
        f"http://127.0.0.1:{port}{call.path}",
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"{shape.calls} succeeded" in out, out
    found = re.search(r"([0-9.]+) req/s", out)
    taken = re.search(r"\((\d+)\) data", out)
    assert found is not None and taken is not None, out
    least = shape.calls * (5 + call.answer_bytes)
    assert int(taken[1]) >= least, f"{call.path}: {taken[1]} bytes of answers, not {least}"
    took = sorted(float(line.split("\t")[2]) for line in times.read_text().splitlines())
    return Answered(
        float(found[1]), quantile(took, 0.5), quantile(took, 0.99), quantile(took, 0.999)
    )

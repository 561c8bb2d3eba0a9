"""``kvorum bench``: the same load on kvorum and on real etcd in turn, three nodes each, on this
machine.

Both clusters run all the time; each round puts one workload on the one, then on the other, so that
whatever else the machine does hits both alike. What is judged is the servers' CPU per request, from
the kernel's accounting of their processes; throughput and latency include a Python client and are
comparable only side by side.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from kvorum.cli.bench_kernel import cpu_ns
from kvorum.cli.bench_load import Load
from kvorum.cli.output import form_option
from kvorum.cluster.file import ClusterSpec, NodeSpec
from kvorum.cluster.rundir import ClusterError, RunDir
from kvorum.cluster.supervisor import Supervisor

_EXIT_ERROR = 1
_EXIT_INTERRUPTED = 5
WORKLOADS: tuple[tuple[str, int], ...] = (
    ("put", 1),
    ("put", 16),
    ("put", 64),
    ("get", 1),
    ("get", 16),
    ("get-serializable", 16),
    ("range", 4),
)
_TITLES = {
    "get": "get linearizable",
    "get-serializable": "get serializable",
    "range": "range 1,000",
}


@dataclass(frozen=True)
class Row:
    """One workload on one program: medians over the rounds."""

    workload: str
    clients: int
    program: str
    requests_per_s: float
    p50_us: float
    p99_us: float
    server_cpu_us: float
    failed: int


@contextmanager
def cluster(program: str, nodes: int, folder: Path) -> Iterator[Supervisor]:
    """A cluster of its own, gone afterwards."""
    names = tuple(NodeSpec(f"n{n + 1}") for n in range(nodes))
    spec = ClusterSpec(folder / "cluster.toml", f"bench-{program}", names, program)
    supervisor = Supervisor(spec, RunDir(folder / "run"))
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.stop()


def measure(supervisor: Supervisor, kind: str, clients: int, seconds: float) -> dict[str, float]:
    """Put one load on the leader; the load's figures and the servers' CPU per request in
    microseconds."""
    views = supervisor.nodes()
    leader = supervisor.leader()
    url = next(view.client_url for view in views if view.name == leader)
    pids = [view.pid for view in views if view.pid]
    load = Load(url, kind, clients, seconds)
    before = cpu_ns(pids)
    done = subprocess.run(
        [sys.executable, "-m", "kvorum.cli.bench_load"],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        check=True,
    )
    spent_us = (cpu_ns(pids) - before) / 1000
    figures: dict[str, float] = json.loads(done.stdout)
    figures["server_cpu_us"] = spent_us / max(1.0, figures["requests"])
    return figures


def summarize(program: str, kind: str, clients: int, rounds: list[dict[str, float]]) -> Row:
    """The medians of one workload's rounds."""

    def middle(name: str) -> float:
        return statistics.median(each[name] for each in rounds)

    return Row(
        _TITLES.get(kind, kind),
        clients,
        program,
        statistics.median(each["requests"] / each["seconds"] for each in rounds),
        middle("p50_us"),
        middle("p99_us"),
        middle("server_cpu_us"),
        int(sum(each["failed"] for each in rounds)),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows side by side, a ratio column where there are two programs (below 1 is better than
    the other)."""
    head = (
        f"{'workload':<18}{'clients':>8} {'program':<8}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'cpu us/req':>12}{'failed':>8}  cpu ratio"
    )
    lines = [head, "-" * len(head)]
    for row in rows:
        twin = _twin(rows, row)
        ratio = (
            f"{row.server_cpu_us / twin.server_cpu_us:.2f}x" if twin and twin.server_cpu_us else ""
        )
        lines.append(
            f"{row.workload:<18}{row.clients:>8} {row.program:<8}{row.requests_per_s:>9.0f}"
            f"{row.p50_us / 1000:>9.2f}{row.p99_us / 1000:>9.2f}{row.server_cpu_us:>12.0f}"
            f"{row.failed:>8}  {ratio}"
        )
    return "\n".join(lines)


def _twin(rows: Sequence[Row], row: Row) -> Row | None:
    """The same workload on the other program, for a row of kvorum."""
    if row.program != "kvorum":
        return None
    for other in rows:
        if (other.workload, other.clients) == (row.workload, row.clients) and other is not row:
            return other
    return None


@click.command()
@click.option("--against", type=click.Choice(["etcd"]), help="Measure beside this program.")
@click.option(
    "--nodes", type=click.IntRange(1, 5), default=3, show_default=True, help="Nodes a cluster."
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 50),
    default=3,
    show_default=True,
    help="How often each load is put on each cluster, in turn.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.2, 60),
    default=2.0,
    show_default=True,
    help="How long a load lasts.",
)
@form_option("table", "json")
def bench(against: str | None, nodes: int, rounds: int, seconds: float, write_out: str) -> None:
    """Start clusters of this machine's own, put the same loads on each in turn, and print the
    figures.

    Exit status: 0 measured, 1 a cluster did not come up, 5 interrupted (nothing is left running).
    """
    programs = ["kvorum", *([against] if against else [])]
    collected: dict[tuple[str, int, str], list[dict[str, float]]] = {}
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kvorum-bench-")))
            running = {
                program: stack.enter_context(cluster(program, nodes, _made(folder / program)))
                for program in programs
            }
            for supervisor in running.values():
                # The keys that the gets and ranges read must be there before the first round.
                measure(supervisor, "put", 16, max(1.0, seconds))
            for number in range(rounds):
                for kind, clients in WORKLOADS:
                    for program in programs if number % 2 == 0 else reversed(programs):
                        click.echo(
                            f"round {number + 1}/{rounds}: {kind} x {clients} on {program}",
                            err=True,
                        )
                        figures = measure(running[program], kind, clients, seconds)
                        collected.setdefault((kind, clients, program), []).append(figures)
    except ClusterError as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(_EXIT_ERROR)
    except KeyboardInterrupt:
        click.echo("bench: interrupted", err=True)
        sys.exit(_EXIT_INTERRUPTED)
    rows = [
        summarize(program, kind, clients, collected[kind, clients, program])
        for kind, clients in WORKLOADS
        for program in programs
    ]
    if write_out == "json":
        click.echo(json.dumps([asdict(row) for row in rows]))
    else:
        click.echo(table(rows))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder

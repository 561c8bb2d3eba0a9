"""Measures the figures that kvorum is to reach, beside real etcd, and writes ``RESULTS.md``.

    python tests/bench/figures.py                 every row: half an hour, without loading
    python tests/bench/figures.py --quick         every row in ten minutes
    python tests/bench/figures.py put-1 get       these rows; the others keep their last figures
    python tests/bench/figures.py --prepare       only load the large stores, or go on loading
    python tests/bench/figures.py --list

Needs etcd, etcdctl and h2load (nghttp2-client) on PATH, and Linux. The large stores (1,000,000
keys in each program; 5,000,000 revisions in kvorum) are loaded once and kept below ``--dir``; a
load that is interrupted goes on where it was. Ctrl-C keeps the rows that are done.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench.measure import calls, large, leaders, machine, servers, streams  # noqa: E402
from bench.measure.bench import ROWS, Bench, many_files  # noqa: E402
from bench.measure.figure import Row, from_json, median_of, to_json  # noqa: E402
from bench.measure.report import page, picture  # noqa: E402

# Rows register themselves; this is the order of the table of goals.
MODULES = (calls, streams, leaders, large)
ORDER = (
    *("put-1", "put-3", "get", "rate-3", "sequence", "range", "count", "txn", "watch", "beside"),
    *("keep-alive", "leader", "memory", "restart", "past", "sql", "cold"),
)
# Rows of one kind of servers one after the other: they are started once.
AS_MEASURED = (
    *("put-1", "get", "sequence", "range", "txn", "watch", "beside", "keep-alive", "cold"),
    *("put-3", "rate-3", "leader", "count", "memory", "restart", "past", "sql"),
)
NEEDS_LARGE = {"count", "memory", "restart", "past", "sql"}
_ROOM_BYTES = 12 * 1024**3


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="which; none: all")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement  [default: 5]")
    parser.add_argument("--kills", type=int, default=50, help="of a leader  [default: 50]")
    parser.add_argument("--quick", action="store_true", help="fewer calls, 3 rounds, 10 kills")
    parser.add_argument("--dir", type=Path, default=Path(".kvorum/figures"), help="for the stores")
    parser.add_argument("--json", type=Path, help="every round  [default: figures.json in --dir]")
    parser.add_argument("--out", type=Path, default=HERE, help="where the page goes")
    parser.add_argument("--http2", default="own", choices=("own", "h2"))
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--revisions", type=int, default=5_000_000)
    parser.add_argument("--prepare", action="store_true", help="load, measure nothing")
    parser.add_argument("--list", action="store_true", help="name the rows")
    options = parser.parse_args()
    unknown = sorted(set(options.rows) - set(ORDER))
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are: {', '.join(ORDER)}")
    if options.quick:
        options.rounds, options.kills = min(options.rounds, 3), min(options.kills, 10)
    return options


def prepare(bench: Bench) -> None:
    """Load what is not loaded."""
    for program, revisions in (
        (servers.KVORUM, bench.keys),
        (servers.ETCD, bench.keys),
        (servers.KVORUM, bench.revisions),
    ):
        with bench.large(program, bench.keys, revisions):
            print(f"{program}, {bench.keys:,} keys, {revisions:,} revisions: there")


def tell(row: Row) -> None:
    """A row on the terminal."""
    print(row.title)
    for figure in row.figures:
        beside = f"  beside {median_of(figure.theirs)}" if figure.theirs else ""
        times = "" if figure.times is None else f" = {figure.times:.2f}x"
        reached = {True: "reached", False: "NOT REACHED", None: ""}[figure.reached]
        mine = f"{median_of(figure.ours)} {figure.unit}"
        print(f"  {figure.what:<28} {mine}{beside}{times}  {figure.goal} {reached}", flush=True)


def write(rows: list[Row], described: dict[str, str], options: argparse.Namespace) -> None:
    """The page, the picture and the numbers behind them."""
    rows.sort(key=lambda row: ORDER.index(row.name))
    options.json.write_text(to_json(rows, described), encoding="utf-8")
    command = "python tests/bench/figures.py" + (" --quick" if options.quick else "")
    if options.http2 != "own":
        command += f" --http2 {options.http2}"
    (options.out / "RESULTS.md").write_text(page(rows, described, command), encoding="utf-8")
    (options.out / "results.svg").write_text(picture(rows), encoding="utf-8")


def main() -> int:
    """The exit status: 0 all goals of the rows measured are reached, 1 some are not, 2 it cannot be
    measured here, 5 interrupted.
    """
    options = parse()
    if options.list:
        print("\n".join(ORDER))
        return 0
    if servers.missing():
        print(f"needs on PATH: {', '.join(servers.missing())}", file=sys.stderr)
        return 2
    many_files()
    # Told to end, it takes its servers along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.dir = options.dir.resolve()
    options.dir.mkdir(parents=True, exist_ok=True)
    options.json = options.json or options.dir / "figures.json"
    wanted = [name for name in AS_MEASURED if not options.rows or name in options.rows]
    if NEEDS_LARGE.intersection(wanted) and servers.room_bytes(options.dir) < _ROOM_BYTES:
        print(f"needs {_ROOM_BYTES >> 30} GiB of room in {options.dir}", file=sys.stderr)
        return 2
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=options.dir))
    bench = Bench(
        scratch,
        options.dir,
        options.rounds,
        0.5 if options.quick else 1.0,
        options.kills,
        options.http2,
        options.keys,
        options.revisions,
    )
    try:
        if options.prepare:
            prepare(bench)
            return 0
        described = machine.described(options.dir)
        done = {row.name: row for row in from_json(options.json)[0]}
        for name in wanted:
            began, load = time.monotonic(), machine.load()
            row = done[name] = ROWS[name](bench)
            row.conditions = (
                f"{bench.rounds} rounds, {time.monotonic() - began:.0f} s, load {load} before and "
                f"{machine.load()} after"
            )
            tell(row)
            write(list(done.values()), described, options)
        return 0 if all(done[name].reached for name in wanted) else 1
    except KeyboardInterrupt:
        print("interrupted; the rows above are kept", file=sys.stderr)
        return 5
    finally:
        bench.close()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

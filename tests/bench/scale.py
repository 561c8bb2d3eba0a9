"""Measures how a node grows with its keys, and what crowds cost it: ``SCALE.md``, ``CROWDS.md``.

    python tests/bench/scale.py                        10,000, 100,000 and 1,000,000 keys, crowds
    python tests/bench/scale.py --sizes 10000 100000   smaller stores
    python tests/bench/scale.py --only crowds

Five revisions a key: the largest store has 5,000,000. Stores are loaded once and kept below
``--dir``, as by ``figures.py``; everything that changes one is done to a copy.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench.measure import machine  # noqa: E402
from bench.measure.bench import Bench, many_files  # noqa: E402
from bench.measure.crowds import crowds  # noqa: E402
from bench.measure.figure import Row, median_of  # noqa: E402
from bench.measure.growth import Table, one_size  # noqa: E402
from bench.measure.growth import page as growth_page  # noqa: E402

_INTRO = """\
# How a node grows

Written by `python tests/bench/scale.py`. Five revisions a key, values of 256 bytes; the slope is
the exponent between sizes: 0 does not depend on how much there is, 1 is in proportion to it.
"""
_CROWDS = """\
# What crowds cost a node

Written by `python tests/bench/scale.py --only crowds`: one round on fresh nodes of each program.
"""
SIZES = (10_000, 100_000, 1_000_000)


def crowd_lines(rows: list[Row]) -> list[str]:
    """A table of what crowds cost."""
    lines = [
        "| What | Figure | kvorum | etcd | Ratio |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        for at, figure in enumerate(row.figures):
            times = figure.times
            cells = [
                "" if at else row.title,
                f"{figure.what}, {figure.unit}",
                median_of(figure.ours),
                median_of(figure.theirs),
                "" if times is None else f"{times:.2f}x",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("growth", "crowds"))
    parser.add_argument("--dir", type=Path, default=Path(".kvorum/figures"))
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--http2", default="own", choices=("own", "h2"))
    options = parser.parse_args()
    many_files()
    # Told to end, it takes its servers along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.dir = options.dir.resolve()
    options.dir.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=options.dir))
    bench = Bench(scratch, options.dir, options.rounds, http2=options.http2)
    described = machine.described(options.dir)
    try:
        if options.only != "crowds":
            table = Table()
            for size in options.sizes:
                one_size(bench, table, size)
            write(options.out / "SCALE.md", [_INTRO, *growth_page(table)], described)
        if options.only != "growth":
            write(options.out / "CROWDS.md", [_CROWDS, *crowd_lines(crowds(bench))], described)
    finally:
        bench.close()
        shutil.rmtree(scratch, ignore_errors=True)


def write(path: Path, lines: list[str], described: dict[str, str]) -> None:
    """A page, and the same on the terminal."""
    machine_lines = [f"- {name}: {what}" for name, what in described.items()]
    lines = [*lines, "", f"## The machine, its load being {machine.load()}", "", *machine_lines]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

"""Prints how long it takes to read and judge a history of many operations.

Run as ``python tests/bench/check.py [operations]`` (default 100,000): a good history of three
members, twenty clients and some watchers, with leases and operations of unknown fate, made here
beforehand.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kvorum.check.judge import judge
from kvorum.check.lines import encode_line, read_history
from unit.check.reference import make


def main() -> None:
    """Make, write, read, judge."""
    operations = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    made = make(Random(1), operations, clients=20, unknown=0.02)
    lines = [encode_line(line) for line in made.lines()]
    size_mb = sum(map(len, lines)) / 1e6
    gc.disable()  # As the command does.
    begun = time.process_time()
    history = read_history(lines)
    read_s = time.process_time() - begun
    begun = time.process_time()
    verdict = judge(history)
    judge_s = time.process_time() - begun
    print(f"{operations:,} operations, {len(lines):,} lines, {size_mb:.1f} MB")
    print(f"CPU: read {read_s:.2f} s, judged {judge_s:.2f} s, {len(verdict.findings)} findings")
    print(verdict.figures)


if __name__ == "__main__":
    main()

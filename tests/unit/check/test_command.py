"""``kvorum check``: exit codes, words, files."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from kvorum.check.judge import judge
from kvorum.check.lines import encode_line, read_history
from kvorum.check.records import History
from kvorum.cli import cli
from unit.check.reference import make
from unit.check.test_part import stale


def written(folder: Path, history: History) -> Path:
    """A run folder."""
    text = "".join(f"{encode_line(line)}\n" for line in history.lines())
    (folder / "history.ndjson").write_text(text, encoding="utf-8")
    return folder


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["check", *map(str, args)])


def test_a_good_run_holds(tmp_path: Path) -> None:
    done = run(written(tmp_path, make(Random(2), 30)))
    assert done.exit_code == 0
    assert done.stdout.startswith("30 operations, ")
    assert done.stderr.startswith("held, ")


def test_a_spoiled_run_is_refused_in_words_json_and_pictures(tmp_path: Path) -> None:
    folder = written(tmp_path, stale())
    done = run(folder)
    assert done.exit_code == 1
    assert done.stdout.startswith("FOUND stale_read: operation ")
    svg, part = tmp_path / "a.svg", tmp_path / "part.ndjson"
    done = run(folder / "history.ndjson", "-w", "json", "--svg", svg, "--part", part)
    assert done.exit_code == 1
    verdict = json.loads(done.stdout)
    assert verdict["ok"] is False
    assert verdict["figures"]["operations"] == 40
    assert verdict["findings"][0]["rule"] == "stale_read"
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    cut = judge(read_history(part.read_text(encoding="utf-8").splitlines()))
    assert cut.findings[0].rule == "stale_read"
    assert cut.figures.operations == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"op":1}\n', "history.ndjson: line 1: op: must be an object, not a number"),
        (b"\xff\n", "history.ndjson: not UTF-8: invalid start byte at byte 0 of a line"),
        (b"", "history.ndjson: line 1: run: the history is empty"),
        (None, "history.ndjson: No such file or directory"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, text: bytes | None, problem: str) -> None:
    if text is not None:
        (tmp_path / "history.ndjson").write_bytes(text)
    done = run(tmp_path)
    assert done.exit_code == 2
    assert done.stderr.strip().endswith(problem)
    assert done.stdout == ""


def test_an_interruption_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kvorum.check.judge.judge", interrupted)
    done = run(written(tmp_path, make(Random(2), 10)))
    assert done.exit_code == 5
    assert done.stderr == "interrupted\n"

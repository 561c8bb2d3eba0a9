"""Recordings on disk while they grow, and what a killed runner leaves of them."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kvorum.check import records as r
from kvorum.check.lines import encode_line
from kvorum.cli import cli
from kvorum.drill import journal as module
from kvorum.drill.journal import Journal
from kvorum.drill.recorder import Call
from support.clusters import wait_until


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_lines_are_there_before_the_end_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a"
    journal: Journal[int] = Journal([path], lambda number: (0, str(number)))
    for number in range(100):
        journal.add(number)
    wait_until(lambda: len(lines_of(path)) == 100, "lines are written by themselves")
    journal.add(100)
    journal.close()
    assert lines_of(path) == [str(number) for number in range(101)]


def test_who_adds_too_much_writes_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRILL_JOURNAL_LINES", 10)
    monkeypatch.setattr(module, "_FLUSH_S", 3600.0)
    seen: list[int] = []

    def encode(number: int) -> tuple[int, str]:
        seen.append(number)
        return 0, str(number)

    journal: Journal[int] = Journal([tmp_path / "a"], encode)
    for number in range(25):
        journal.add(number)
        assert number - len(seen) < 10
    assert len(lines_of(tmp_path / "a")) == 20
    journal._over.set()
    monkeypatch.setattr(module, "_FLUSH_S", 0.0)
    journal.close()
    assert len(lines_of(tmp_path / "a")) == 25


def test_a_full_disk_is_told_at_the_end() -> None:
    journal: Journal[str] = Journal([Path("/dev/full")], lambda text: (0, text))
    journal.add("x")
    with pytest.raises(OSError, match="No space left"):
        journal.close()
    assert threading.active_count() < 50


def test_a_later_file_never_knows_more_than_an_earlier_one(tmp_path: Path) -> None:
    paths = [tmp_path / "calls", tmp_path / "lines"]
    journal: Journal[int] = Journal(paths, lambda number: (number % 2, str(number // 2)))
    for number in range(2_000):
        journal.add(number)
        if not number % 50:
            lines = lines_of(paths[1])
            assert len(lines) <= len(lines_of(paths[0]))
    journal.close()
    assert lines_of(paths[0]) == lines_of(paths[1])


def operation(number: int) -> r.Operation:
    request = r.Put(b"k", b"%d" % number)
    at = number * 10
    return r.Operation(number, 1, at, request, at + 5, r.PutAnswer(), number + 1, 2)


def recorded(count: int) -> list[str]:
    """A recording that was cut off: nobody was asked at the end."""
    run = r.Run("x", "live", 1, members=("n1", "n2", "n3"))
    lines: list[r.Line] = [run, r.State(1)]
    lines += [operation(number) for number in range(1, count)]
    return [encode_line(line) for line in lines]


def check(folder: Path) -> Result:
    return CliRunner().invoke(cli, ["check", str(folder), "-w", "json"])


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_last_line_is_left_out_and_said(tmp_path: Path, cut: int) -> None:
    text = "\n".join(recorded(9))
    (tmp_path / "history.ndjson").write_text(text[:-cut], encoding="utf-8")
    done = check(tmp_path)
    assert done.exit_code == 0, done.output
    assert f"cut off: {len(recorded(9)[-1]) - cut} bytes of line 10 are left out" in done.stderr
    assert json.loads(done.stdout)["figures"]["operations"] == 7


def test_a_torn_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    lines = recorded(9)
    lines[4] = lines[4][:-5]
    (tmp_path / "history.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = check(tmp_path)
    assert done.exit_code == 2
    assert "line 5: not JSON" in done.stderr


def test_a_whole_last_line_without_an_end_counts(tmp_path: Path) -> None:
    (tmp_path / "history.ndjson").write_text("\n".join(recorded(9)), encoding="utf-8")
    done = check(tmp_path)
    assert done.exit_code == 0
    assert "cut off" not in done.stderr
    assert json.loads(done.stdout)["figures"]["operations"] == 8


def test_what_was_under_way_when_the_runner_was_killed_is_unknown(tmp_path: Path) -> None:
    lines = recorded(9)
    lost = lines.pop(5)
    (tmp_path / "history.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = check(tmp_path)
    assert done.exit_code == 1  # Without the calls: a revision that nobody made.
    calls = [
        Call(number, 1, number * 10, r.Put(b"k", b"%d" % number)).operation
        for number in range(1, 10)
    ]
    text = "\n".join(encode_line(call) for call in calls)
    (tmp_path / "calls.ndjson").write_text(f"{text}\n{lost[:7]}", encoding="utf-8")
    done = check(tmp_path)
    assert done.exit_code == 0, done.output
    assert "the run was broken off" in done.stderr
    assert "2 requests that were under way count as unknown" in done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert (figures["operations"], figures["unknown"], figures["placed"]) == (9, 2, 1)


def test_what_others_wrote_is_no_finding_where_no_member_was_asked(tmp_path: Path) -> None:
    lines = recorded(9)
    lines[0] = encode_line(r.Run("x", "live", 1, closed=False, members=("n1",)))
    del lines[5]
    (tmp_path / "history.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = check(tmp_path)
    assert done.exit_code == 0, done.output
    assert "1 revisions were made by others, or by locks" in done.stderr
    # A read that contradicts what is known is one all the same.
    wrong = r.Operation(50, 2, 200, r.Range(b"k"), 210, r.RangeAnswer(), 9, 2)
    (tmp_path / "history.ndjson").write_text("\n".join([*lines, encode_line(wrong)]) + "\n")
    done = check(tmp_path)
    assert done.exit_code == 1
    assert [f["rule"] for f in json.loads(done.stdout)["findings"]] == ["wrong_read"]

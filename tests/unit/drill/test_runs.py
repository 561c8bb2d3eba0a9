"""Earlier runs: read back from their folders, and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kvorum.drill.compare import compare, table_lines
from kvorum.drill.runs import RunSummary, find_run, list_runs, read_run
from kvorum.errors import ConfigError

FIGURES = {"new_leader_s": 1.5, "write_stall_s": 2.0, "failed": 3, "digests_equal": True}


def keep(
    parent: Path, name: str, stage: str, passed: bool | None = True, **figures: object
) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    head = {"drill": "leader-killed", "stage": stage, "seed": 7, "began_unix_s": 1_700_000_000.5}
    (folder / "run.json").write_text(json.dumps(head))
    if passed is not None:
        verdict = {
            "drill": "leader-killed",
            "stage": stage,
            "seed": 7,
            "passed": passed,
            "figures": {**FIGURES, **figures},
            "findings": [{"name": "digests", "ok": passed, "text": ""}],
            "violations": [],
        }
        (folder / "verdict.json").write_text(json.dumps(verdict))
    return folder


def test_the_newest_run_comes_first(tmp_path: Path) -> None:
    keep(tmp_path, "0001-leader-killed-live", "live")
    keep(tmp_path, "0002-leader-killed-etcd", "etcd", passed=False)
    keep(tmp_path, "0003-leader-killed-live", "live", passed=None)
    (tmp_path / "0004-empty").mkdir()
    (tmp_path / "letters").mkdir()
    runs = list_runs(tmp_path)
    assert [run.word for run in runs] == ["no verdict", "FAILED", "passed"]
    assert [run.label for run in runs] == ["0003 live", "0002 etcd", "0001 live"]
    assert runs[1].failed == ("digests",)
    assert runs[0].figures == {}
    assert f"{runs[0].when:%Y-%m-%d %H:%M:%S}" == "2023-11-14 22:13:20"
    assert list_runs(tmp_path / "nowhere") == []


def test_a_torn_verdict_is_no_verdict(tmp_path: Path) -> None:
    folder = keep(tmp_path, "0001-leader-killed-live", "live")
    verdict = folder / "verdict.json"
    verdict.write_text(verdict.read_text()[:40])
    assert read_run(folder).passed is None


def test_a_run_is_found_by_number_name_and_path(tmp_path: Path) -> None:
    folder = keep(tmp_path, "0012-leader-killed-live", "live")
    assert find_run("12", tmp_path) == folder
    assert find_run(folder.name, tmp_path) == folder
    assert find_run(str(folder), tmp_path / "elsewhere") == folder
    with pytest.raises(ConfigError, match=r"13: no run folder, and no run in .*kvorum drill runs"):
        find_run("13", tmp_path)
    with pytest.raises(ConfigError, match="holds no run of a drill"):
        read_run(tmp_path)


def two(tmp_path: Path) -> list[RunSummary]:
    one = keep(tmp_path, "0001-leader-killed-live", "live")
    other = keep(tmp_path, "0002-leader-killed-etcd", "etcd", new_leader_s=None, failed=0)
    return [read_run(one), read_run(other)]


def test_runs_side_by_side(tmp_path: Path) -> None:
    rows = {row.label: row for row in compare(two(tmp_path))}
    assert rows["run"].values == ("0001 live", "0002 etcd")
    assert rows["time to new leader"].values == ("1.50 s", "-")
    assert rows["time to new leader"].best == ()  # One number is no contest.
    assert rows["failed operations"].best == (1,)
    assert rows["write stall"].best == ()  # They are equal.
    assert rows["digests equal after heal"].values == ("yes", "yes")
    assert "watch events" not in rows


def test_the_table_is_aligned(tmp_path: Path) -> None:
    lines = table_lines(compare(two(tmp_path)))
    assert lines[0] == "run                       0001 live            0002 etcd"
    assert "failed operations         3                    0 *" in lines
    assert table_lines([]) == []

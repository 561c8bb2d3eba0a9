"""The folder of a run: what is in it while the run lasts, and what a finding adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

from click.testing import CliRunner, Result
from kvorum.check import records as r
from kvorum.check.judge import judge as check
from kvorum.check.lines import read_history
from kvorum.cli import cli
from kvorum.drill.compare import compare
from kvorum.drill.facts import Facts, Moment
from kvorum.drill.judging import judged
from kvorum.drill.kept import Kept
from kvorum.drill.recorder import Recorder
from kvorum.drill.recording import read_recording
from kvorum.drill.runs import list_runs, read_run
from kvorum.drill.scenario import Scenario, parse_scenario
from kvorum.drill.sidebyside import comparison_svg
from kvorum.drill.stage import Stage, View
from kvorum.drill.verdict import judge
from support.clusters import wait_until
from unit.check.test_part import stale

TEXT = 'name = "x"\ntitle = "t"\nlearn = "l"\n[[step]]\nat_s = 1\ndo = "heal"\n'


class Quiet:
    """As much of a stage as is kept of one."""

    kind = "live"
    own = True

    def __init__(self) -> None:
        self.recorder = Recorder(lambda: 1.5)

    def view(self) -> View:
        return View()


def scenario() -> Scenario:
    return parse_scenario(TEXT, Path("x.toml"))


def begun(folder: Path) -> tuple[Quiet, Kept]:
    folder.mkdir(parents=True)
    stage = Quiet()
    return stage, Kept(folder, scenario(), cast(Stage, stage), 7, "somewhere")


def test_a_recording_is_there_before_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "0001-x-live"
    stage, kept = begun(folder)
    recorder = stage.recorder
    recorder.history.add(r.State(1))
    done = recorder.call(1, r.Put(b"k", b"v"))
    recorder.answered(done, r.PutAnswer(), 2)
    recorder.call(2, r.Put(b"k", b"w"))
    kept.moment(Moment(0.5, "step", "kill n1"))
    wait_until(lambda: "kill n1" in (folder / "log.txt").read_text(), "moments are written")
    wait_until(lambda: '"w"' in (folder / "calls.ndjson").read_text(), "calls are written")
    notes: list[str] = []
    history = read_recording(folder, notes)
    assert [(op.client, op.unknown) for op in history.operations] == [(1, False), (2, True)]
    assert "1 requests that were under way count as unknown" in notes[0]
    assert (read_run(folder).passed, read_run(folder).cluster) == (None, "somewhere")
    kept.close(Facts(moments=[Moment(0.5, "step", "kill n1")]))
    assert not (folder / "calls.ndjson").exists()
    assert len(read_recording(folder, []).operations) == 1
    assert json.loads((folder / "timeline.json").read_text())[0]["text"] == "kill n1"


def test_a_finding_is_drawn_and_kept_as_a_history(tmp_path: Path) -> None:
    folder = tmp_path / "0001-x-live"
    stage, kept = begun(folder)
    recording = stage.recorder.history
    for line in stale().lines():
        recording.add(line)
    facts = Facts(ended_s=1.0)
    kept.close(facts)
    found, gravest = judged(recording)
    assert gravest is not None and gravest.rule == "stale_read"
    verdict = judge(scenario(), "live", 7, facts, recording, found)
    kept.conclude(verdict, facts, gravest)
    for name in ("finding.svg", "timeline.svg"):
        assert ElementTree.parse(folder / name).getroot().tag.endswith("svg")
    part = read_history((folder / "finding.ndjson").read_text().splitlines())
    assert [finding.rule for finding in check(part).findings] == ["stale_read"]
    assert len(part.operations) == 2
    assert read_run(folder).passed is False
    assert "stale_read" in read_run(folder).failed
    assert read_run(folder).violations[0].startswith("stale_read: ")


def concluded(folder: Path, stall_s: int) -> None:
    stage, kept = begun(folder)
    recorder = stage.recorder
    at = [1, 1 + stall_s]
    for id_, second in enumerate(at, 1):
        moment = second * 1_000_000_000
        put = r.Operation(id_, 1, moment, r.Put(b"k"), moment + 5, r.PutAnswer(), id_ + 1)
        recorder.history.add(put)
    facts = Facts(ended_s=0.5, converged_s=0.1)
    kept.close(facts)
    kept.conclude(judge(scenario(), "live", 7, facts, recorder.history, ()), facts, None)
    assert not (folder / "finding.svg").exists()


def drill(*words: str) -> Result:
    return CliRunner().invoke(cli, ["drill", *words])


def test_runs_are_listed_and_compared_by_the_command(tmp_path: Path) -> None:
    concluded(tmp_path / "0001-x-live", 2)
    concluded(tmp_path / "0002-x-live", 4)
    listed = drill("runs", "--dir", str(tmp_path))
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        *("0002-x-live", "0001-x-live"),
    ]
    assert json.loads(drill("runs", "y", "--dir", str(tmp_path), "-w", "json").stdout) == []
    svg = tmp_path / "both.svg"
    done = drill("compare", "1", "2", "--dir", str(tmp_path), "--svg", str(svg))
    assert done.exit_code == 0, done.output
    assert "write stall               1.00 s" in done.stdout
    rows = json.loads(drill("compare", "1", "2", "--dir", str(tmp_path), "-w", "json").stdout)
    assert [row["label"] for row in rows["rows"]][:2] == ["run", "drill"]
    texts = [text.text for text in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "x: 2 runs side by side" in texts
    assert any(text and text.startswith("nothing in any run: ") for text in texts)
    missing = drill("compare", "3", "--dir", str(tmp_path))
    assert missing.exit_code == 2
    assert "see: kvorum drill runs" in missing.stderr


def test_more_runs_than_one_can_tell_apart(tmp_path: Path) -> None:
    concluded(tmp_path / "0001-x-live", 2)
    runs = list_runs(tmp_path) * 20
    texts = comparison_svg(runs, compare(runs))
    assert "only the first 12 are drawn" in texts
    ElementTree.fromstring(texts)


def test_show_says_what_is_left_at_worst() -> None:
    done = drill("show", "quorum-lost")
    assert done.exit_code == 0
    assert "at worst 1 of 3 voters together: NO quorum" in done.stdout
    table = json.loads(drill("show", "quorum-lost", "--nodes", "5", "-w", "json").stdout)
    assert [(step["left"], step["voters"]) for step in table["preview"]] == [(2, 5), (5, 5)]
    assert drill("show", "nothing-like-it").exit_code == 2


def test_options_that_contradict_one_another() -> None:
    both = ["--cluster", "tls3", "--endpoints", "127.0.0.1:1"]
    assert "of one that runs already" in drill("run", "leader-killed", *both).stderr
    alone = drill("run", "leader-killed", "--user", "root:x")
    assert (alone.exit_code, "go with --endpoints" in alone.stderr) == (2, True)
    wrong = drill("run", "leader-killed", "--cluster", "etcd3", "--stage", "live")
    assert (wrong.exit_code, "use --stage etcd" in wrong.stderr) == (2, True)

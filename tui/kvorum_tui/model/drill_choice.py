"""What can be run where: the scenarios there are, the stages to choose from, and why not this one.

A stage here is one of four: ``connected`` (the cluster that the terminal looks at), ``live`` (a
cluster of kvorum's own processes, started for the drill), ``sim``, and ``etcd`` (real etcd,
started for the drill).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kvorum.drill.places import all_drills, find_drill
from kvorum.drill.scenario import Scenario, Step, read_scenario
from kvorum.drill.words import WORDS as WORDS_OF_DRILLS
from kvorum.errors import ConfigError

from kvorum_tui.model.cluster_model import ClusterModel

STAGES = ("connected", "live", "sim", "etcd")
WORDS = {
    "connected": "this cluster",
    "live": "own cluster",
    "sim": "simulated",
    "etcd": "real etcd",
}
SHORT = {"connected": "this", "live": "own", "sim": "sim", "etcd": "etcd"}
ABOUT = {
    "live": "kvorum processes of this machine, started for the drill and stopped after it",
    "sim": "the production replica in simulated time: a second or two, the same for the same seed",
    "etcd": "real etcd processes of this machine, started for the drill, to compare with",
}
# Done by the drill between its own clients and the members; every other fault is a member's own.
_CLIENTS = ("cut_clients", "reset_clients")
# What only whoever runs the processes can do. The stage has the same list; to ask it would cost
# half a second of imports (a test compares the two).
_PROCESSES = (
    *("kill", "restart", "fail_fsync", "corrupt_wal"),
    *("add_member", "replace_member", "rejoin_member"),
)
_NO_ETCD = "there is no etcd on PATH"


@dataclass(frozen=True, slots=True)
class Place:
    """A stage to choose. ``kind``: as the drill calls it; ``why_not``: empty where it can run."""

    name: str
    kind: str
    why_not: str = ""


def catalogue() -> tuple[list[Scenario], list[str]]:
    """The drills that ship or that plugins bring, and what is wrong with those that cannot be
    read.
    """
    found = []
    names, wrong = all_drills()
    for name in names:
        try:
            found.append(read_scenario(find_drill(name)))
        except ConfigError as error:
            wrong.append(str(error))
    return found, wrong


def read_file(text: str) -> Scenario:
    """A scenario file by its path, or a drill that ships by its name. Raises ConfigError."""
    return read_scenario(find_drill(text).absolute())


def matching(scenarios: Sequence[Scenario], text: str) -> list[Scenario]:
    """Those in which every word of ``text`` occurs: in name, title, lesson or steps."""
    words = text.lower().split()
    return [one for one in scenarios if all(word in _searched(one) for word in words)]


def _searched(scenario: Scenario) -> str:
    steps = " ".join(step.words for step in scenario.steps)
    return f"{scenario.name} {scenario.title} {scenario.learn} {steps}".lower()


def places(scenario: Scenario, cluster: ClusterModel, read_only: str = "") -> list[Place]:
    """All four stages, each with the reason where it cannot run this drill now. ``read_only``: why
    nothing may be changed in the connected cluster; empty where it may.
    """
    kind = "etcd" if cluster.source() == "etcd" else "live"
    found = [Place("connected", kind, _not_connected(scenario, kind, cluster, read_only))]
    for name in ("live", "sim", "etcd"):
        why = _plain(scenario, scenario.refusal(name))
        if name == "etcd" and not why and shutil.which("etcd") is None:
            why = _NO_ETCD
        found.append(Place(name, name, why))
    return found


def first_able(found: Sequence[Place], scenario: Scenario) -> str:
    """Where a drill starts out: where its file wants it and nothing of anybody's is broken."""
    able = [place.name for place in found if not place.why_not]
    own = [name for name in scenario.stages if name in able]
    return own[0] if own else able[0] if able else "sim"


def _plain(scenario: Scenario, why: str) -> str:
    """A refusal without the file's name, which stands above it anyway."""
    rest = why.removeprefix(str(scenario.path))
    return rest.lstrip(":0123456789 ")


def _not_connected(scenario: Scenario, kind: str, cluster: ClusterModel, read_only: str) -> str:
    source = cluster.source()
    if read_only:
        return read_only
    if not source:
        return "no member has answered yet"
    if source == "mixed":
        return "its members are of different kinds"
    for step in scenario.steps:
        why = _refused_step(scenario, step, kind, cluster)
        if why:
            return f"{step.do}: {why}"
    return _strangers(scenario, cluster)


def _refused_step(scenario: Scenario, step: Step, kind: str, cluster: ClusterModel) -> str:
    """Why one step cannot be done there."""
    if kind == "etcd" and _gated(step):
        return "etcd has no fault service; only an etcd started for the drill can be broken"
    if step.do in _PROCESSES:
        return "its processes are not the drill's to end and start; choose a cluster of its own"
    if kind == "etcd":
        return _plain(scenario, replace(scenario, steps=(step,), stages=(kind,)).refusal(kind))
    if _gated(step):
        closed = [m.name for m in cluster.rows() if m.report and not m.report.faults_enabled]
        if closed:
            return f"{closed[0]} was started without --enable-faults"
    return ""


def _gated(step: Step) -> bool:
    """Whether only a member's fault service can do it to a cluster that somebody else runs."""
    return WORDS_OF_DRILLS[step.do].fault and step.do not in _CLIENTS


def _strangers(scenario: Scenario, cluster: ClusterModel) -> str:
    """Members that steps name and the cluster does not have."""
    there = {member.name for member in cluster.rows()}
    for step in scenario.steps:
        for name in (*step.targets, *step.to):
            if name[:1] == "n" and name[1:].isdigit() and name not in there:
                return f"it names {name}, and this cluster has no such member"
    return ""


def scenario_path(scenario: Scenario) -> str:
    """Where its file is, from anywhere."""
    return str(Path(scenario.path).absolute())

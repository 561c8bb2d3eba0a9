"""etcdctl as a subprocess, and its JSON with what differs between clusters taken out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from support.programs import need_program

_TIMEOUT_S = 30
# Identity and raft's own course differ between clusters; everything else must not.
_OF_A_CLUSTER = frozenset({"cluster_id", "member_id", "raft_term"})


@dataclass(frozen=True)
class Result:
    """What a command said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class RawResult:
    """What a command said, in bytes."""

    code: int
    out: bytes
    err: bytes


class Etcdctl:
    """etcdctl pointed at endpoints."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._program = need_program("etcdctl")
        self.endpoints = list(endpoints)

    @property
    def env(self) -> dict[str, str]:
        """The environment of the command."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ETCDCTL_")}
        return {**kept, "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": ",".join(self.endpoints)}

    def argv(self, *words: str) -> list[str]:
        """The command line."""
        return [self._program, *words]

    def run(self, *words: str, stdin: str | None = None) -> Result:
        """Run a command to its end."""
        done = subprocess.run(
            self.argv(*words),
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def raw(self, *words: str, stdin: str | None = None) -> RawResult:
        """Run a command whose output is bytes."""
        done = subprocess.run(
            self.argv(*words),
            env=self.env,
            input=(stdin or "").encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return RawResult(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, stdin: str | None = None) -> str:
        """Run a command that must succeed; its output."""
        result = self.run(*words, stdin=stdin)
        assert result.code == 0, f"etcdctl {' '.join(words)}: {result.err or result.out}"
        return result.out

    def json(self, *words: str, stdin: str | None = None) -> Any:
        """Run a command with ``-w json``; its output without what differs between clusters."""
        return plain(json.loads(self.ok(*words, "-w", "json", stdin=stdin)))


def plain(value: Any) -> Any:
    """A JSON value without identities and terms."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in _OF_A_CLUSTER}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value

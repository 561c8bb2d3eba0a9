"""Running the headless commands as a user does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from click.testing import CliRunner
from kvorum.cli import cli


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Its output as text."""
        return self.out.decode()


def environment(**variables: str) -> dict[str, str]:
    """The environment without anything that could point a command elsewhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KVORUM_", "ETCDCTL_"))
    }
    return kept | variables


def kvorum(*args: str, endpoints: Sequence[str] = (), stdin: bytes = b"", **variables: str) -> Done:
    """Run ``kvorum`` with these arguments, inside this process."""
    if endpoints:
        variables["KVORUM_ENDPOINTS"] = ",".join(endpoints)
    wanted = environment(**variables)
    changes: dict[str, str | None] = {name: None for name in os.environ if name not in wanted}
    done = CliRunner().invoke(cli, args, input=stdin, env=changes | wanted)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout_bytes, done.stderr)


def etcdctl(program: str, *args: str, endpoints: Sequence[str], stdin: bytes = b"") -> Done:
    """Run etcdctl with the same arguments."""
    done = subprocess.run(
        [program, "--endpoints", ",".join(endpoints), *args],
        input=stdin,
        capture_output=True,
        env=environment(ETCDCTL_API="3"),
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

"""Patroni with PostgreSQL: an application that keeps its state, its locks and its leader in etcd.

Two instances, all on loopback, with the shortest times that Patroni takes. PostgreSQL refuses to be
root; where the tests are root it runs in a user namespace of its own, in which it is nobody.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.clusters import wait_until
from support.ports import free_ports
from support.programs import missing, need_client, need_program

# The least that Patroni accepts: a leader's lease of 20 s, looked after every second.
TTL_S, LOOP_WAIT_S, RETRY_TIMEOUT_S = 20, 1, 3
SCOPE = "ledger"
STOP_S = 30.0


def postgres_programs() -> Path:
    """The directory of PostgreSQL's server programs; skips without."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else missing("PostgreSQL's server programs")


def as_nobody() -> list[str]:
    """What to put before a command that may not be root's."""
    if os.geteuid() != 0:
        return []
    unshare = [need_program("unshare"), "--user"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
        missing("user namespaces: PostgreSQL does not run as root")
    return unshare


@dataclass
class Instance:
    """One Patroni with its PostgreSQL."""

    name: str
    directory: Path
    hosts: Sequence[str]
    rest_port: int = 0
    sql_port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Write the configuration and start."""
        self.rest_port, self.sql_port = free_ports(2)
        self.directory.mkdir()
        config = self.directory / "patroni.json"  # JSON is YAML.
        config.write_text(json.dumps(self._config()), encoding="utf-8")
        program = need_client("patroni/bin/patroni")
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [*as_nobody(), str(program), str(config)],
            env=env,
            stdout=(self.directory / "log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _config(self) -> dict[str, Any]:
        secret = {"username": "postgres", "password": "postgres"}
        return {
            "scope": SCOPE,
            "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self.rest_port}"},
            "etcd3": {"hosts": list(self.hosts)},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL_S,
                    "loop_wait": LOOP_WAIT_S,
                    "retry_timeout": RETRY_TIMEOUT_S,
                    # A row that was acknowledged is on both: nothing is lost with a leader.
                    "synchronous_mode": True,
                    "postgresql": {"parameters": {"shared_buffers": "16MB", "fsync": "off"}},
                },
                "initdb": [{"encoding": "UTF8"}, {"auth": "trust"}],
                "pg_hba": [
                    f"host {what} all 127.0.0.1/32 trust" for what in ("all", "replication")
                ],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.sql_port}",
                "data_dir": str(self.directory / "data"),
                "bin_dir": str(postgres_programs()),
                "authentication": {"superuser": secret, "replication": secret},
                "parameters": {"unix_socket_directories": ""},
            },
        }

    def look(self, path: str) -> dict[str, Any] | None:
        """What the instance's REST API says, whatever its status; None if it does not answer."""
        try:
            with urllib.request.urlopen(self._url(path), timeout=5) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except (OSError, ValueError):
            return None

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.rest_port}{path}"

    def seen_store_at(self) -> int:
        """When Patroni last had an answer from its store, in seconds since 1970; 0 for never."""
        return int((self.look("/patroni") or {}).get("dcs_last_seen", 0))

    def sql(self, text: str) -> str | None:
        """Run SQL; its output, or None when it failed."""
        words = ["-XAtq", "-h", "127.0.0.1", "-p", str(self.sql_port), "-U", "postgres"]
        done = subprocess.run(
            [str(postgres_programs() / "psql"), *words, "-d", "postgres", "-c", text],
            env={**os.environ, "PGCONNECT_TIMEOUT": "3"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout.strip() if done.returncode == 0 else None

    def kill9(self) -> None:
        """As if the machine were lost: Patroni and PostgreSQL, at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_S)
        self._kill_postmaster()

    def _kill_postmaster(self) -> None:
        try:
            lines = (self.directory / "data" / "postmaster.pid").read_text("utf-8").splitlines()
        except OSError:
            return
        try:
            os.kill(int(lines[0]), signal.SIGKILL)
        except ProcessLookupError:
            # It has ended already, and left its file.
            return

    def end(self) -> None:
        """Stop; whatever does not is killed."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
        self._kill_postmaster()

    def last_words(self) -> str:
        """The end of its log."""
        return (self.directory / "log").read_text("utf-8", "replace")[-3000:]


def members(instance: Instance) -> dict[str, tuple[str, str]]:
    """Role and state of each member, as one instance knows."""
    found = (instance.look("/cluster") or {}).get("members", [])
    return {each["name"]: (each["role"], each["state"]) for each in found}


def wait_roles(instance: Instance, roles: dict[str, tuple[str, str]], timeout_s: float) -> None:
    """Wait until an instance knows of exactly these roles and states."""
    seen: list[object] = [None]

    def look() -> bool:
        seen[0] = members(instance)
        return seen[0] == roles

    try:
        wait_until(look, f"{roles}", timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{error}; last seen {seen[0]}\n{instance.last_words()}") from None

"""What etcd-workbench exports becomes contexts."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kvorum.cli.context import context
from kvorum.client import contexts, foreign
from kvorum.client.tunnel import Tunnel
from kvorum.errors import ConfigError

CA, CERT, KEY = (f"-----BEGIN {name}-----\n".encode() for name in ("CA", "CERT", "KEY"))
PLAIN = {"name": "plain", "connection": {"host": "10.0.0.1", "port": 2379}}
WHOLE: dict[str, Any] = {
    "name": "prod eu",
    "keyCollection": ["/a", "/b"],
    "keyMonitorList": [{"key": "/c"}],
    "connection": {
        "host": "etcd.inner",
        "port": 2380,
        "namespace": "/ns/",
        "user": {"username": "ops", "password": "geheim"},
        "tls": {
            "domain": "etcd.example.org",
            "cert": [list(CA), list(CA)],
            "identity": {"cert": list(CERT), "key": list(KEY)},
            "insecureSkipTlsVerify": False,
        },
        "ssh": {"host": "bastion", "port": 2222, "user": "me", "identity": {"password": "p"}},
        "queryPagination": True,
    },
}


def exported(*rows: Any) -> bytes:
    """As etcd-workbench writes it."""
    return base64.b64encode(json.dumps(list(rows)).encode())


def test_a_whole_connection(tmp_path: Path) -> None:
    (found,), wrong = foreign.from_workbench(exported(WHOLE))
    assert wrong == []
    made = found.with_files(tmp_path / "tls")
    assert made.endpoints == ("https://etcd.inner:2380",)
    assert made.tunnel == Tunnel(ssh="me@bastion:2222")
    assert (made.user, found.password, made.tls_server_name) == (
        "ops",
        "geheim",
        "etcd.example.org",
    )
    assert made.cacert is not None and made.cert is not None and made.key is not None
    assert Path(made.cacert).read_bytes() == CA + b"\n" + CA
    assert (Path(made.cert).read_bytes(), Path(made.key).read_bytes()) == (CERT, KEY)
    assert stat.S_IMODE(Path(made.key).stat().st_mode) == 0o600
    assert " ".join(found.left_out).count("favourites") == 1
    assert len(found.left_out) == 4


def test_the_least_that_a_connection_has() -> None:
    v6 = {"name": "v6", "connection": {"host": "fd00::1", "port": 2379, "tls": None, "ssh": None}}
    ssh = {"host": "b", "port": 22, "user": ""}
    way = {"name": "way", "connection": {"host": "a", "port": 1, "ssh": ssh}}
    found, wrong = foreign.from_workbench(exported(PLAIN, v6, way))
    assert [each.context.endpoints[0] for each in found] == [
        "http://10.0.0.1:2379",
        "http://[fd00::1]:2379",
        "http://a:1",
    ]
    assert found[0].context.tls is None
    assert found[2].context.ssh == "b"
    assert wrong == []


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"name": "x"}, "x: 'connection' is missing"),
        ({"connection": {}}, "connection 1: it has no name"),
        (5, "connection 1: "),
        ({"name": "x", "connection": {"host": "a", "port": 99999}}, "the port must be between"),
        ({"name": "x", "connection": {"host": "a", "port": 1, "ssh": {"host": "-o"}}}, "no place"),
        ({"name": "x", "connection": {"host": "a", "port": 1, "tls": {"cert": [[1]]}}}, "not PEM"),
        ({"name": "x", "connection": {"host": "a", "port": 1, "tls": {"cert": 3}}}, "x: "),
    ],
)
def test_what_is_no_connection_is_told(row: Any, why: str) -> None:
    found, wrong = foreign.from_workbench(exported(row, PLAIN))
    assert [each.context.name for each in found] == ["plain"]
    assert len(wrong) == 1
    assert why in wrong[0]


@pytest.mark.parametrize("data", [b"\x00\x01 encrypted", b"", b"bm90IEpTT04=", exported()[:-3]])
def test_what_is_no_export(data: bytes) -> None:
    with pytest.raises(ConfigError, match="no export of etcd-workbench"):
        foreign.from_workbench(data)
    with pytest.raises(ConfigError, match="a list"):
        foreign.from_workbench(base64.b64encode(b"{}"))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, export = tmp_path / "contexts.toml", tmp_path / "export"
    monkeypatch.setenv("KVORUM_CONTEXTS", str(file))
    kept: list[tuple[str, str]] = []
    monkeypatch.setattr(contexts, "keep_password", lambda c, p: kept.append((c.name, p)))
    export.write_bytes(exported(WHOLE, PLAIN, {"name": "x"}))
    done = CliRunner().invoke(context, ["import", str(export)])
    assert done.exit_code == 0, done.output
    assert "prod eu: https://etcd.inner:2380 through ssh me@bastion:2222" in done.output
    assert "not imported: x: 'connection' is missing" in done.output
    assert "geheim" not in file.read_text()
    table = contexts.load_contexts(file).table
    assert sorted(table) == ["plain", "prod eu"]
    assert (table["prod eu"].password, kept) == ("keyring", [("prod eu", "geheim")])
    # Nothing is overwritten.
    again = CliRunner().invoke(context, ["import", str(export)])
    assert again.exit_code == 3
    assert "there is a context plain already" in again.output

    def none(context: contexts.Context, password: str) -> None:
        raise ConfigError("this system has no keyring")

    monkeypatch.setattr(contexts, "keep_password", none)
    export.write_bytes(exported({**WHOLE, "name": "second"}))
    done = CliRunner().invoke(context, ["import", str(export)])
    assert "left out: the password (this system has no keyring)" in done.output
    assert contexts.load_contexts(file).table["second"].password == "ask"

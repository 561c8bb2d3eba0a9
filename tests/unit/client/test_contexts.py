"""Contexts: what the file may say, what is refused by name, and that it survives a new edition."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kvorum.client import contexts as module
from kvorum.client.contexts import (
    Context,
    Contexts,
    contexts_path,
    from_etcdctl,
    is_local,
    keep_password,
    load_contexts,
    save_contexts,
)
from kvorum.errors import ConfigError

FILE = """
# ours
current = "prod"

[contexts.prod]
endpoints = ["https://a:2379", "https://b:2379"]  # two of three
user = "ops"
password = "env:OPS"
cacert = "/ca.crt"
colour = "red"
separators = ["/", ":"]

[contexts.here]
endpoints = "127.0.0.1:2379,127.0.0.1:22379"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "contexts.toml"
    path.write_text(text)
    return path


def test_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = load_contexts(written(tmp_path, FILE))
    prod, here = contexts.get("prod"), contexts.get("here")
    assert contexts.current == "prod"
    assert prod.endpoints == ("https://a:2379", "https://b:2379")
    assert prod.separators == ("/", ":")
    assert prod.guarded and not replace(prod, read_only=False).guarded
    assert prod.tls is not None and prod.tls.ca_cert == "/ca.crt"
    assert here.endpoints == ("127.0.0.1:2379", "127.0.0.1:22379")
    assert not here.guarded and here.tls is None and here.secret() is None
    monkeypatch.setenv("OPS", "geheim")
    assert prod.secret() == "geheim"
    monkeypatch.delenv("OPS")
    with pytest.raises(ConfigError, match="context prod: the variable OPS is not set"):
        prod.secret()
    with pytest.raises(ConfigError, match="no context 'x'; there are: here, prod"):
        contexts.get("x")


def test_no_file_is_no_contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVORUM_CONTEXTS", str(tmp_path / "none.toml"))
    assert contexts_path() == tmp_path / "none.toml"
    assert load_contexts() == Contexts(tmp_path / "none.toml")
    monkeypatch.delenv("KVORUM_CONTEXTS")
    assert contexts_path().name == "contexts.toml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "contexts.toml"),
        ("colour = 1", "colour is not known; there are: current, contexts"),
        ("contexts = 1", "contexts must be tables"),
        ("[contexts]\na = 1", r"a table is needed, \[contexts.a\]"),
        ('current = "x"', "current is 'x', and there is no such context"),
        ("[contexts.a]", "context a: endpoints are missing"),
        ('[contexts.a]\nendpoints = ["ftp://x"]', "context a: endpoint 'ftp://x': the scheme"),
        ("[contexts.a]\nendpoints = [1]", "endpoints must be a list of texts"),
        ('[contexts.a]\nendpoints = "a"\nuser = 1', "user must be a text"),
        ('[contexts.a]\nendpoints = "a"\nread_only = "yes"', "read_only must be true or false"),
        ('[contexts.a]\nendpoints = "a"\npasword = "x"', "pasword is not known"),
        ('[contexts.a]\nendpoints = "a"\npassword = "x"', "a password itself has no place"),
        ('[contexts.a]\nendpoints = "a"\ncolour = "pink"', "colour 'pink'; there are: red"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_contexts(written(tmp_path, text))


def test_rewriting_keeps_what_people_wrote(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    contexts = load_contexts(path)
    contexts.table["new"] = Context("new", ("http://n:1",), read_only=True)
    contexts.table["prod"] = replace(contexts.table["prod"], colour="", user="root")
    del contexts.table["here"]
    contexts.current = "new"
    save_contexts(contexts)
    text = path.read_text()
    assert "# ours" in text and "# two of three" in text and "colour" not in text
    assert load_contexts(path) == contexts
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    contexts.current = ""
    save_contexts(contexts)
    assert load_contexts(path).current == ""


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        save_contexts(Contexts(tmp_path / "file" / "contexts.toml"))


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("http://127.0.0.1:1", True),
        ("localhost:2379", True),
        ("http://[::1]:2379", True),
        ("unix:///run/x", True),
        ("http://a.localhost:1", True),
        ("http://10.0.0.1:2379", False),
        ("https://db:2379", False),
        ("http://[::2]:2379", False),
    ],
)
def test_what_is_on_this_machine(endpoint: str, local: bool) -> None:
    assert is_local((endpoint,)) is local
    assert is_local(("localhost", endpoint)) is local


def test_etcdctls_variables() -> None:
    environment = {
        "ETCDCTL_ENDPOINTS": "https://a:1,https://b:1",
        "ETCDCTL_USER": "root:secret",
        "ETCDCTL_CACERT": "/ca",
        "ETCDCTL_INSECURE_SKIP_TLS_VERIFY": "true",
    }
    made = from_etcdctl("x", environment)
    assert made == Context(
        "x",
        ("https://a:1", "https://b:1"),
        user="root",
        cacert="/ca",
        insecure_skip_tls_verify=True,
    )
    with pytest.raises(ConfigError, match="ETCDCTL_ENDPOINTS is not set"):
        from_etcdctl("x", {})


class Ring:
    """A keyring in memory."""

    def __init__(self, priority: float) -> None:
        self.priority = priority
        self.kept: dict[tuple[str, str], str] = {}

    def get_keyring(self) -> Ring:
        return self

    def set_password(self, service: str, entry: str, password: str) -> None:
        self.kept[service, entry] = password

    def get_password(self, service: str, entry: str) -> str | None:
        return self.kept.get((service, entry))


def test_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    ring: Any = Ring(1)
    monkeypatch.setitem(__import__("sys").modules, "keyring", ring)
    context = Context("c", ("a",), user="ops", password=module.KEYRING)
    with pytest.raises(ConfigError, match="no password of ops; put it there with: kvorum context"):
        context.secret()
    keep_password(context, "geheim")
    assert ring.kept == {("kvorum", "ops@c"): "geheim"}
    assert context.secret() == "geheim"
    ring.priority = 0
    with pytest.raises(ConfigError, match="this system has no keyring"):
        context.secret()
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"install kvorum\[keyring\]"):
        context.secret()
    with pytest.raises(ConfigError, match="context c has no user"):
        keep_password(replace(context, user=None), "x")

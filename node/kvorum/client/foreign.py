"""Connections that etcd-workbench has exported, as contexts.

Its export is base64 of a JSON list of connections: name, one host and port, and where there are
any, user and password, TLS (certificates and keys as lists of bytes, in PEM) and an ssh login. (The
files in which it keeps connections itself are encrypted and cannot be read.)

Certificates and keys become files, because that is what a context names. Passwords have no place in
a context's file, and ssh's are ssh's own business; what is left out is said.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kvorum.client.contexts import Context, check_context
from kvorum.errors import ConfigError

_PEM = b"-----BEGIN "


@dataclass(frozen=True, slots=True)
class Imported:
    """A connection as a context. ``files``: what its TLS fields are to name, by field."""

    context: Context
    password: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def with_files(self, folder: Path) -> Context:
        """The context with its files written into ``folder``, for their owner alone. Raises
        :class:`kvorum.errors.ConfigError`.
        """
        stem = re.sub(r"[^\w.-]", "_", self.context.name)
        paths: dict[str, Any] = {}
        try:
            for name, data in self.files.items():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                path = folder / f"{stem}.{name}.pem"
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                with open(os.open(path, flags, 0o600), "wb") as out:
                    out.write(data)
                paths[name] = str(path)
        except OSError as error:
            raise ConfigError(f"{folder}: {error}") from error
        return replace(self.context, **paths)


def from_workbench(data: bytes) -> tuple[list[Imported], list[str]]:
    """The connections of an export, and what is wrong with those that are no contexts. Raises
    :class:`kvorum.errors.ConfigError` for a file that is no export.
    """
    try:
        text = base64.b64decode(data.strip(), validate=True)
        rows = json.loads(text)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(
            "this is no export of etcd-workbench (base64 of JSON); its own files are encrypted: let"
            " it export the connections first"
        ) from error
    if not isinstance(rows, list):
        raise ConfigError("an export of etcd-workbench is a list of connections, this is not")
    found: list[Imported] = []
    wrong: list[str] = []
    for number, row in enumerate(rows, 1):
        name = row.get("name") if isinstance(row, dict) else None
        try:
            found.append(_connection(str(name or ""), row))
        except (ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            wrong.append(f"{name or f'connection {number}'}: {why}")
    return found, wrong


def _connection(name: str, row: dict[str, Any]) -> Imported:
    if not name:
        raise ConfigError("it has no name")
    told = row["connection"]
    tls, ssh, user = told.get("tls"), told.get("ssh"), told.get("user")
    host = str(told["host"])
    address = f"[{host}]:{told['port']}" if ":" in host else f"{host}:{told['port']}"
    left_out: list[str] = []
    files: dict[str, bytes] = {}
    if tls:
        authorities = [_pem(each, "a CA's certificate") for each in tls.get("cert") or ()]
        if authorities:
            files["cacert"] = b"\n".join(authorities)
        identity = tls.get("identity")
        if identity:
            files["cert"] = _pem(identity["cert"], "the client's certificate")
            files["key"] = _pem(identity["key"], "the client's key")
    if ssh and ssh.get("identity"):
        left_out.append("ssh's password or key (ssh's own configuration and agent are used)")
    if told.get("namespace"):
        left_out.append(f"the namespace {told['namespace']} (all keys are shown)")
    for key, what in (("keyCollection", "favourite"), ("keyMonitorList", "watched key")):
        if row.get(key):
            left_out.append(f"{len(row[key])} {what}{'s' if len(row[key]) > 1 else ''}")
    context = Context(
        name,
        (f"http{'s' if tls else ''}://{address}",),
        user=str(user["username"]) if user else None,
        tls_server_name=(tls.get("domain") or None) if tls else None,
        insecure_skip_tls_verify=bool(tls and tls.get("insecureSkipTlsVerify")),
        ssh=_login(ssh) if ssh else "",
    )
    check_context(context, f"context {name}")
    password = str(user["password"]) if user and user.get("password") else None
    return Imported(context, password, files, tuple(left_out))


def _login(ssh: Mapping[str, Any]) -> str:
    host = str(ssh["host"])
    host = f"[{host}]" if ":" in host else host
    user = f"{ssh['user']}@" if ssh.get("user") else ""
    port = int(ssh.get("port") or 22)
    return f"{user}{host}" + (f":{port}" if port != 22 else "")


def _pem(data: Any, what: str) -> bytes:
    text = data.encode() if isinstance(data, str) else bytes(data)
    if _PEM not in text:
        raise ConfigError(f"{what} is not PEM")
    return text

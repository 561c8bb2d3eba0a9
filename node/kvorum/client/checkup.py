"""Looking a cluster over: what goes wrong quietly, and what this kind of server cannot do.

:func:`checkup` asks every member on its own, over gRPC and over plain HTTP, and changes nothing.
What it finds is judged here, so that ``kvorum doctor`` and the terminal say the same.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kvorum.client.connection import TLS
from kvorum.client.dialler import Dialler
from kvorum.client.errors import ClientError, Unsupported
from kvorum.client.findings import Checkup, Patient, judged, limits
from kvorum.client.web import HTTP_S, page, shown_certificate
from kvorum.errors import Code, Condition

if TYPE_CHECKING:
    from kvorum.client.client import Client


_METRIC = re.compile(r"^(etcd_server_[a-z_]+)(?:\{([^}]*)\})? ([0-9.e+-]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


async def checkup(client: Client, tls: TLS | None = None, *, timeout_s: float = 3.0) -> Checkup:
    """Ask every member; never raises for one that does not answer."""
    rows = await client.cluster.statuses(timeout_s=timeout_s)
    patients = [Patient(row) for row in rows]
    await asyncio.gather(*(_examine(client, each, tls) for each in patients))
    auth, auth_status = await _auth(client)
    downgrade = await _has_downgrade(client, patients)
    kinds = tuple(sorted({each.kind for each in patients if each.kind}))
    findings = judged(patients, tls, auth)
    found = limits(patients, auth_status, downgrade)
    return Checkup(patients, findings, found, kinds, auth)


# --- asking ---------------------------------------------------------------------------------------


async def _examine(client: Client, patient: Patient, tls: TLS | None) -> None:
    row = patient.row
    if row.status is None:
        return
    member = client.member(row.endpoint)
    began = time.monotonic()
    try:
        await member.maintenance.status(timeout_s=HTTP_S)
    except ClientError:
        pass  # It answered a moment ago; the time until it failed is told.
    patient.millis = (time.monotonic() - began) * 1000
    try:
        told = await asyncio.wait_for(member.inspect.statistics_once(), HTTP_S)
        patient.kind, patient.faults = "kvorum", told.faults_enabled
    except Unsupported:
        patient.kind = "etcd"
    except (ClientError, TimeoutError):
        patient.kind = ""
    dialler = client.dialler
    await asyncio.gather(_http(patient, tls, dialler), _certificate(patient, tls, dialler))


async def _http(patient: Patient, tls: TLS | None, dialler: Dialler | None) -> None:
    """The pages beside the API: version, command line, metrics; and the clock."""
    try:
        before = time.time()
        headers, body = await page(patient.row.endpoint, "/version", tls, dialler)
        date = headers.get("date")
        if date:
            told = parsedate_to_datetime(date).astimezone(UTC).timestamp() + 0.5
            patient.clock_s = told - (before + time.time()) / 2
        patient.pages = {str(k): str(v) for k, v in json.loads(body).items()}
        _, body = await page(patient.row.endpoint, "/debug/vars", tls, dialler)
        patient.flags = _flags(json.loads(body).get("cmdline", []))
        _, body = await page(patient.row.endpoint, "/metrics", tls, dialler)
        _read_metrics(patient, body)
    except (OSError, TimeoutError, ValueError) as error:
        patient.http_error = str(error) or type(error).__name__


def _flags(words: Sequence[str]) -> dict[str, str]:
    """``--name=value`` and ``--name value`` of a command line."""
    found: dict[str, str] = {}
    last = ""
    for word in map(str, words):
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            found[name] = value if equals else "true"
            last = "" if equals else name
        elif last:
            found[last] = word
            last = ""
    return found


def _read_metrics(patient: Patient, text: str) -> None:
    for match in _METRIC.finditer(text):
        name, labels, value = match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])
        if name == "etcd_server_quota_backend_bytes":
            patient.quota_bytes = int(value)
        elif name == "etcd_server_feature_enabled" and "name" in labels:
            patient.gates[labels["name"]] = value > 0


async def _certificate(patient: Patient, tls: TLS | None, dialler: Dialler | None) -> None:
    if urlsplit(patient.row.endpoint).scheme != "https":
        return
    try:
        data = await shown_certificate(patient.row.endpoint, tls, dialler)
    except (OSError, TimeoutError, ValueError) as error:
        patient.certificate_error = str(error) or type(error).__name__
        return
    if data:
        from cryptography import x509

        until = x509.load_der_x509_certificate(data).not_valid_after_utc
        patient.certificate_until_s = until.timestamp()


async def _auth(client: Client) -> tuple[bool | None, bool]:
    """Whether auth is on, and whether the server offers to say so."""
    try:
        return (await client.auth.status()).enabled, True
    except Unsupported:
        pass
    except ClientError as error:
        refused = error.condition in (Condition.USER_EMPTY, Condition.PERMISSION_DENIED)
        return (True if refused else None), True
    try:
        await client.auth.users()
    except ClientError as error:
        on = error.condition in (Condition.USER_EMPTY, Condition.PERMISSION_DENIED)
        return (True if on else None), False
    return client.has_token, False


async def _has_downgrade(client: Client, patients: Sequence[Patient]) -> bool:
    """Whether the servers know downgrades: they are asked about the version before theirs."""
    version = next((p.row.status.version for p in patients if p.row.status is not None), "0.1")
    major, minor, *_ = (*version.split("."), "1")
    before = f"{major}.{int(minor) - 1}" if minor.isdigit() and int(minor) else "0.0"
    try:
        await client.maintenance.downgrade_possible(before)
    except ClientError as error:
        return error.code is not Code.UNIMPLEMENTED
    return True

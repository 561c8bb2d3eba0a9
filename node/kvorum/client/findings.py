"""What a look at a cluster finds, and how it is judged; :mod:`kvorum.client.checkup` looks."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kvorum.client.cluster import MemberRow
from kvorum.client.connection import TLS

EXPIRES_WARN_DAYS = 30
CLOCK_WARN_S = 2.5  # Dates over HTTP are whole seconds, so less than two say nothing.
SPACE_WARN = 0.8  # Of the quota.
FREE_WARN = 0.5  # Of the file.
FREE_WARN_BYTES = 64 << 20
BEHIND_WARN = 1_000
SLOW_WARN_MS = 250.0

_ALARM = re.compile(r"memberID:(\d+) alarm:(\w+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark: ``level`` is ok, warn or bad; ``member`` is empty for the whole cluster."""

    level: str
    subject: str
    text: str
    member: str = ""


@dataclass(slots=True)
class Patient:
    """One member as it was found."""

    row: MemberRow
    millis: float = 0.0
    kind: str = ""  # kvorum or etcd
    http_error: str = ""
    clock_s: float | None = None  # how far its clock is ahead of ours
    pages: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    gates: dict[str, bool] = field(default_factory=dict)
    quota_bytes: int = 0
    certificate_until_s: float | None = None
    certificate_error: str = ""
    faults: bool = False

    @property
    def name(self) -> str:
        """Its name, or where it is."""
        return (
            self.row.member.name if self.row.member and self.row.member.name else self.row.endpoint
        )


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that does not work, or not fully, on this cluster."""

    feature: str
    reason: str


@dataclass(slots=True)
class Checkup:
    """All that was found."""

    patients: list[Patient]
    findings: list[Finding]
    limits: list[Limit]
    kinds: tuple[str, ...]
    auth: bool | None = None

    @property
    def worst(self) -> str:
        """The worst level of all findings."""
        levels = [finding.level for finding in self.findings]
        return next((level for level in ("bad", "warn") if level in levels), "ok")


def judged(patients: Sequence[Patient], tls: TLS | None, auth: bool | None) -> list[Finding]:
    """Everything that is to be said about these members."""
    return [
        *reach(patients),
        *leaders(patients),
        *alarms(patients),
        *space(patients),
        *versions(patients),
        *clocks(patients),
        *certificates(patients),
        *access(auth, tls, patients),
    ]


def reach(patients: Sequence[Patient]) -> list[Finding]:
    """Who answers, how fast, and whether that is a quorum."""
    out: list[Finding] = []
    voters = [p for p in patients if p.row.member is None or not p.row.member.is_learner]
    up = [p for p in voters if p.row.status is not None]
    need = len(voters) // 2 + 1
    spare = len(up) - need
    level = "bad" if spare < 0 else "warn" if spare == 0 else "ok"
    word = "no quorum" if spare < 0 else f"{spare} more may fail"
    out.append(Finding(level, "quorum", f"{len(up)} of {len(voters)} voters answer: {word}"))
    for each in patients:
        if each.row.error is not None:
            out.append(Finding("bad", "reach", each.row.error.message, each.name))
        else:
            slow = each.millis > SLOW_WARN_MS
            text = f"answers in {each.millis:.1f} ms"
            out.append(Finding("warn" if slow else "ok", "reach", text, each.name))
            if each.http_error:
                out.append(Finding("warn", "http", f"no pages: {each.http_error}", each.name))
    return out


def leaders(patients: Sequence[Patient]) -> list[Finding]:
    """Whether all name one leader, and who is behind."""
    told = {p.name: p.row.status for p in patients if p.row.status is not None}
    leaders = {status.leader_id for status in told.values()}
    out: list[Finding] = []
    for name, status in told.items():
        if not status.leader_id:
            out.append(Finding("bad", "leader", "knows no leader", name))
    if len(leaders - {0}) > 1:
        out.append(Finding("bad", "leader", "members name different leaders"))
    elif leaders - {0}:
        by_id = {p.row.status.member_id: p.name for p in patients if p.row.status is not None}
        found = next(iter(leaders - {0}))
        out.append(Finding("ok", "leader", f"{by_id.get(found, f'{found:x}')} leads"))
    newest = max((status.raft_index for status in told.values()), default=0)
    for name, status in told.items():
        behind = newest - status.raft_applied_index
        if behind > BEHIND_WARN:
            out.append(Finding("warn", "lag", f"{behind:,} entries behind", name))
    return out


def alarms(patients: Sequence[Patient]) -> list[Finding]:
    """What is raised."""
    if all(each.row.status is None for each in patients):
        return []
    found = {
        (int(match[1]), match[2])
        for each in patients
        if each.row.status is not None
        for text in each.row.status.errors
        for match in _ALARM.finditer(text)
    }
    if not found:
        return [Finding("ok", "alarms", "none is raised")]
    names = {p.row.member.id: p.name for p in patients if p.row.member is not None}
    return [
        Finding("bad", "alarms", kind, names.get(member, f"{member:x}"))
        for member, kind in sorted(found)
    ]


def space(patients: Sequence[Patient]) -> list[Finding]:
    """File, what is in use of it, quota."""
    out: list[Finding] = []
    for each in patients:
        status = each.row.status
        if status is None:
            continue
        size, used = status.db_size_bytes, status.db_in_use_bytes
        quota = status.db_quota_bytes or each.quota_bytes
        level, text = "ok", f"{_size(size)} file, {_size(used)} in use"
        if quota > 0:
            text += f", quota {_size(quota)}"
            if size >= SPACE_WARN * quota:
                level = "bad" if size >= quota else "warn"
                text += f": {size / quota:.0%} full"
        if size - used > FREE_WARN_BYTES and size - used > FREE_WARN * size:
            level = "warn" if level == "ok" else level
            text += f"; a defragmentation gives {_size(size - used)} back"
        out.append(Finding(level, "space", text, each.name))
    return out


def versions(patients: Sequence[Patient]) -> list[Finding]:
    """Whether all members run the same."""
    versions = {p.row.status.version for p in patients if p.row.status is not None}
    if not versions:
        return []
    clusters = {p.pages["etcdcluster"] for p in patients if "etcdcluster" in p.pages}
    text = ", ".join(sorted(versions)) + (
        f"; cluster {', '.join(sorted(clusters))}" if clusters else ""
    )
    level = "warn" if len(versions) > 1 else "ok"
    out = [Finding(level, "versions", ("differ: " if len(versions) > 1 else "") + text)]
    for each in patients:
        status = each.row.status
        if status is not None and status.downgrade_target:
            text = f"a downgrade to {status.downgrade_target} is under way"
            out.append(Finding("warn", "versions", text, each.name))
    return out


def clocks(patients: Sequence[Patient]) -> list[Finding]:
    """How far the members' clocks are apart."""
    clocks = {p.name: p.clock_s for p in patients if p.clock_s is not None}
    if not clocks:
        return []
    spread = max(clocks.values()) - min(clocks.values())
    if spread > CLOCK_WARN_S:
        each = ", ".join(f"{name} {ahead:+.0f} s" for name, ahead in sorted(clocks.items()))
        text = f"differ by {spread:.0f} s ({each} against here): leases and tokens do not mind, "
        return [Finding("warn", "clocks", text + "written times and certificates do")]
    here = max(clocks.values(), key=abs)
    if abs(here) > CLOCK_WARN_S:
        return [Finding("warn", "clocks", f"agree, but this machine is {-here:+.0f} s off")]
    return [Finding("ok", "clocks", "agree to the second")]


def certificates(patients: Sequence[Patient]) -> list[Finding]:
    """When they run out."""
    out: list[Finding] = []
    for each in patients:
        if each.certificate_error:
            out.append(Finding("bad", "certificate", each.certificate_error, each.name))
        elif each.certificate_until_s is not None:
            days = (each.certificate_until_s - time.time()) / 86_400
            level = "bad" if days < 1 else "warn" if days < EXPIRES_WARN_DAYS else "ok"
            out.append(Finding(level, "certificate", f"runs out in {days:,.0f} days", each.name))
    return out


def access(auth: bool | None, tls: TLS | None, patients: Sequence[Patient]) -> list[Finding]:
    """Whether anybody may do anything, and read what goes over the wire."""
    out: list[Finding] = []
    local = all(
        urlsplit(p.row.endpoint).hostname in ("localhost", "127.0.0.1", "::1", None)
        for p in patients
    )
    if auth is not None:
        level = "ok" if auth or local else "warn"
        off = "is off: whoever reaches the cluster may do everything"
        out.append(Finding(level, "auth", "is on" if auth else off))
    plain = [p.name for p in patients if urlsplit(p.row.endpoint).scheme != "https"]
    if plain:
        level = "ok" if local else "warn"
        out.append(Finding(level, "transport", f"not encrypted: {', '.join(sorted(plain))}"))
    return out


# What the terminal does only with what kvorum nodes tell beyond etcd's API.
ETCD_LIMITS = (
    Limit("Cluster: aligned raft logs, match and next", "etcd keeps its raft log to itself"),
    Limit(
        "Cluster: pending proposals, fsync, peers' latency", "read from /metrics, where reachable"
    ),
    Limit("Keys, Time: when and by whom a key was written", "etcd keeps neither clock nor author"),
    Limit(
        "Keys, Time: history", "from a local mirror, filled by a watch from the compact revision"
    ),
    Limit("SQL", "answered by the local mirror and not by the members"),
    Limit("Drills: cut, isolate, slow, pause on this cluster", "etcd has no fault service"),
    Limit("Header: oldest readable revision", "etcd tells it only in a metric or a refusal"),
)


def limits(patients: Sequence[Patient], auth_status: bool, downgrade: bool) -> list[Limit]:
    """What does not work here."""
    out: list[Limit] = []
    kinds = {p.kind for p in patients if p.kind}
    if "etcd" in kinds:
        out += ETCD_LIMITS
    if "kvorum" in kinds and not any(p.faults for p in patients):
        out.append(
            Limit("Drills on this cluster", "its nodes were started without the fault service")
        )
    out.append(
        Limit("Drills: kill and restart", "only where kvorum started the processes (kvorum demo)")
    )
    if not auth_status:
        out.append(Limit("Admin: whether auth is on", "etcd 3.4 has no such call: concluded"))
    if not downgrade:
        out.append(Limit("Admin: downgrades", "the servers have no such call (etcd 3.4)"))
    if not any(p.row.status and p.row.status.db_quota_bytes for p in patients):
        known = any(p.quota_bytes for p in patients)
        why = (
            "read from /metrics; Status tells it from 3.6 on"
            if known
            else "Status tells it from 3.6 on"
        )
        out.append(Limit("Admin: quota", why))
    if any(p.http_error for p in patients):
        out.append(
            Limit("Admin: auto-compaction, feature gates", "the members' pages cannot be read")
        )
    return out


def _size(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB" if size >= 1 << 20 else f"{size / 1024:,.0f} KiB"

"""What the Cluster tab tells at length: one member, one log entry."""

from __future__ import annotations

import time

from kvorum_tui.model import words
from kvorum_tui.model.cluster_model import ClusterModel, MemberState
from kvorum_tui.model.log_strip import Older, entry_at, term_letter
from kvorum_tui.session import SessionError
from kvorum_tui.session.checks import Certificate, Checks
from kvorum_tui.widgets.dialogs import Rich

LABEL = 26
SOON_DAYS = 30
UNTOLD = {"etcd": "etcd does not tell", "kvorum": "not told yet"}


async def certificate_lines(checks: Checks, endpoint: str) -> Rich:
    """The member's certificate and how long it is good for."""
    try:
        shown = await checks.certificate(endpoint)
    except SessionError as error:
        return [_row("certificate", f"could not be read: {error}", "warn")]
    if shown is None:
        return [_row("certificate", "none: this address is served without TLS", "dim")]
    return told_certificate(shown, time.time())


def told_certificate(shown: Certificate, now: float) -> Rich:
    """A certificate in words; what is over or soon over stands out."""
    left = shown.until - now
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(shown.until))
    if left <= 0:
        text, ink = f"EXPIRED {words.span(-left)} ago, on {until}", "bad"
    elif left < SOON_DAYS * 86_400:
        text, ink = f"! expires in {words.span(left)}, on {until}", "warn"
    else:
        text, ink = f"good for {words.span(left)}, until {until}", "text"
    return [
        _row("certificate", text, ink),
        _row("  of", shown.subject),
        _row("  issued by", shown.issuer),
    ]


def member_lines(model: ClusterModel, state: MemberState, now: float) -> Rich:
    """A member's report, line by line."""
    report = state.report
    if report is None:
        return [[(state.error or "it has not told anything yet", "warn")]]
    fresh, untold = state.fresh(now), UNTOLD[report.source]
    lines: Rich = [
        _row("endpoint", state.endpoint),
        _row("member id", f"{report.member_id:x} in cluster {report.cluster_id:x}"),
        _row("server", f"{report.source} {report.version}"),
        _row("last heard", words.age(state.age(now)), "text" if fresh else "warn"),
    ]
    if not fresh:
        lines.append(_row("not answering", state.error or "silent", "bad"))
    identity = state.identity
    if identity is not None:
        lines.append(_row("client addresses", ", ".join(identity.client_urls) or "none told"))
        lines.append(_row("peer addresses", ", ".join(identity.peer_urls) or "none told"))
    told = report.first_index is not None and report.last_index is not None
    trails = model.trails_by(state, now)
    lines += [
        _row("role", report.role),
        _row("leader, as it believes", model.name_of(report.leader) if report.leader else "nobody"),
        _row("term", str(report.term)),
        _row("commit, applied", f"{report.commit:,}, {report.applied:,}"),
        _row("trails by", words.plural(trails, "entry", "entries") if trails is not None else "?"),
        _row("log", f"{report.first_index:,} to {report.last_index:,}" if told else untold),
        _row("revision", words.count(report.revision)),
        _row(
            "oldest kept revision",
            words.count(report.compact_revision + 1)
            if report.compact_revision is not None
            else untold,
        ),
        _row("database", _database(state)),
        _row("alarms", " ".join(report.alarms) or "none", "bad" if report.alarms else "text"),
        _row("complaints", "; ".join(report.errors) or "none"),
    ]
    for name, number in (
        ("keys", report.keys),
        ("leases", report.leases),
        ("watchers", report.watchers),
    ):
        lines.append(_row(name, words.count(number) if number is not None else untold))
    for name in ("put", "apply", "fsync", "commit", "stall"):
        p50, p99 = report.figures.get(f"{name}_p50"), report.figures.get(f"{name}_p99")
        if p50 is not None and p99 is not None:
            text = f"p50 {words.millis(p50)}, p99 {words.millis(p99)}"
            most = report.figures.get(f"{name}_max")
            lines.append(_row(name, text + (f", max {words.millis(most)}" if most else "")))
    for peer in report.peers or ():
        link = f"{words.millis(peer.round_trip_ms)} round trip" if peer.connected else "no link"
        if peer.next:
            link += f", match {peer.match:,}, next {peer.next:,}, {peer.state}"
            link += f", {peer.inflight} in flight"
        if peer.sent_bytes or peer.received_bytes:
            link += f"; sent {words.size(peer.sent_bytes)}, got {words.size(peer.received_bytes)}"
        if peer.dropped:
            link += f"; {peer.dropped:,} dropped"
        ink = "text" if peer.connected else "warn"
        lines.append(_row(f"peer {model.name_of(peer.id)}", link, ink))
    lines += [_row(name, words.count(number)) for name, number in report.extra.items()]
    return lines


def entry_lines(model: ClusterModel, index: int, older: Older) -> Rich:
    """One index of the raft log, as each member has it."""
    lines: Rich = []
    for member in model.rows():
        entry = entry_at(member, index, older)
        report = member.report
        if report is None or report.log is None:
            text = UNTOLD["etcd"] if report is not None else "no answer yet"
            lines.append(_row(member.name, text, "dim"))
            continue
        if entry is None:
            beyond = report.last_index is not None and index > report.last_index
            text = "its log ends before" if beyond else "not among the entries that were loaded"
            lines.append(_row(member.name, text, "dim"))
            continue
        known = "committed" if index <= report.commit else "NOT committed, may be replaced"
        if index <= report.applied:
            known = "committed and applied"
        text = f"term {entry.term} ({term_letter(entry.term)}), {words.size(entry.bytes)}, {known}"
        lines.append(_row(member.name, text, f"term{(entry.term - 1) % 8}"))
        lines.append(_row("", entry.summary or "(nothing said about it)"))
    return lines


def _database(state: MemberState) -> str:
    report = state.report
    assert report is not None
    text = words.size(report.db_bytes)
    if report.db_in_use_bytes is not None:
        text += f", {words.size(report.db_in_use_bytes)} in use"
    if report.db_quota_bytes:
        share = report.db_bytes / report.db_quota_bytes
        text += f", {share:.0%} of {words.size(report.db_quota_bytes)}"
    return text


def _row(label: str, text: str, ink: str = "text") -> list[tuple[str, str]]:
    return [(f"{label:<{LABEL}}", "dim"), (text, ink)]

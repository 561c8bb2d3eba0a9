"""The state of a cluster in words: who disagrees with whom, who is lost, what stands out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from kvorum_tui.model import words
from kvorum_tui.model.cluster_model import ClusterModel, MemberState

FAR_BEHIND = 1_000  # entries
FULL = 0.9  # of the quota


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing worth saying. ``ink`` is bad, warn or dim; ``sign`` says the same. ``members`` and
    ``column`` name what is highlighted in the table.
    """

    ink: str
    text: str
    members: tuple[str, ...] = ()
    column: str = ""

    @property
    def sign(self) -> str:
        """How urgent, as a sign."""
        return {"bad": "‼", "warn": "!", "dim": "·"}[self.ink]


def remarks(model: ClusterModel, now: float) -> list[Remark]:
    """Everything worth saying, most urgent first."""
    fresh = [m for m in model.rows() if m.fresh(now) and m.report is not None]
    found = [
        *_clusters(fresh),
        *_leaders(model, fresh),
        *_beliefs(model, fresh),
        *_terms(fresh),
        *_lost(model, now),
        *_behind(model, fresh, now),
        *_versions(fresh),
        *_complaints(fresh),
    ]
    return sorted(found, key=lambda remark: ("bad", "warn", "dim").index(remark.ink))


def _clusters(fresh: list[MemberState]) -> list[Remark]:
    ids = {m.report.cluster_id for m in fresh if m.report and m.report.cluster_id}
    if len(ids) < 2:
        return []
    named = ", ".join(f"{m.name}: {m.report.cluster_id:x}" for m in fresh if m.report)
    return [Remark("bad", f"these are members of {len(ids)} different clusters ({named})")]


def _leaders(model: ClusterModel, fresh: list[MemberState]) -> list[Remark]:
    leading = [m for m in fresh if m.report and m.report.role == "leader"]
    terms = Counter((m.report.cluster_id, m.report.term) for m in leading if m.report)
    found = []
    for (cluster, term), count in sorted(terms.items()):
        if count > 1:
            names = tuple(
                m.name
                for m in leading
                if m.report and (m.report.cluster_id, m.report.term) == (cluster, term)
            )
            text = f"ALARM: {_and(names)} both say that they lead term {term}; raft forbids that"
            found.append(Remark("bad", text, names, "role"))
    top = max((m.report.term for m in leading if m.report), default=0)
    for member in leading:
        if member.report and member.report.term < top and len(leading) > 1:
            text = (
                f"{member.name} still says it leads term {member.report.term}; "
                f"its entries cannot be committed any more, term {top} has a leader"
            )
            found.append(Remark("warn", text, (member.name,), "role"))
    return found


def _beliefs(model: ClusterModel, fresh: list[MemberState]) -> list[Remark]:
    if _clusters(fresh):
        return []
    by_leader: dict[int, list[str]] = {}
    for member in fresh:
        if member.report:
            by_leader.setdefault(member.report.leader, []).append(member.name)
    if not by_leader:
        return []
    if set(by_leader) == {0}:
        return [Remark("bad", "no member knows a leader: writes wait", (), "role")]
    most = max((n for n in by_leader if n), key=lambda n: len(by_leader[n]))
    found = []
    for leader, names in sorted(by_leader.items()):
        if leader == most:
            continue
        verb = "knows" if len(names) == 1 else "know"
        said = (
            f"{verb} no leader"
            if not leader
            else f"{'takes' if len(names) == 1 else 'take'} {model.name_of(leader)} for the leader"
        )
        text = f"{_and(tuple(names))} {said}; {_and(tuple(by_leader[most]))} "
        text += f"{'says' if len(by_leader[most]) == 1 else 'say'} {model.name_of(most)}"
        found.append(Remark("warn", text, tuple(names), "role"))
    return found


def _terms(fresh: list[MemberState]) -> list[Remark]:
    terms = Counter(m.report.term for m in fresh if m.report)
    if len(terms) < 2:
        return []
    usual = max(terms, key=lambda term: (terms[term], term))
    odd = tuple(m.name for m in fresh if m.report and m.report.term != usual)
    named = ", ".join(
        f"{m.name} is in term {m.report.term}" for m in fresh if m.report and m.name in odd
    )
    return [Remark("warn", f"terms differ: {named}, the others in term {usual}", odd, "term")]


def _lost(model: ClusterModel, now: float) -> list[Remark]:
    found = []
    for member in model.rows():
        if member.report is not None and not member.fresh(now):
            age = words.span(member.age(now))
            error = member.error.removeprefix("UNAVAILABLE ").removeprefix("cannot connect: ")
            why = f" ({error})" if error else ""
            text = f"{member.name} is lost: its row is {age} old{why}"
            found.append(Remark("warn", text, (member.name,)))
    return found


def _behind(model: ClusterModel, fresh: list[MemberState], now: float) -> list[Remark]:
    found = []
    for member in fresh:
        trails = model.trails_by(member, now)
        if trails is not None and trails > FAR_BEHIND:
            text = f"{member.name} trails by {trails:,} entries"
            found.append(Remark("warn", text, (member.name,), "trails by"))
        report = member.report
        if report is not None and report.db_quota_bytes:
            share = report.db_bytes / report.db_quota_bytes
            if share >= FULL:
                text = (
                    f"{member.name}: database at {share:.0%} of its quota; compact and defragment"
                )
                found.append(Remark("warn", text, (member.name,), "db size"))
    return found


def _versions(fresh: list[MemberState]) -> list[Remark]:
    versions = sorted({m.report.version for m in fresh if m.report and m.report.version})
    if len(versions) < 2:
        return []
    named = ", ".join(f"{m.name} {m.report.version}" for m in fresh if m.report)
    return [Remark("dim", f"versions differ: {named}", tuple(m.name for m in fresh), "version")]


def _complaints(fresh: list[MemberState]) -> list[Remark]:
    return [
        Remark("warn", f"{m.name} says: {text}", (m.name,))
        for m in fresh
        if m.report
        for text in m.report.errors
    ]


def _and(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""Requests to Maintenance and Cluster, and what is no request at all."""

from __future__ import annotations

from collections.abc import Iterator

from compat.differential.draw import Draw
from compat.differential.kv import KV, has_op, never_run
from compat.differential.leases import Leases
from compat.differential.step import ALIASES, SELF, Step

_NOSPACE, _CORRUPT = 1, 2
_GET, _ACTIVATE, _DEACTIVATE = 0, 1, 2
_URLS: tuple[list[str], ...] = (
    [], [""], ["x"], ["http://"], ["http://127.0.0.1"], ["ftp://127.0.0.1:1"], ["127.0.0.1:1"],
    ["http://127.0.0.1:1/path"], ["http://127.0.0.1:1", "nope"],
)  # fmt: skip
_PATHS = (
    "/etcdserverpb.KV/Nope", "/etcdserverpb.Nope/Range", "/nope", "/", "/etcdserverpb.KV/",
    "/etcdserverpb.KV/range", "/etcdserverpb.Watch/Range",
)  # fmt: skip
_NO_MESSAGES = (b"\x0a\x05a", b"\x0a", b"\xff", b"\x0b", b"\x0a\xff\xff\xff\xff\x0f", b"\x00")
_MESSAGES = (b"\x0a\x01a\xf8\x07\x01", b"\x0a\x01a\x0a\x01b", b"\x0a\x01a\x18\x01\x18\x02")


class Upkeep:
    """Draws what operators ask, and alarms with what happens while they are raised."""

    def __init__(self, draw: Draw, kv: KV, leases: Leases) -> None:
        self._draw = draw
        self._kv = kv
        self._leases = leases
        self._added = 0

    def step(self) -> Step:
        """One request that changes nothing."""
        draw = self._draw
        match draw.one(*"hhhmmuubbaarrttssd"):
            case "d":
                return Step(draw.one("Maintenance/Defragment", "Maintenance/Hash"), {})
            case "h":
                return Step("Maintenance/HashKV", {"revision": draw.revision()})
            case "m":
                return Step("Cluster/MemberList", draw.flags(0.5, "linearizable"))
            case "u":
                return self._member_refused()
            case "b":
                return Step("Maintenance/MoveLeader", {"targetID": draw.one(0, 1, 77)})
            case "a":
                fields = {"memberID": draw.one(0, 7, SELF), "alarm": draw.one(0, 1, 2, 9)}
                return Step("Maintenance/Alarm", {"action": draw.one(0, 0, 2), **fields})
            case "r":
                data = draw.one(*_NO_MESSAGES, *_MESSAGES)
                return Step("raw", {"path": "/etcdserverpb.KV/Range", "data": data})
            case "t":
                return Step("raw", {"path": draw.one(*_PATHS), "data": b""})
        return Step("Maintenance/Status", {})

    def _member_refused(self) -> Step:
        """A change of members that cannot be."""
        draw = self._draw
        match draw.one("add", "remove", "update", "promote"):
            case "add":
                fields = {"peerURLs": draw.one(*_URLS), **draw.flags(0.3, "isLearner")}
                return Step("Cluster/MemberAdd", fields)
            case "remove":
                return Step("Cluster/MemberRemove", {"ID": draw.one(0, 1, 77)})
            case "update":
                urls = draw.one(*_URLS, ["http://127.0.0.1:1"])
                return Step("Cluster/MemberUpdate", {"ID": draw.one(0, 77), "peerURLs": urls})
        return Step("Cluster/MemberPromote", {"ID": draw.one(0, 77, SELF)})

    def alarm(self) -> Iterator[Step]:
        """An alarm, requests while it is raised, its end."""
        draw = self._draw
        raised = {"memberID": draw.one(7, SELF), "alarm": draw.one(_NOSPACE, _CORRUPT)}
        yield Step("Maintenance/Alarm", {"action": _ACTIVATE, **raised})
        if draw.chance(0.3):
            yield Step("Maintenance/Alarm", {"action": _ACTIVATE, **raised})
        for _ in range(8):
            yield self._unaware(self._kv.step())
        yield from self._leases.steps()
        yield Step("Maintenance/Alarm", {"action": _GET, "alarm": draw.one(0, 1, 2)})
        yield Step("Maintenance/Status", {})
        yield Step("Maintenance/Alarm", {"action": _DEACTIVATE, **raised})

    @staticmethod
    def _unaware(step: Step) -> Step:
        """Puts in nested transactions, which a full store refuses since 3.5.33, are not run."""
        if step.kind == "KV/Txn" and has_op(step.request, lambda op: "request_txn" in op):
            return step._replace(request=never_run(step.request))
        return step

    def learner(self) -> Iterator[Step]:
        """A learner that never comes: added, refused what it cannot be, removed."""
        draw = self._draw
        self._added += 1
        alias = ALIASES + 900_000 + self._added
        url = {"peerURLs": [f"http://127.0.0.1:{self._added}"], "isLearner": True}
        yield Step("Cluster/MemberAdd", url, alias=alias)
        yield Step("Cluster/MemberList", {})
        yield Step("Cluster/MemberAdd", {"peerURLs": ["http://127.0.0.2:1"], "isLearner": True})
        for _ in range(2):
            match draw.one("promote", "move", "clash"):
                case "promote":
                    yield Step("Cluster/MemberPromote", {"ID": alias})
                case "move":
                    yield Step("Maintenance/MoveLeader", {"targetID": alias})
                case _:
                    yield Step("Cluster/MemberUpdate", {"ID": SELF, "peerURLs": url["peerURLs"]})
        if draw.chance(0.5):
            urls = [f"http://127.0.0.3:{self._added}", "http://127.0.0.2:9"]
            yield Step("Cluster/MemberUpdate", {"ID": alias, "peerURLs": urls})
        yield Step("Cluster/MemberRemove", {"ID": alias})
        yield Step("Cluster/MemberRemove", {"ID": alias})

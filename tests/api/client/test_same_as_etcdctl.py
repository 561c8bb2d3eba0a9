"""The commands beside etcdctl: the same answers to the same questions."""

from __future__ import annotations

import base64
import json

from api.client.commands import etcdctl, kvorum
from support.clusters import ClusterHandle
from support.programs import need_program

SAME = [
    ["get", "{p}a"],
    ["get", "{p}", "--prefix"],
    ["get", "{p}a", "{p}c"],
    ["get", "{p}", "--prefix", "--limit", "2", "-w", "json"],
    ["get", "{p}a", "-w", "json"],
    ["get", "{p}none", "-w", "json"],
    ["get", "{p}", "--prefix", "--sort-by", "VALUE", "--order", "DESCEND", "-w", "json"],
    ["get", "{p}a", "--consistency", "s", "-w", "json"],
    ["member", "list"],
    ["member", "list", "-w", "json"],
    ["lease", "timetolive", "123456"],
    ["lease", "timetolive", "123456", "-w", "json"],
]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_the_same_answers_as_etcdctl(cluster: ClusterHandle, prefix: str) -> None:
    program = need_program("etcdctl")
    at = cluster.endpoints[:1]
    for name, value in (("a", "3"), ("b", "1"), ("c", "2")):
        kvorum("put", prefix + name, value, endpoints=at)
    for template in SAME:
        args = [word.format(p=prefix) for word in template]
        ours, theirs = kvorum(*args, endpoints=at), etcdctl(program, *args, endpoints=at)
        assert (ours.code, ours.err) == (0, ""), args
        if "json" in args:
            assert json.loads(ours.text) == json.loads(theirs.text), args
        else:
            assert ours.text.strip() == theirs.text.strip(), args


def test_the_same_writes_as_etcdctl(cluster: ClusterHandle, prefix: str) -> None:
    program = need_program("etcdctl")
    at = cluster.endpoints[:1]
    txn = 'val("{p}k") = "2"\n\nput {p}k "x y"\nget {p}k\ndel {p}none\n\nget {p}k\n\n'

    def outputs(ours: bool, p: str) -> list[object]:
        found: list[object] = []
        for args in (
            ["put", p + "k", "1", "-w", "json"],
            ["put", p + "k", "2", "--prev-kv", "-w", "json"],
            ["txn", "-w", "json"],
            ["del", p + "k", "--prev-kv", "-w", "json"],
            ["del", p + "k", "-w", "json"],
        ):
            stdin = txn.format(p=p).encode() if args[0] == "txn" else b""
            if ours:
                done = kvorum(*args, endpoints=at, stdin=stdin)
            else:
                done = etcdctl(program, *args, endpoints=at, stdin=stdin)
            found.append(_without_revisions(json.loads(done.text)))
        return found

    # The keys differ in their last letter, which the comparison takes out again.
    ours, theirs = outputs(True, prefix + "o"), outputs(False, prefix + "t")
    key_of_ours, key_of_theirs = _b64((prefix + "ok").encode()), _b64((prefix + "tk").encode())
    assert json.dumps(ours).replace(key_of_ours, key_of_theirs) == json.dumps(theirs)


def _without_revisions(document: object) -> object:
    """The document with every number of a revision replaced, and in one order of names."""
    if isinstance(document, list):
        return [_without_revisions(one) for one in document]
    if isinstance(document, dict):
        return {
            name: 0 if name.endswith("revision") else _without_revisions(value)
            for name, value in sorted(document.items())
        }
    return document

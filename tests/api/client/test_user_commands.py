"""``kvorum auth``, ``user`` and ``role`` on live clusters: what they say is what etcdctl says."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from api.client.commands import Done, kvorum
from support.clusters import ClusterHandle

ROOT = {"KVORUM_USER": "root:rootpw"}
ALICE = {"KVORUM_USER": "alice", "KVORUM_PASSWORD": "second"}
ROLE = """\
Role r
KV Read:
\t[k/, k0) (prefix k/)
\t[n, <open ended>
\tone
KV Write:
\t[m, z)
\tone
"""


def test_users_and_roles(own_cluster: Callable[..., ClusterHandle]) -> None:
    endpoints = own_cluster(1, flags=["--bcrypt-cost=4"]).endpoints

    def run(line: str, stdin: str = "", **who: str) -> Done:
        return kvorum(*line.split(), endpoints=endpoints, stdin=stdin.encode(), **who)

    def says(line: str, expected: str, stdin: str = "", **who: str) -> None:
        done = run(line, stdin, **who)
        assert (done.code, done.text) == (0, expected), (line, done)

    says("user add root:rootpw", "User root created\n")
    says("user add alice --new-user-password first", "User alice created\n")
    says("user add bob --interactive=false", "User bob created\n", "bobs\n")
    says("user add cert --no-password", "User cert created\n")
    says("user list", "alice\nbob\ncert\nroot\n")
    says("role add r", "Role r created\n")
    says("role grant-permission r read k/ --prefix", "Role r updated\n")
    says("role grant-permission r write m z", "Role r updated\n")
    says("role grant-permission r read n --from-key", "Role r updated\n")
    says("role grant-permission r readwrite one", "Role r updated\n")
    says("role get r", ROLE)
    says("user grant-role alice r", "Role r is granted to user alice\n")
    says("user get alice", "User: alice\nRoles: r\n")
    says("user get alice --detail", f"User: alice\n\n{ROLE}")
    assert json.loads(run("user get alice -w json").text) == {"roles": ["r"]}
    assert json.loads(run("role get r -w json").text)["perm"][2] == {
        "permType": "READ",
        "key": "bg==",
        "range_end": "AA==",
    }
    # As with etcdctl, root gets what is missing.
    says("auth enable", "Authentication Enabled\n")
    says("user get root", "User: root\nRoles: root\n", **ROOT)
    says("user passwd alice --interactive=false", "Password updated\n", "second\n", **ROOT)
    says("put one 1", "OK\n", **ALICE)
    assert run("get one").code == 1
    denied = run("put a 2", **ALICE)
    assert (denied.code, "permission denied" in denied.err) == (1, True)
    wrong = run("get one", KVORUM_USER="alice:first")
    assert (wrong.code, "authentication failed" in wrong.err) == (1, True)
    says("get one", "one\n1\n", ETCDCTL_USER="alice:second")
    says("role revoke-permission r k/ --prefix", REVOKED_RANGE, **ROOT)
    says("role revoke-permission r one", "Permission of key one is revoked from role r\n", **ROOT)
    says("role revoke-permission r n --from-key", REVOKED_OPEN, **ROOT)
    says("user revoke-role alice r", "Role r is revoked from user alice\n", **ROOT)
    says("role delete r", "Role r deleted\n", **ROOT)
    says("role list", "root\n", **ROOT)
    says("user delete alice", "User alice deleted\n", **ROOT)
    says("auth disable", "Authentication Disabled\n", **ROOT)


REVOKED_RANGE = "Permission of range [k/, k0) is revoked from role r\n"
REVOKED_OPEN = "Permission of range [n, <open ended> is revoked from role r\n"


@pytest.mark.parametrize("own_cluster", ["kvorum"], indirect=True)
def test_status_and_what_is_wrong(own_cluster: Callable[..., ClusterHandle]) -> None:
    endpoints = own_cluster(1).endpoints

    def run(*words: str) -> Done:
        return kvorum(*words, endpoints=endpoints)

    assert run("auth", "status").text == "Authentication Status: false\nAuthRevision: 1\n"
    assert json.loads(run("auth", "status", "-w", "json").text) == {
        "enabled": False,
        "authRevision": 1,
    }
    for words, code, text in (
        (("user", "add", ":x"), 3, "a user needs a name"),
        (("role", "grant-permission", "r", "execute", "k"), 3, "'execute' is not one of"),
        (("role", "grant-permission", "r", "read", ""), 3, "the key is empty"),
        (
            ("role", "grant-permission", "r", "read", "k", "l", "--prefix"),
            3,
            "RANGE_END, --prefix and --from-key exclude one another",
        ),
        (("role", "get", "nothing"), 1, "etcdserver: role name not found"),
        (("user", "get", "nobody"), 1, "etcdserver: user name not found"),
        (("auth", "enable"), 1, "etcdserver: root user does not exist"),
    ):
        done = run(*words)
        assert done.code == code, done
        assert text in done.err
        assert done.text == ""

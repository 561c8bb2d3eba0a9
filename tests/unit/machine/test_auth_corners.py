"""What the API refuses before a machine hears of it, asked of the machine itself."""

from __future__ import annotations

from kvorum.errors import Condition
from kvorum.machine import commands as c
from kvorum.machine.apply import Machine
from kvorum.machine.auth import Caller, Login, TokenGiven
from kvorum.machine.commands import Envelope
from kvorum.machine.permissions import Permission


def machine(*commands: c.Command) -> Machine:
    made = Machine()
    for index, command in enumerate(commands, 1):
        made.apply(index, 1, Envelope(0, 0, 0, "", 0, command))
    return made


def test_an_operation_without_a_member_asks_for_no_permission() -> None:
    made = machine(
        c.UserAdd("root", b"x"),
        c.UserGrantRole("root", "root"),
        c.UserAdd("u", b"x"),
        c.RoleAdd("r"),
        c.RoleGrantPermission("r", Permission(2, b"a")),
        c.UserGrantRole("u", "r"),
        c.AuthEnable(),
    )
    user = Caller("u", made.auth.revision)

    def check(*operations: c.Put | None) -> Condition | None:
        return made.auth.check_txn(user, c.Txn((), operations, (None,)), made.leases)

    assert check(None) is None
    assert check(None, c.Put(b"a", b"1")) is None
    assert check(None, c.Put(b"b", b"1")) is Condition.PERMISSION_DENIED


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(TokenGiven("u", "hidden"))
    assert "hidden" not in repr(Login(b"hidden", 1))

"""Who may do what: the questions that apply asks of a command, and the API of a read.

Two moments matter (contract page "semantics", section 0). A write is judged when it is applied, by
every member alike, from what the entry says of its caller: name and auth revision at the time of
proposing. Were it judged before, a permission taken away in the meantime would still hold. A read
has no entry; the member that answers judges it, with its own caller, and afterwards asks whether
users changed meanwhile (:meth:`Auth.check_current`). Each check gives the
condition that refuses, or None; with auth off all of them give None.

Tokens are not part of the state: which are alive is a matter of clocks, and every member forgets
them when it ends. What is agreed on is that one was given and when some end; ``token_change`` tells
each member what to remember.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, get_args

from kvorum.errors import Condition
from kvorum.machine import auth_ops as ops
from kvorum.machine.access import LeaseNeed, LeaseVerdicts, Need, lease_needs, needs_of
from kvorum.machine.accounts import ROOT, Accounts, AuthState, User
from kvorum.machine.leases import Lease, LeaseTable
from kvorum.machine.operations import Command, LeaseGrant, LeaseRevoke, Txn
from kvorum.machine.permissions import READWRITE, Permission, Rights, unite
from kvorum.machine.results import AuthenticateResult, AuthResult, Refused, Result

CHANGES: Final = frozenset(get_args(ops.AuthChange))
COMMANDS: Final = CHANGES | {ops.Authenticate}
_EVERYTHING = Permission(READWRITE, b"", b"\0")


class Caller(NamedTuple):
    """Who asks, and the auth revision under which that was established; 0: nobody knows who it
    is.
    """

    user: str = ""
    auth_revision: int = 0


ANONYMOUS: Final = Caller()


class Login(NamedTuple):
    """What a given password is compared with, and the auth revision for the ``Authenticate`` that
    follows.
    """

    password: bytes
    auth_revision: int

    def __repr__(self) -> str:
        return f"Login(password=<{len(self.password)} bytes>, auth_revision={self.auth_revision})"


class TokenGiven(NamedTuple):
    """A token is the user's from now on."""

    user: str
    token: str

    def __repr__(self) -> str:
        return f"TokenGiven(user={self.user!r}, token=<{len(self.token)} characters>)"


class TokensEnded(NamedTuple):
    """All tokens of the user end, or with None all there are."""

    user: str | None


class Auth:
    """The machine's users and roles, and the checks on them."""

    __slots__ = ("_cache", "_cache_revision", "_lease_verdicts", "accounts")

    def __init__(self, state: AuthState | None = None) -> None:
        self.accounts = Accounts(state)
        self._cache: dict[str, Rights] = {}  # By user; no more than there are users.
        self._lease_verdicts = LeaseVerdicts()
        self._cache_revision = 0  # The auth revision at which these two were right.

    @property
    def enabled(self) -> bool:
        """Whether permissions are checked."""
        return self.accounts.enabled

    @property
    def revision(self) -> int:
        """The auth revision: grows with every change of users, roles and permissions."""
        return self.accounts.revision

    def caller(self, user: str) -> Caller:
        """A user, established now by a token or a certificate; "" is nobody."""
        return Caller(user, self.revision) if user else ANONYMOUS

    # --- checks of keys ---------------------------------------------------------------------------

    def check_read(self, caller: Caller, key: bytes, range_end: bytes = b"") -> Condition | None:
        """For Range and for Watch, whose range must be handed over as the client spelled it."""
        return self._check(caller, (Need(False, key, range_end),))

    def check_write(self, caller: Caller, key: bytes, range_end: bytes = b"") -> Condition | None:
        """For a put or a deletion that is to be refused before it is proposed."""
        return self._check(caller, (Need(True, key, range_end),))

    def check_txn(self, caller: Caller, txn: Txn, leases: LeaseTable) -> Condition | None:
        """All compares and both branches, nested ones too. One that touches nothing is
        everybody's.
        """
        return self._check(caller, needs_of(txn, leases))

    def check_lease_write(self, caller: Caller, lease: Lease | None) -> Condition | None:
        """For keeping alive or revoking: every key on the lease. ``None`` is a lease that does not
        exist.
        """
        return self.check_user(caller) or self._check(caller, lease_needs(lease, writes=True))

    def check_lease_read(self, caller: Caller, leases: Iterable[Lease]) -> Condition | None:
        """For telling of leases and their keys: every key on each of them."""
        return self.check_user(caller) or self._check(
            caller, (need for lease in leases for need in lease_needs(lease, writes=False))
        )

    def check_command(
        self, caller: Caller, command: Command, leases: LeaseTable
    ) -> Condition | None:
        """For an entry, when it is applied. What the cluster itself proposes is free."""
        kind = type(command)
        if kind in CHANGES:
            return self.check_root(caller)
        if kind is ops.Authenticate:
            stale = self.enabled and caller.auth_revision < self.revision
            return Condition.AUTH_OLD_REVISION if stale else None
        if isinstance(command, LeaseRevoke):
            return self.check_lease_write(caller, leases.get(command.id))
        if isinstance(command, LeaseGrant):
            return self.check_user(caller)
        return self._check(caller, needs_of(command, leases))

    # --- checks of callers ------------------------------------------------------------------------

    def check_user(self, caller: Caller) -> Condition | None:
        """For what any user may do, but nobody without a name."""
        if not self.enabled:
            return None
        if not caller.user or not caller.auth_revision:
            return Condition.USER_EMPTY
        known = self.accounts.user(caller.user) is not None
        return None if known else Condition.PERMISSION_DENIED

    def check_root(self, caller: Caller) -> Condition | None:
        """For what only the root role may do. As in etcd, a stale auth revision does not matter:
        a row of changes needs no new token after each.
        """
        refused = self.check_user(caller)
        if refused is not None or not self.enabled:
            return refused
        return None if self.holds_role(caller.user, ROOT) else Condition.PERMISSION_DENIED

    def check_user_get(self, caller: Caller, name: str) -> Condition | None:
        """UserGet: root, or the user itself."""
        refused = self.check_root(caller)
        own = refused is Condition.PERMISSION_DENIED and self._is(caller, name)
        return None if own else refused

    def check_role_get(self, caller: Caller, role: str) -> Condition | None:
        """RoleGet: root, or a user who has the role."""
        refused = self.check_root(caller)
        own = refused is Condition.PERMISSION_DENIED and self.holds_role(caller.user, role)
        return None if own else refused

    def check_current(self, caller: Caller) -> Condition | None:
        """After a read was served: whether its permissions could have changed meanwhile."""
        stale = self.enabled and caller.auth_revision not in (0, self.revision)
        return Condition.AUTH_OLD_REVISION if stale else None

    def holds_role(self, user: str, role: str) -> bool:
        """Whether there is such a user, with that role."""
        found = self.accounts.user(user)
        return found is not None and role in found.roles

    # --- answers ----------------------------------------------------------------------------------

    def login(self, name: str) -> Login | Condition:
        """What a password must match for an Authenticate to be proposed, or why none can."""
        if not self.enabled:
            return Condition.AUTH_NOT_ENABLED
        user = self.accounts.user(name)
        if user is None:
            return Condition.AUTH_FAILED
        if user.no_password:
            return Condition.AUTH_NO_PASSWORD_USER
        return Login(user.password, self.revision)

    def user_names(self) -> tuple[str, ...]:
        """UserList: sorted."""
        return tuple([user.name for user in self.accounts.users()])

    def role_names(self) -> tuple[str, ...]:
        """RoleList: sorted."""
        return tuple([role.name for role in self.accounts.roles()])

    def roles_of(self, name: str) -> tuple[str, ...] | Condition:
        """UserGet: the user's roles, sorted."""
        user = self.accounts.user(name)
        return Condition.USER_NOT_FOUND if user is None else user.roles

    def permissions_of(self, name: str) -> tuple[Permission, ...] | Condition:
        """RoleGet: the role's permissions; those of root, if it exists as a role, are
        everything.
        """
        role = self.accounts.role(name)
        if role is None:
            return Condition.ROLE_NOT_FOUND
        return (_EVERYTHING,) if name == ROOT else role.permissions

    # --- entries ----------------------------------------------------------------------------------

    def apply(self, change: ops.AuthChange) -> AuthResult | Refused:
        """Change users, roles, permissions, or whether they count."""
        refused = self.accounts.apply(change)
        return Refused(refused) if refused is not None else AuthResult(self.enabled, self.revision)

    def authenticate(self, command: ops.Authenticate, index: int) -> AuthenticateResult | Refused:
        """Give a token; its number, the entry's index, makes it unlike any other."""
        login = self.login(command.name)
        if isinstance(login, Condition):
            return Refused(login)
        return AuthenticateResult(command.name, f"{command.prefix}.{index}", self.revision)

    # --- judging ----------------------------------------------------------------------------------

    def _check(self, caller: Caller, needs: Iterable[Need | LeaseNeed]) -> Condition | None:
        """The caller is looked at with the first need: who touches nothing may be nobody."""
        if not self.enabled:
            return None
        rights: Rights | None = None
        for need in needs:
            if rights is None:
                found = self._rights(caller)
                if isinstance(found, Condition):
                    return found
                if found.root:
                    return None
                rights = found
            coverage = rights.write if need.writes else rights.read
            if isinstance(need, LeaseNeed):
                fine = self._lease_verdicts.suffices(coverage, caller.user, need)
            else:
                fine = coverage.covers(need.key, need.range_end)
            if not fine:
                return Condition.PERMISSION_DENIED
        return None

    def _rights(self, caller: Caller) -> Rights | Condition:
        """What the caller may do, or that it cannot be told. Nobody has revision 0, as in etcd."""
        if not caller.user or not caller.auth_revision:
            return Condition.USER_EMPTY
        if caller.auth_revision < self.revision:
            return Condition.AUTH_OLD_REVISION
        if self._cache_revision != self.revision:
            self._cache.clear()
            self._lease_verdicts.clear()
            self._cache_revision = self.revision
        rights = self._cache.get(caller.user)
        if rights is None:
            user = self.accounts.user(caller.user)
            if user is None:
                return Condition.PERMISSION_DENIED
            rights = self._cache[caller.user] = self._unite(user)
        return rights

    def _unite(self, user: User) -> Rights:
        roles = [self.accounts.role(name) for name in user.roles]
        permissions = [held for role in roles if role is not None for held in role.permissions]
        return unite(permissions, ROOT in user.roles)

    def _is(self, caller: Caller, name: str) -> bool:
        return caller.user == name and self.accounts.user(name) is not None


def token_change(command: Command, result: Result | Refused) -> TokenGiven | TokensEnded | None:
    """What an applied entry means for the tokens that a member remembers, on all members."""
    if isinstance(result, AuthenticateResult):
        return TokenGiven(result.user, result.token)
    if isinstance(result, Refused):
        return None
    if isinstance(command, ops.AuthDisable):
        return TokensEnded(None)
    if isinstance(command, ops.UserDelete | ops.UserChangePassword):
        return TokensEnded(command.name)
    return None

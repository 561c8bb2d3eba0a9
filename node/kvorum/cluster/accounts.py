"""Users, roles and auth of a cluster file, made on the first start.

Every step may have been done before: a start that was interrupted begins again.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from kvorum.client import TLS, Client
from kvorum.client.errors import ClientError
from kvorum.cluster.extras import AuthSpec
from kvorum.errors import Condition

_DONE_BEFORE = (Condition.USER_EXIST, Condition.ROLE_EXIST)


async def set_up(endpoints: list[str], tls: TLS | None, spec: AuthSpec) -> None:
    """Make what ``spec`` names, then switch auth on. Raises
    :class:`kvorum.client.errors.ClientError`.
    """
    async with Client(endpoints, tls=tls) as client:
        auth = client.auth
        await _unless_done(auth.role_add("root"))
        await _unless_done(auth.user_add("root", spec.root_password))
        await auth.grant_role("root", "root")
        for role in spec.roles:
            await _unless_done(auth.role_add(role.name))
            for kind, prefix in role.permissions:
                await auth.grant_permission(role.name, kind, prefix, prefix=True)
        for user in spec.users:
            bare = not user.password
            await _unless_done(auth.user_add(user.name, user.password, no_password=bare))
            for name in user.roles:
                await auth.grant_role(user.name, name)
        await auth.enable()


async def _unless_done(step: Awaitable[Any]) -> None:
    try:
        await step
    except ClientError as error:
        if error.condition not in _DONE_BEFORE:
            raise

"""``kvorum user``, ``kvorum role`` and ``kvorum auth``, after etcdctl's: same words, same texts.

A password that is not given with its name is asked for, unseen, or read from standard input; one
on the command line is for everybody on the machine to see.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from kvorum.cli.options import Line, connected
from kvorum.cli.output import Group, InvalidInput

if TYPE_CHECKING:
    from kvorum.client.auth import Permission, PermissionKind

_ROOT = "root"


@click.group("user", cls=Group)
def user() -> None:
    """Users: who may log in, and with which roles."""


@click.group("role", cls=Group)
def role() -> None:
    """Roles: which keys may be read and written."""


@click.group("auth", cls=Group)
def auth() -> None:
    """Whether users and roles count."""


# --- auth -----------------------------------------------------------------------------------------


@auth.command("enable")
@connected()
async def enable(line: Line) -> None:
    """Check permissions from now on; the user root gets the role root if it has it not."""
    from kvorum.client import ClientError
    from kvorum.errors import Condition

    try:
        await line.client.auth.enable()
    except ClientError as error:
        if error.condition is not Condition.ROOT_ROLE_NOT_EXIST:
            raise
        await _let_root_be_root(line)
        await line.client.auth.enable()
    click.echo("Authentication Enabled")


async def _let_root_be_root(line: Line) -> None:
    from kvorum.client import ClientError
    from kvorum.errors import Condition

    try:
        await line.client.auth.role_add(_ROOT)
    except ClientError as error:
        if error.condition is not Condition.ROLE_EXIST:
            raise
    await line.client.auth.grant_role(_ROOT, _ROOT)


@auth.command("disable")
@connected()
async def disable(line: Line) -> None:
    """Let everybody do everything; users and roles stay."""
    await line.client.auth.disable()
    click.echo("Authentication Disabled")


@auth.command("status")
@connected()
async def status(line: Line) -> None:
    """Whether auth is on, and how many changes users and roles have seen."""
    from kvorum.cli import forms

    found = await line.client.auth.status()
    if line.form == "json":
        forms.write_json({"enabled": found.enabled, "authRevision": found.revision})
    elif line.form == "table":
        forms.write_table(("ENABLED", "AUTH REVISION"), [(str(found.enabled), found.revision)])
    else:
        click.echo(f"Authentication Status: {str(found.enabled).lower()}")
        click.echo(f"AuthRevision: {found.revision}")


# --- users ----------------------------------------------------------------------------------------


@user.command("add")
@click.argument("name", metavar="NAME[:PASSWORD]")
@click.option("--new-user-password", "given", help="The password, instead of asking for it.")
@click.option("--no-password", is_flag=True, help="A user that only a certificate can show.")
@click.option("--interactive", type=bool, default=True, help="With false, read it from stdin.")
@connected()
async def user_add(
    line: Line, name: str, given: str | None, no_password: bool, interactive: bool
) -> None:
    """Create a user."""
    name, colon, password = name.partition(":")
    if not name:
        raise InvalidInput("a user needs a name")
    if no_password:
        password = ""
    elif given is not None:
        password = given
    elif not colon:
        password = _ask(name, interactive)
    await line.client.auth.user_add(name, password, no_password=no_password)
    click.echo(f"User {name} created")


@user.command("delete")
@click.argument("name")
@connected()
async def user_delete(line: Line, name: str) -> None:
    """Remove a user; its tokens end."""
    await line.client.auth.user_delete(name)
    click.echo(f"User {name} deleted")


@user.command("passwd")
@click.argument("name")
@click.option("--interactive", type=bool, default=True, help="With false, read it from stdin.")
@connected()
async def user_passwd(line: Line, name: str, interactive: bool) -> None:
    """Give a user another password; its tokens end."""
    await line.client.auth.user_change_password(name, _ask(name, interactive))
    click.echo("Password updated")


@user.command("get")
@click.argument("name")
@click.option("--detail", is_flag=True, help="Also what each of its roles may do.")
@connected()
async def user_get(line: Line, name: str, detail: bool) -> None:
    """A user's roles."""
    from kvorum.cli import forms

    roles = await line.client.auth.user_roles(name)
    held = {each: await line.client.auth.role_permissions(each) for each in roles if detail}
    if line.form == "json":
        permissions = {each: [_json(one) for one in held[each]] for each in held}
        forms.write_json({"roles": list(roles)} | ({"permissions": permissions} if detail else {}))
    elif line.form == "table":
        forms.write_table(("USER", "ROLES"), [(name, ", ".join(roles))])
    else:
        click.echo(f"User: {name}")
        if not detail:
            click.echo(f"Roles: {' '.join(roles)}".rstrip())
        for each in held:
            click.echo()
            _write_role(each, held[each])


@user.command("list")
@connected()
async def user_list(line: Line) -> None:
    """Every user."""
    _write_names(line, "users", await line.client.auth.users())


@user.command("grant-role")
@click.argument("name", metavar="USER")
@click.argument("role_name", metavar="ROLE")
@connected()
async def user_grant_role(line: Line, name: str, role_name: str) -> None:
    """Give USER a role."""
    await line.client.auth.grant_role(name, role_name)
    click.echo(f"Role {role_name} is granted to user {name}")


@user.command("revoke-role")
@click.argument("name", metavar="USER")
@click.argument("role_name", metavar="ROLE")
@connected()
async def user_revoke_role(line: Line, name: str, role_name: str) -> None:
    """Take a role from USER."""
    await line.client.auth.revoke_role(name, role_name)
    click.echo(f"Role {role_name} is revoked from user {name}")


def _ask(name: str, interactive: bool) -> str:
    """A new password: typed twice, or the first line of what is piped in."""
    if not interactive:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt(
        f"Password of {name}",
        hide_input=True,
        confirmation_prompt=f"Type password of {name} again for confirmation",
        default="",
        show_default=False,
        err=True,
    )
    return password


# --- roles ----------------------------------------------------------------------------------------


@role.command("add")
@click.argument("name")
@connected()
async def role_add(line: Line, name: str) -> None:
    """Create a role that may do nothing yet."""
    await line.client.auth.role_add(name)
    click.echo(f"Role {name} created")


@role.command("delete")
@click.argument("name")
@connected()
async def role_delete(line: Line, name: str) -> None:
    """Remove a role, from all users too."""
    await line.client.auth.role_delete(name)
    click.echo(f"Role {name} deleted")


@role.command("get")
@click.argument("name")
@connected()
async def role_get(line: Line, name: str) -> None:
    """What a role may do."""
    from kvorum.cli import forms

    held = await line.client.auth.role_permissions(name)
    if line.form == "json":
        forms.write_json({"perm": [_json(one) for one in held]})
    elif line.form == "table":
        forms.write_table(("KIND", "KEYS"), [(one.kind, _keys(one)) for one in held])
    else:
        _write_role(name, held)


@role.command("list")
@connected()
async def role_list(line: Line) -> None:
    """Every role."""
    _write_names(line, "roles", await line.client.auth.roles())


@role.command("grant-permission")
@click.argument("name", metavar="ROLE")
@click.argument("kind", type=click.Choice(["read", "write", "readwrite"]))
@click.argument("key")
@click.argument("range_end", metavar="[RANGE_END]", required=False)
@click.option("--prefix", is_flag=True, help="Every key that begins with KEY; '' takes all.")
@click.option("--from-key", is_flag=True, help="Every key from KEY on.")
@connected()
async def role_grant_permission(
    line: Line, name: str, kind: str, key: str, range_end: str | None, prefix: bool, from_key: bool
) -> None:
    """Let ROLE read or write KEY, or the keys of a range."""
    kinds: dict[str, PermissionKind] = {
        "read": "READ",
        "write": "WRITE",
        "readwrite": "READWRITE",
    }
    start, end = _range(key, range_end, prefix, from_key)
    await line.client.auth.grant_permission(name, kinds[kind], start, end or None)
    click.echo(f"Role {name} updated")


@role.command("revoke-permission")
@click.argument("name", metavar="ROLE")
@click.argument("key")
@click.argument("range_end", metavar="[RANGE_END]", required=False)
@click.option("--prefix", is_flag=True, help="Every key that begins with KEY; '' takes all.")
@click.option("--from-key", is_flag=True, help="Every key from KEY on.")
@connected()
async def role_revoke_permission(
    line: Line, name: str, key: str, range_end: str | None, prefix: bool, from_key: bool
) -> None:
    """Take back what was granted for exactly this key or range."""
    from kvorum.client.auth import Permission

    start, end = _range(key, range_end, prefix, from_key)
    await line.client.auth.revoke_permission(name, start, end or None)
    what = "range" if end else "key"
    keys = _keys(Permission("", start, end), named=False)
    click.echo(f"Permission of {what} {keys} is revoked from role {name}")


def _range(key: str, range_end: str | None, prefix: bool, from_key: bool) -> tuple[bytes, bytes]:
    from kvorum.client.types import key_range

    if not (key or prefix or from_key):
        raise InvalidInput("the key is empty")
    try:
        return key_range(key, range_end, prefix=prefix, from_key=from_key)
    except ValueError:
        text = "RANGE_END, --prefix and --from-key exclude one another"
        raise InvalidInput(text) from None


# --- texts ----------------------------------------------------------------------------------------


def _write_names(line: Line, what: str, names: tuple[str, ...]) -> None:
    from kvorum.cli import forms

    if line.form == "json":
        forms.write_json({what: list(names)})
    elif line.form == "table":
        forms.write_table((what[:-1].upper(),), [(name,) for name in names])
    else:
        for name in names:
            click.echo(name)


def _write_role(name: str, held: tuple[Permission, ...]) -> None:
    click.echo(f"Role {name}")
    for title, kinds in (("Read", ("READ", "READWRITE")), ("Write", ("WRITE", "READWRITE"))):
        click.echo(f"KV {title}:")
        for one in held:
            if one.kind in kinds:
                click.echo("\t" + _keys(one))


def _keys(permission: Permission, *, named: bool = True) -> str:
    """A permission's keys as etcdctl writes them; a prefix is named as one."""
    from kvorum.cli import forms
    from kvorum.client.types import prefix_end

    key, end = permission.key, permission.range_end
    if not end:
        return forms.shown(key)
    if end == b"\0":
        return f"[{forms.shown(key)}, <open ended>"
    text = f"[{forms.shown(key)}, {forms.shown(end)})"
    return f"{text} (prefix {forms.shown(key)})" if named and end == prefix_end(key) else text


def _json(permission: Permission) -> dict[str, str]:
    from kvorum.cli import forms

    fields = {"permType": permission.kind, "key": forms.b64(permission.key)}
    return fields | ({"range_end": forms.b64(permission.range_end)} if permission.range_end else {})

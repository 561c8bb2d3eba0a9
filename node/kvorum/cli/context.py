"""``kvorum context``: clusters by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvorum.cli.output import Group, InvalidInput, ask_password, form_option, say
from kvorum.errors import ConfigError

if TYPE_CHECKING:
    from kvorum.client.contexts import Context, Contexts

COLOUR_NAMES = ("red", "orange", "yellow", "green", "blue", "purple", "grey")


@click.group(cls=Group)
def context() -> None:
    """Clusters by name: where they are, who one is there, whether they may be written to.

    Members that this machine cannot reach itself are reached through ssh (--ssh) or any program
    that connects and speaks on its standard input and output (--proxy-command).

    They are used by --context NAME of every command and of the terminal; the one chosen by "use" is
    the one that commands talk to when no flag and no variable says where.
    """


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise InvalidInput(str(error)) from error


def _load() -> Contexts:
    from kvorum.client.contexts import load_contexts

    with _told():
        return load_contexts()


def _save(contexts: Contexts) -> None:
    from kvorum.client.contexts import save_contexts

    with _told():
        save_contexts(contexts)


def _get(contexts: Contexts, name: str) -> Context:
    with _told():
        return contexts.get(name)


@context.command("list")
@form_option("simple", "json")
def list_(write_out: str) -> None:
    """Every context; a star marks the current one."""
    from kvorum.client.contexts import as_row

    contexts = _load()
    if write_out == "json":
        rows = {name: as_row(each) for name, each in contexts.table.items()}
        click.echo(json.dumps({"current": contexts.current, "contexts": rows}))
        return
    if not contexts.table:
        say(f"no contexts in {contexts.path}; make one with: kvorum context add NAME --endpoints …")
    width = max((len(name) for name in contexts.table), default=0)
    for name, each in contexts.table.items():
        star = "*" if name == contexts.current else " "
        kind = "read-only" if each.guarded else "read-write"
        who = f" as {each.user}" if each.user else ""
        colour = f" {each.colour}" if each.colour else ""
        where = ",".join(each.endpoints) + each.way
        click.echo(f"{star} {name:<{width}}  {kind:<10} {where}{who}{colour}")


@context.command()
def path() -> None:
    """The file where contexts are kept."""
    click.echo(str(_load().path))


@context.command()
@click.argument("name")
def show(name: str) -> None:
    """One context, as JSON."""
    from kvorum.client.contexts import as_row

    click.echo(json.dumps(as_row(_get(_load(), name)), indent=2))


_FIELD_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--endpoints", help="Members, separated by commas."),
    click.option("--user", help="User name."),
    click.option(
        "--password-from",
        "password",
        help="ask, keyring, or env:NAME; the password itself is never kept in the file.",
    ),
    click.option("--cacert", help="CA of the servers' certificates."),
    click.option("--cert", help="Certificate that shows who we are."),
    click.option("--key", help="Key of --cert."),
    click.option("--tls-server-name", help="Name that the servers' certificates must have."),
    click.option(
        "--insecure-skip-tls-verify/--verify-tls",
        "insecure_skip_tls_verify",
        default=None,
        help="Do not check the servers' certificates.",
    ),
    click.option(
        "--ssh", metavar="USER@HOST[:PORT]", help="Members are reached through ssh to this host."
    ),
    click.option(
        "--proxy-command",
        help="Members are reached through this program, which connects to {host} and {port}:"
        ' "kubectl exec -i etcd-0 -- nc {host} {port}".',
    ),
    click.option(
        "--read-only/--read-write",
        "read_only",
        default=None,
        help="How it is opened.  [default: read-only, unless it is on this machine]",
    ),
    click.option("--colour", type=click.Choice(COLOUR_NAMES), help="Its colour in the terminal."),
    click.option(
        "--separator", "separators", multiple=True, help="Separator of its keys; may be repeated."
    ),
)


def _fields(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_FIELD_OPTIONS):
        function = option(function)
    return function


def _given(values: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in values.items() if value not in (None, ())}
    if "endpoints" in found:
        found["endpoints"] = tuple(part for part in found["endpoints"].split(",") if part)
    return found


@context.command()
@click.argument("name")
@_fields
def add(name: str, **values: Any) -> None:
    """Make a context. With --password-from keyring the password is asked for and kept there."""
    from kvorum.client.contexts import Context, check_context

    contexts = _load()
    if name in contexts.table:
        raise InvalidInput(f"there is a context {name} already; change it with: context set {name}")
    given = _given(values)
    made = Context(name, given.pop("endpoints", ()), **given)
    with _told():
        check_context(made, f"context {name}")
    _keep(contexts, made)


@context.command("set")
@click.argument("name")
@_fields
def set_(name: str, **values: Any) -> None:
    """Change some fields of a context."""
    from kvorum.client.contexts import check_context

    contexts = _load()
    changed = replace(_get(contexts, name), **_given(values))
    with _told():
        check_context(changed, f"context {name}")
    _keep(contexts, changed)


def _located(made: Context) -> Context:
    """The same with files named from the root, so that it works from any folder."""
    given = {"cacert": made.cacert, "cert": made.cert, "key": made.key}
    files: dict[str, Any] = {
        name: str(Path(file).absolute()) for name, file in given.items() if file
    }
    for name, file in files.items():
        if not Path(file).is_file():
            say(f"there is no file {file} ({name})")
    return replace(made, **files)


def _keep(contexts: Contexts, made: Context) -> None:
    made = _located(made)
    if made.password == "keyring" and made.user:
        _ask_password(made)
    contexts.table[made.name] = made
    _save(contexts)
    say(f"kept in {contexts.path}; use it with: --context {made.name}")


def _ask_password(made: Context) -> None:
    from kvorum.client.contexts import keep_password

    given = ask_password(str(made.user))
    with _told():
        keep_password(made, given)


@context.command()
@click.argument("name")
def password(name: str) -> None:
    """Put a context's password into the system's keyring."""
    contexts = _load()
    found = _get(contexts, name)
    _ask_password(found)
    contexts.table[name] = replace(found, password="keyring")
    _save(contexts)


@context.command()
@click.argument("name", required=False)
@click.option("--none", is_flag=True, help="No current context.")
def use(name: str | None, none: bool) -> None:
    """Choose the current context."""
    contexts = _load()
    if none == (name is not None):
        raise InvalidInput("name one context, or none with --none")
    contexts.current = _get(contexts, name).name if name else ""
    _save(contexts)


@context.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a context. A password in the keyring stays there."""
    contexts = _load()
    del contexts.table[_get(contexts, name).name]
    if contexts.current == name:
        contexts.current = ""
    _save(contexts)


@context.command("import")
@click.argument("what", metavar="NAME|FILE")
def import_(what: str) -> None:
    """Make a context NAME of etcdctl's variables (ETCDCTL_ENDPOINTS and the others), or contexts of
    the connections in FILE, an export of etcd-workbench.
    """
    from kvorum.client.contexts import from_etcdctl

    contexts = _load()
    if Path(what).is_file():
        _import_file(contexts, Path(what))
        return
    if what in contexts.table:
        raise InvalidInput(f"there is a context {what} already")
    with _told():
        made = from_etcdctl(what, os.environ)
    _keep(contexts, made)
    if os.environ.get("ETCDCTL_PASSWORD") or ":" in os.environ.get("ETCDCTL_USER", ""):
        say("the password in the variables was left out: it has no place in the file")


def _import_file(contexts: Contexts, path: Path) -> None:
    from kvorum.client.foreign import from_workbench

    try:
        with _told():
            found, wrong = from_workbench(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{path}: {error}") from error
    for text in wrong:
        say(f"not imported: {text}")
    kept = 0
    for each in found:
        name = each.context.name
        if name in contexts.table:
            say(f"not imported: there is a context {name} already")
            continue
        with _told():
            made = each.with_files(contexts.path.absolute().parent / "tls")
        left_out = list(each.left_out)
        if each.password is not None:
            made, told = _with_password(made, each.password)
            left_out += [told] if told else []
        contexts.table[name] = made
        kept += 1
        say(f"{name}: {','.join(made.endpoints)}{made.way}")
        for text in left_out:
            say(f"  left out: {text}")
    if not kept:
        raise InvalidInput(f"{path}: nothing was imported")
    _save(contexts)
    say(f"kept in {contexts.path}")


def _with_password(made: Context, password: str) -> tuple[Context, str]:
    """The context with its password in the keyring; where there is none, what to say of it."""
    from kvorum.client.contexts import keep_password

    try:
        keep_password(made, password)
    except ConfigError as error:
        return made, f"the password ({error})"
    return replace(made, password="keyring"), ""

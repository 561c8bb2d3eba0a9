"""``kvorum tui`` and plain ``kvorum``: the terminal on a cluster, and the choice of one.

Textual is imported only when one of these runs, so that no other verb pays for it.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import click

from kvorum.cli.chosen import chosen_context, context_options, with_context
from kvorum.cli.options import tls_of, tls_values, tunnel_from
from kvorum.cli.output import ask_password
from kvorum.errors import ConfigError

DEFAULT_ENDPOINT = "http://127.0.0.1:2379"
TABS = ("keys", "watch", "cluster", "drills", "time", "sql", "leases", "txn", "admin", "log")


def _env(name: str) -> list[str]:
    return [f"KVORUM_{name}", f"ETCDCTL_{name}"]


def _password(options: dict[str, Any]) -> None:
    """Complete user and password; asks for a password that is not given."""
    if options["user"] is None:
        return
    name, colon, rest = options["user"].partition(":")
    if options["password"] is None:
        options["password"] = rest if colon else ask_password(name)
    options["user"] = name


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--endpoints",
    multiple=True,
    envvar=_env("ENDPOINTS"),
    help=f"Client addresses of any members, separated by commas.  [default: {DEFAULT_ENDPOINT}]",
)
@context_options
@click.option("--user", envvar=_env("USER"), help="User name, or name:password.")
@click.option("--password", envvar=_env("PASSWORD"), help="Password of --user.")
@tls_values
@click.option("--title", default="", help="What the header calls this cluster.")
@click.option("--tab", type=click.Choice(TABS), default="keys", help="The tab to open first.")
def tui(
    file: Path | None, endpoints: tuple[str, ...], title: str, tab: str, **options: Any
) -> None:
    """The terminal, on any etcd-compatible cluster; or on FILE, a recording or a snapshot.

    Browse and edit keys, watch them, see every member's raft log, break links on purpose, keep
    leases. A real etcd works as well; what it cannot tell is greyed, with the reason.

    Unless --read-write is given (or the context says so), a cluster that is not on this machine is
    opened read-only; ctrl+e changes that, and asks first.
    """
    gc.disable()  # A sixth of the start; the terminal enables it behind its first frame.
    try:
        _open(file, endpoints, title, tab, options)
    finally:
        gc.enable()


def _open(
    file: Path | None, endpoints: tuple[str, ...], title: str, tab: str, options: dict[str, Any]
) -> None:
    if file is not None:
        from kvorum.cli.recording import run_file

        run_file(file, tab)
        return
    from kvorum_tui.app import run
    from kvorum_tui.feeds import endpoints_from

    from kvorum.client.contexts import is_local

    try:
        options["endpoints"] = ",".join(endpoints)
        context = chosen_context(options)
        merged = with_context(options)
        _password(merged)
        tls, tunnel = tls_of(merged), tunnel_from(merged)
        default = DEFAULT_ENDPOINT if tls is None else DEFAULT_ENDPOINT.replace("http", "https")
        places = endpoints_from([merged["endpoints"]]) or (default,)
        read_only = merged["read_only"]
        if context is None and options["read_only"] is None:
            read_only = tunnel is not None or not is_local(places)
        run(
            places,
            title=title or (context.name if context is not None else ""),
            first_tab=tab,
            colour=context.colour if context is not None else "",
            read_only=read_only,
            user=merged["user"],
            password=merged["password"],
            tls=tls,
            tunnel=tunnel,
        )
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


@click.command()
@click.pass_context
def welcome(ctx: click.Context) -> None:
    """Choose between a demo cluster and a cluster to connect to."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        click.echo((ctx.parent or ctx).get_help())
        return
    from kvorum_tui.welcome import ask

    given = os.environ.get("KVORUM_ENDPOINTS") or os.environ.get("ETCDCTL_ENDPOINTS")
    try:
        answer = ask(given or DEFAULT_ENDPOINT)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    if answer is None:
        return
    if answer.demo_nodes:
        from kvorum.cli.up import demo

        demo.main(args=["--nodes", str(answer.demo_nodes)], prog_name="kvorum demo")
    elif answer.context:
        tui.main(args=["--context", answer.context], prog_name="kvorum tui")
    elif answer.file:
        from kvorum.cli import cli

        cli.main(args=["open", answer.file], prog_name="kvorum")
    else:
        more = ["--read-only"] if answer.read_only else []
        tui.main(args=["--endpoints", answer.endpoints, *more], prog_name="kvorum tui")

"""``kvorum tui`` and plain ``kvorum``: the terminal on a cluster, and the choice of one.

Textual is imported only when one of these runs, so that no other verb pays for it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from kvorum.cli.options import tls_options
from kvorum.errors import ConfigError

if TYPE_CHECKING:
    from kvorum.client import TLS

DEFAULT_ENDPOINT = "http://127.0.0.1:2379"
TABS = ("keys", "watch", "cluster", "drills", "leases")


def _env(name: str) -> list[str]:
    return [f"KVORUM_{name}", f"ETCDCTL_{name}"]


def _session_options(user: str | None, password: str | None, tls: TLS | None) -> dict[str, Any]:
    """User and TLS as the terminal's session takes them; asks for a password that is not given."""
    options: dict[str, Any] = {}
    if user is not None:
        name, colon, rest = user.partition(":")
        if password is None:
            password = rest if colon else click.prompt(f"Password of {name}", hide_input=True)
        options["user"], options["password"] = name, password
    if tls is not None:
        options["tls"] = tls
    return options


@click.command()
@click.option(
    "--endpoints",
    multiple=True,
    envvar=_env("ENDPOINTS"),
    help=f"Client addresses of any members, separated by commas.  [default: {DEFAULT_ENDPOINT}]",
)
@click.option("--read-only", is_flag=True, help="Refuse everything that would change something.")
@click.option("--user", envvar=_env("USER"), help="User name, or name:password.")
@click.option("--password", envvar=_env("PASSWORD"), help="Password of --user.")
@tls_options
@click.option("--title", default="", help="What the header calls this cluster.")
@click.option("--tab", type=click.Choice(TABS), default="keys", help="The tab to open first.")
def tui(
    endpoints: tuple[str, ...],
    read_only: bool,
    user: str | None,
    password: str | None,
    tls: TLS | None,
    title: str,
    tab: str,
) -> None:
    """The terminal, on any etcd-compatible cluster.

    Browse and edit keys, watch them, see every member's raft log, break links on purpose, keep
    leases. A real etcd works as well; what it cannot tell is greyed, with the reason.
    """
    from kvorum_tui.app import run
    from kvorum_tui.feeds import endpoints_from

    try:
        options = _session_options(user, password, tls)
        default = DEFAULT_ENDPOINT if tls is None else DEFAULT_ENDPOINT.replace("http", "https")
        places = endpoints_from(endpoints) or (default,)
        run(places, title=title, first_tab=tab, read_only=read_only, **options)
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
    answer = ask(given or DEFAULT_ENDPOINT)
    if answer is None:
        return
    if answer.demo_nodes:
        from kvorum.cli.up import demo

        demo.main(args=["--nodes", str(answer.demo_nodes)], prog_name="kvorum demo")
    else:
        more = ["--read-only"] if answer.read_only else []
        tui.main(args=["--endpoints", answer.endpoints, *more], prog_name="kvorum tui")

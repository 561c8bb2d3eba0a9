"""``kvorum serve-web``: the terminal in a browser."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys

import click

from kvorum.cli.output import Command, Failed, InvalidInput, say

TOKEN = "KVORUM_WEB_TOKEN"


@click.command(
    "serve-web",
    cls=Command,
    context_settings={"ignore_unknown_options": True},
    add_help_option=True,
)
@click.option("--host", default="127.0.0.1", show_default=True, help="An address of this machine.")
@click.option("--port", default=8500, show_default=True, help="0 takes any that is free.")
@click.argument("terminal", nargs=-1, type=click.UNPROCESSED)
def serve_web(host: str, port: int, terminal: tuple[str, ...]) -> None:
    """The terminal in a browser, on this machine and for whoever has the printed address.

    What stands behind -- goes to "kvorum tui": kvorum serve-web -- --context prod. A password is
    better given by KVORUM_PASSWORD. The token is new at every start, unless KVORUM_WEB_TOKEN has
    one. From another machine: ssh -L 8500:127.0.0.1:8500 host.
    """
    try:
        from kvorum_tui.web import listener, serve
    except ImportError as error:
        raise Failed(
            f"the browser needs the library textual-serve ({error}); install kvorum[web]"
        ) from error
    try:
        sock = listener(host, port)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    except OSError as error:
        raise Failed(f"{host}:{port}: {error}") from error
    command = "exec " + shlex.join([sys.executable, "-m", "kvorum", "tui", *terminal])

    async def body() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await serve(command, sock, "kvorum", os.environ.get(TOKEN), _ready, stop)

    asyncio.run(body())


def _ready(address: str) -> None:
    click.echo(address)
    sys.stdout.flush()
    say("open it in a browser; Ctrl-C ends it and every terminal in it")

"""``kvorum serve``: one node, with etcd's flags, variables, exit codes and words.

Exit codes: 0 stopped, 1 a configuration that contradicts itself or a port that is taken, 2 a
command line that cannot be read, and those of :class:`kvorum.server.crash.Exit` for a node that had
to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import signal
import socket
import sys
from collections.abc import Sequence

import click

from kvorum import ETCD_VERSION, __version__
from kvorum.config import NodeConfig, load
from kvorum.errors import ConfigError
from kvorum.flaghelp import usage
from kvorum.flags import Settings, UsageError

log = logging.getLogger(__name__)


class _RawCommand(click.Command):
    """Leaves the command line alone: its syntax is that of Go's flags, not of click's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep everything."""
        ctx.args = args
        return []


@click.command(cls=_RawCommand, add_help_option=False)
@click.pass_context
def serve(ctx: click.Context) -> None:
    """Run one node; takes etcd's own flags and ETCD_ variables."""
    code = main(ctx.args)
    if "duckdb" in sys.modules:
        # All is closed and on disk. Taking DuckDB's module apart would only make it complain on
        # stderr, at the end of the log.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(arguments: Sequence[str]) -> int:
    """The command proper; returns the exit code."""
    try:
        loaded = load(arguments, os.environ)
    except UsageError as exc:
        click.echo(f"{exc}\n{usage()}", err=True)
        return 2
    except ConfigError as exc:
        click.echo(str(exc), err=True)
        return 1
    if isinstance(loaded, Settings):
        click.echo(usage() if loaded.wants_help else version_text())
        return 0
    return run(loaded)


def version_text() -> str:
    """The four lines of ``etcd --version``; scripts read the first."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return "\n".join(
        (
            f"etcd Version: {ETCD_VERSION}",
            f"Git SHA: kvorum-{__version__}",
            f"Go Version: python{platform.python_version()}",
            f"Go OS/Arch: {platform.system().lower()}/{machine}",
        )
    )


def run(config: NodeConfig) -> int:
    """Run a node until it is told to stop; returns the exit code."""
    from kvorum.http2 import choice
    from kvorum.server import logs
    from kvorum.server.crash import Exit, FatalError

    choice.use(config.http2)
    try:
        logs.set_up(config.log)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        place = exc.filename
        click.echo(f'couldn\'t open sink "{place}": open {place}: {reason}', err=True)
        return 1
    for warning in config.warnings:
        log.warning(warning)
    try:
        return _loop_run(config)
    except ConfigError as exc:
        log.critical(str(exc))
        return 1
    except FatalError as exc:
        log.critical(str(exc), extra={"exit-code": int(exc.code)})
        return int(exc.code)
    except Exception:
        # A broken pipe among them: the command line's library would take it for its own, and end
        # without a word.
        log.critical("the node ends", exc_info=True, extra={"exit-code": int(Exit.UNFORESEEN)})
        return int(Exit.UNFORESEEN)


def _loop_run(config: NodeConfig) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_run(config))
    return int(uvloop.run(_run(config)))


async def _run(config: NodeConfig) -> int:
    from kvorum.api.registry import client_services
    from kvorum.server.crash import Crash
    from kvorum.server.member import Member

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, number, stopping)
    member = Member(config, client_services, Crash())
    try:
        member.bind()
        await member.start()
        serving = asyncio.ensure_future(member.serve())
        departed = asyncio.ensure_future(member.wait_departed())
        await _first(stopping.wait(), serving, departed)
        if serving.done():
            serving.result()
            notify_systemd("READY=1")
            await _first(stopping.wait(), departed)
        if departed.done():
            departed.result()
        for task in (serving, departed):
            task.cancel()
        await asyncio.gather(serving, departed, return_exceptions=True)
    finally:
        await member.stop()
    log.info("stopped")
    return 0


def _on_signal(number: signal.Signals, stopping: asyncio.Event) -> None:
    if stopping.is_set():
        # The second signal means it: the log and the votes on disk need no farewell.
        os._exit(128 + number)
    log.info("received signal; shutting down", extra={"signal": number.name})
    stopping.set()


async def _first(*awaitables: object) -> None:
    """Wait until one of them is done; the others are cancelled, except futures given as such."""
    tasks = []
    for awaitable in awaitables:
        assert asyncio.iscoroutine(awaitable) or isinstance(awaitable, asyncio.Future)
        tasks.append(asyncio.ensure_future(awaitable))
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, awaitable in zip(tasks, awaitables, strict=True):
        if not isinstance(awaitable, asyncio.Future):
            task.cancel()


def notify_systemd(state: str) -> None:
    """Tell systemd, if it started this process and wants to know."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier,
    ):
        notifier.connect(address)
        notifier.sendall(state.encode())

"""How the commands end and where they write: exit codes, errors, signals.

Standard output carries data and nothing else; standard error carries everything that is said
about it. The exit codes follow etcdctl's where it has one (contract page "server", section 8):

- 0: done
- 1: the cluster refused, or something failed
- 2: no member could be reached
- 3: the input is wrong: a flag, a key, a line of a file
- 4: what was asked for is gone: a compacted revision, an expired lease
- 5: interrupted, or a write whose outcome is not known

Nothing here imports the client: ``kvorum --help`` may show :data:`EXIT_CODES` without paying for
it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import click

OK, FAILED, UNREACHABLE, INVALID, GONE, INTERRUPTED = range(6)

EXIT_CODES = """\b
Exit codes:
  0  done
  1  the cluster refused, or something failed
  2  no member could be reached
  3  the input is wrong: a flag, a key, a line of a file
  4  what was asked for is gone: a compacted revision, an expired lease
  5  interrupted, or a write whose outcome is not known"""


class InvalidInput(click.ClickException):
    """Wrong input, found by us rather than by click."""

    exit_code = INVALID


class Failed(click.ClickException):
    """The cluster refused, or something failed."""

    exit_code = FAILED


class Unreachable(Failed):
    """No member could be reached."""

    exit_code = UNREACHABLE


class Gone(Failed):
    """What was asked for is gone."""

    exit_code = GONE


class Interrupted(Failed):
    """Interrupted, or a write whose outcome is not known."""

    exit_code = INTERRUPTED


class WrongUsage(click.UsageError):
    """click's usage error with our exit code."""

    exit_code = INVALID


class Command(click.Command):
    """A command whose usage errors leave with 3 instead of click's 2, which means "unreachable"
    here.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise WrongUsage(error.format_message(), error.ctx) from error


class Group(Command, click.Group):
    """A group with the same usage errors."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise WrongUsage(error.format_message(), error.ctx) from error


def form_option(*forms: str) -> Callable[[Any], Any]:
    """The option ``-w`` with these forms, the first by itself."""
    return click.option(
        "-w",
        "--write-out",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help="How results are written.",
    )


def say(text: str) -> None:
    """Say something about the data, on standard error."""
    click.echo(text, err=True)


def ask_password(user: str) -> str:
    """Ask somebody at the terminal. Raises :class:`InvalidInput` where there is none: standard
    input may be a value, and is not to be eaten.
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        if not sys.stdin.isatty():
            raise InvalidInput(
                f"the password of {user} is missing, and there is no terminal to ask for it: "
                "give --password, KVORUM_PASSWORD, or a context that says where it is"
            ) from None
    given: str = click.prompt(f"Password of {user}", hide_input=True, err=True)
    return given


def run(body: Callable[[], Awaitable[None]], *, endless: bool = False) -> None:
    """Run a command's body to its end and leave with the right exit code.

    An ``endless`` command (a watch) is ended by Ctrl-C or SIGTERM on purpose, and that is
    success; any other one is interrupted by them.
    """
    try:
        interrupted = asyncio.run(_until_signal(body))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it closes
        # stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OK if endless else INTERRUPTED)
    except click.ClickException:
        raise
    except KeyboardInterrupt:
        interrupted = True
    except Exception as error:
        _fail(error)
    if interrupted and not endless:
        raise Interrupted("interrupted")


async def _until_signal(body: Callable[[], Awaitable[None]]) -> bool:
    """The body, cancelled by SIGINT or SIGTERM. True when it ended that way."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    signalled = False

    def interrupt() -> None:
        nonlocal signalled
        signalled = True
        task.cancel()

    # Elsewhere Ctrl-C raises KeyboardInterrupt, which asyncio.run turns into a cancellation itself.
    if sys.platform != "win32" and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
    try:
        await body()
    except asyncio.CancelledError:
        if not signalled:
            raise
        return True
    return False


def _fail(error: Exception) -> NoReturn:
    """Leave with the code that the error stands for."""
    from kvorum.client import errors
    from kvorum.errors import ConfigError

    if isinstance(error, errors.UnknownOutcome):
        raise Interrupted(f"{error}\nThe write may have taken effect; read it back.")
    if isinstance(error, errors.ConnectError):
        raise Unreachable(str(error))
    if isinstance(error, (errors.CompactedError, errors.LeaseNotFoundError)):
        hint = getattr(error, "compact_revision", 0)
        more = f"; the oldest revision left is {hint}" if hint else ""
        raise Gone(f"{error}{more}")
    if isinstance(error, (errors.InvalidRequestError, ConfigError, ValueError)):
        raise InvalidInput(str(error))
    if isinstance(error, (errors.ClientError, OSError)):
        raise Failed(str(error))
    raise error

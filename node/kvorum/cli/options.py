"""The options that every command has which talks to a cluster, and the client they make.

Names and variables are etcdctl's, so that a shell set up for it works: each option is also read
from ``KVORUM_<NAME>`` and, behind it, ``ETCDCTL_<NAME>``.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from kvorum.cli.chosen import (
    CONTEXT_NAMES,
    CONTEXT_OPTIONS,
    TUNNEL_NAMES,
    TUNNEL_OPTIONS,
    with_context,
)
from kvorum.cli.output import Command, InvalidInput, ask_password, run
from kvorum.errors import ConfigError
from kvorum.flagvalues import parse_duration_s

if TYPE_CHECKING:
    from kvorum.client import TLS, Client, Tunnel

Body = Callable[..., Awaitable[None]]
Form = Literal["simple", "json", "table", "csv", "jsonl", "parquet"]
_FORMS: tuple[Form, ...] = ("simple", "json", "table")


class Duration(click.ParamType[float]):
    """Seconds, or a duration as Go writes it: ``5s``, ``500ms``, ``1m30s``."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        try:
            seconds = float(value)
        except ValueError:
            try:
                seconds = parse_duration_s(str(value))
            except ValueError:
                self.fail(f"{value!r} is no duration; write for instance 5s or 500ms", param, ctx)
        if seconds <= 0:
            self.fail(f"{value!r} is not more than nothing", param, ctx)
        return seconds


class LeaseId(click.ParamType[int]):
    """A lease's id in hex, as etcdctl shows and takes it."""

    name = "lease"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            number = int(str(value), 16)
        except ValueError:
            self.fail(f"{value!r} is no lease id; it is a hexadecimal number", param, ctx)
        return number - (1 << 64) if number >= 1 << 63 else number


def _env(name: str) -> list[str]:
    return [f"KVORUM_{name}", f"ETCDCTL_{name}"]


_TLS_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--cacert", envvar=_env("CACERT"), help="CA of the servers' certificates."),
    click.option("--cert", envvar=_env("CERT"), help="Certificate that shows who we are."),
    click.option("--key", "tls_key", envvar=_env("KEY"), help="Key of --cert."),
    click.option(
        "--insecure-skip-tls-verify",
        is_flag=True,
        envvar=_env("INSECURE_SKIP_TLS_VERIFY"),
        help="Do not check the servers' certificates.",
    ),
    click.option(
        "--insecure-transport",
        type=bool,
        envvar=_env("INSECURE_TRANSPORT"),
        default=True,
        show_default="true",
        help="With false, endpoints without a scheme are https, also without certificates.",
    ),
    click.option(
        "--tls-server-name",
        envvar=_env("TLS_SERVER_NAME"),
        help="Name that the servers' certificates must have, instead of the endpoint's host.",
    ),
)
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--endpoints",
        envvar=_env("ENDPOINTS"),
        default="127.0.0.1:2379",
        show_default=True,
        help="Members to talk to, separated by commas.",
    ),
    *CONTEXT_OPTIONS,
    *TUNNEL_OPTIONS,
    click.option("--user", envvar=_env("USER"), help="User name, or name:password."),
    click.option("--password", envvar=_env("PASSWORD"), help="Password of --user."),
    *_TLS_OPTIONS,
    click.option(
        "--command-timeout",
        type=Duration(),
        envvar=_env("COMMAND_TIMEOUT"),
        default=5.0,
        show_default="5s",
        help="Bound of every call.",
    ),
    click.option(
        "--dial-timeout",
        type=Duration(),
        envvar=_env("DIAL_TIMEOUT"),
        default=2.0,
        show_default="2s",
        help="Bound of connecting.",
    ),
)
_TLS_NAMES = (
    "cacert",
    "cert",
    "tls_key",
    "insecure_skip_tls_verify",
    "insecure_transport",
    "tls_server_name",
)
_NAMES = (
    "endpoints",
    "write_out",
    *CONTEXT_NAMES,
    *TUNNEL_NAMES,
    "user",
    "password",
    *_TLS_NAMES,
    "command_timeout",
    "dial_timeout",
)


@dataclass
class Line:
    """What a command works with: the client, the form of its output, and the options as given."""

    client: Client
    form: Form
    timeout_s: float
    options: Mapping[str, Any]

    def elsewhere(self, endpoints: str) -> Client:
        """A client of other endpoints with the same options. Raises as :func:`make_client`."""
        return make_client({**self.options, "endpoints": endpoints})


def tls_of(options: Mapping[str, Any]) -> TLS | None:
    """The TLS side of a client, if the options ask for any. Raises
    :class:`kvorum.errors.ConfigError` for a wrong file: that is wrong input, not an unreachable
    cluster.
    """
    from kvorum.client import TLS

    files = (options["cacert"], options["cert"], options["tls_key"])
    skip = options["insecure_skip_tls_verify"]
    name = options["tls_server_name"]
    if options["insecure_transport"] and not (skip or name or any(files)):
        return None
    tls = TLS(*files, server_name=name, insecure_skip_verify=skip)
    tls.context()
    return tls


def make_client(options: Mapping[str, Any]) -> Client:
    """The client that the options describe. Raises :class:`kvorum.errors.ConfigError`."""
    from kvorum.client import Client

    user, password = options["user"], options["password"]
    if user is not None and password is None:
        user, colon, rest = user.partition(":")
        password = rest if colon else ask_password(user)
    if password is not None and user is None:
        raise InvalidInput("--password needs --user")
    return Client(
        options["endpoints"],
        user=user,
        password=password,
        tls=tls_of(options),
        read_only=options["read_only"],
        timeout_s=options["command_timeout"],
        dial_timeout_s=options["dial_timeout"],
        tunnel=tunnel_from(options),
    )


def tunnel_from(options: Mapping[str, Any]) -> Tunnel | None:
    """The tunnel that the options ask for. Raises :class:`kvorum.errors.ConfigError`."""
    from kvorum.client.tunnel import tunnel_of

    return tunnel_of(options["ssh"], options["proxy_command"])


def _write_out(forms: Sequence[Form]) -> Callable[[Any], Any]:
    return click.option(
        "-w",
        "--write-out",
        type=click.Choice(forms),
        envvar=_env("WRITE_OUT"),
        default="simple",
        show_default=True,
        help="How results are written.",
    )


def connected(
    *, endless: bool = False, forms: Sequence[Form] = ()
) -> Callable[[Body], Callable[..., None]]:
    """Make an ``async def command(line, ...)`` a function for click: with the options above, run
    to its end, with its exit code. ``forms``: in which results can be written beside those of
    every command.
    """

    def decorate(function: Body) -> Callable[..., None]:
        def command(**arguments: Any) -> None:
            options = {name: arguments.pop(name) for name in _NAMES}

            async def body() -> None:
                merged = with_context(options)
                async with make_client(merged) as client:
                    form = cast(Form, merged["write_out"])
                    line = Line(client, form, merged["command_timeout"], merged)
                    await function(line, **arguments)

            run(body, endless=endless)

        command.__name__ = function.__name__
        command.__doc__ = function.__doc__
        wrapped: Any = command
        # click keeps options that stand above this decorator's on the function itself.
        wrapped.__click_params__ = getattr(function, "__click_params__", [])
        for option in reversed((_OPTIONS[0], _write_out((*_FORMS, *forms)), *_OPTIONS[1:])):
            wrapped = option(wrapped)
        return cast(Callable[..., None], wrapped)

    return decorate


def tls_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same options for a command that makes no client at once: it gets their values as they
    are, for :func:`tls_of`.
    """
    for option in reversed(_TLS_OPTIONS):
        function = option(function)
    return function


def tls_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options about TLS alone; the command gets them as its argument ``tls``, ready made."""

    @functools.wraps(function)
    def command(**arguments: Any) -> Any:
        options = {name: arguments.pop(name) for name in _TLS_NAMES}
        try:
            arguments["tls"] = tls_of(options)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        return function(**arguments)

    wrapped: Any = command
    for option in reversed(_TLS_OPTIONS):
        wrapped = option(wrapped)
    return cast(Callable[..., Any], wrapped)


consistency_option = click.option(
    "--consistency",
    type=click.Choice(["l", "s"]),
    default="l",
    show_default=True,
    help="l: what the cluster agrees on; s: what the member that is asked has.",
)


def verb(name: str) -> Callable[[Callable[..., Any]], Command]:
    """A command of this name with our usage errors."""
    return click.command(name, cls=Command)


def key_bytes(text: str, what: str = "key") -> bytes:
    """An argument as bytes, exactly as the shell gave it. Raises :class:`InvalidInput` when
    empty.
    """
    data = text.encode(errors="surrogateescape")
    if not data:
        raise InvalidInput(f"the {what} is empty")
    return data

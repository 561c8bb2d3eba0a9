"""Which cluster a command talks to: flags, then the context asked for, then variables, then the
current context, then this machine.

``--context`` (or ``KVORUM_CONTEXT``) names one; flags still win, value by value.
Without it the file's ``current`` one is used, unless a flag or a variable says where to connect:
then it has nothing to do with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from kvorum.client.contexts import Context

CONTEXT_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--context",
        "context_name",
        envvar="KVORUM_CONTEXT",
        help="A cluster by name; kvorum context lists them.",
    ),
    click.option(
        "--read-only/--read-write",
        "read_only",
        default=None,
        envvar="KVORUM_READ_ONLY",
        help="Refuse everything that would change something, or do not.",
    ),
)
CONTEXT_NAMES = ("context_name", "read_only")

TUNNEL_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--ssh",
        metavar="USER@HOST[:PORT]",
        envvar="KVORUM_SSH",
        help="Reach all members through ssh to this host; ssh's own configuration holds.",
    ),
    click.option(
        "--proxy-command",
        envvar="KVORUM_PROXY_COMMAND",
        help="Reach each member through this program, which connects to {host} and {port}.",
    ),
)
TUNNEL_NAMES = ("ssh", "proxy_command")


def context_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """These options on a command that gets their values as they are."""
    for option in reversed((*CONTEXT_OPTIONS, *TUNNEL_OPTIONS)):
        function = option(function)
    return function


def tunnel_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options about tunnels alone."""
    for option in reversed(TUNNEL_OPTIONS):
        function = option(function)
    return function


# The command's option -> the context's field.
_FIELDS = {
    "endpoints": "endpoints",
    "user": "user",
    "cacert": "cacert",
    "cert": "cert",
    "tls_key": "key",
    "tls_server_name": "tls_server_name",
    "insecure_skip_tls_verify": "insecure_skip_tls_verify",
}


def chosen_context(options: Mapping[str, Any]) -> Context | None:
    """The context that this command uses. Raises :class:`kvorum.errors.ConfigError`."""
    from kvorum.client.contexts import contexts_path, load_contexts

    name = options["context_name"]
    if name:
        return load_contexts().get(name)
    if _source("endpoints") != ParameterSource.DEFAULT or not contexts_path().exists():
        return None
    contexts = load_contexts()
    return contexts.get(contexts.current) if contexts.current else None


def _source(name: str) -> ParameterSource | None:
    return click.get_current_context().get_parameter_source(name)


def with_context(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, filled from the context. ``read_only`` is True or False afterwards. Raises
    :class:`kvorum.errors.ConfigError`.
    """
    merged = dict(options)
    context = chosen_context(options)
    if context is None:
        merged["read_only"] = bool(options["read_only"])
        return merged
    for option, field in _FIELDS.items():
        if _source(option) != ParameterSource.COMMANDLINE:
            merged[option] = getattr(context, field)
    merged["endpoints"] = (
        options["endpoints"]
        if _source("endpoints") == ParameterSource.COMMANDLINE
        else ",".join(context.endpoints)
    )
    if context.tls is not None:
        merged["insecure_transport"] = False
    if not any(_source(name) == ParameterSource.COMMANDLINE for name in TUNNEL_NAMES):
        merged |= {"ssh": context.ssh, "proxy_command": context.proxy_command}
    user = merged["user"]
    if _source("password") != ParameterSource.COMMANDLINE and user == context.user:
        merged["password"] = context.secret()
    if options["read_only"] is None:
        merged["read_only"] = context.guarded
    return merged

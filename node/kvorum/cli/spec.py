"""``kvorum --spec``: every verb, its arguments, options and variables, for programs to read."""

from __future__ import annotations

import json
from typing import Any

import click

from kvorum.cli.output import EXIT_CODES

SPEC_VERSION = 1  # Grows when a field changes its meaning; new fields do not count.


def spec(root: click.Group) -> dict[str, Any]:
    """All of it. Every verb's module is imported."""
    context = click.Context(root, info_name="kvorum")
    return {
        "spec": SPEC_VERSION,
        "exit_codes": _exit_codes(),
        "commands": _commands(root, context),
    }


def _exit_codes() -> dict[str, str]:
    found = {}
    for line in EXIT_CODES.splitlines():
        number, _, text = line.strip().partition("  ")
        if number.isdigit():
            found[number] = text
    return found


def _commands(group: click.Group, context: click.Context) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        told: dict[str, Any] = {
            "help": command.get_short_help_str(limit=200),
            "usage": command.get_usage(inner).removeprefix("Usage: "),
            "parameters": [_parameter(each, inner) for each in command.get_params(inner)],
        }
        if isinstance(command, click.Group):
            told["commands"] = _commands(command, inner)
        found[name] = told
    return found


def _parameter(parameter: click.Parameter, context: click.Context) -> dict[str, Any]:
    told = parameter.to_info_dict()
    given = told.get("envvar")
    found = {
        "name": told["name"],
        "kind": told["param_type_name"],
        "flags": [*told["opts"], *told["secondary_opts"]],
        "type": told["type"]["name"],
        "required": told["required"],
        "many": told["multiple"] or told["nargs"] != 1,
        "variables": [given] if isinstance(given, str) else list(given or ()),
        "help": told.get("help") or "",
    }
    choices = told["type"].get("choices")
    if choices:
        found["choices"] = list(choices)
    default = told.get("default")
    if isinstance(default, str | int | float | bool):
        found["default"] = default
    return found


def print_spec(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """The option's callback: print and leave."""
    if not wanted or context.resilient_parsing:
        return
    assert isinstance(context.command, click.Group)
    click.echo(json.dumps(spec(context.command), indent=1))
    context.exit()

"""A user's own commands: what their file may say, and the arguments that come of it.

``$KVORUM_COMMANDS``, or ``commands.toml`` in the configuration folder::

    [commands.size]
    text = "bytes of the value"
    key = "ctrl+b"                       # optional; the palette finds it anyway
    tab = "keys"                         # optional: the tab it belongs to
    run = ["wc", "-c"]                   # arguments, no shell; the value goes to its input
    confirm = true                       # shows the command and asks
    dangerous = true                     # changes something: off while read-only
    inputs = ["reason"]                  # asked for, and put in as {reason}

In the arguments ``{key}``, ``{prefix}``, ``{revision}``, ``{lease}``, ``{member}``, ``{endpoint}``
and ``{endpoints}`` stand for what is under the cursor; a command that needs one which is not there
says so and is not run. They are whole arguments or parts of them, never read by a shell.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

PLACES = ("key", "prefix", "revision", "lease", "member", "endpoint", "endpoints")
COMMANDS_MAX = 100
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class UserCommand:
    """One of them."""

    name: str
    run: tuple[str, ...]
    text: str = ""
    key: str = ""
    tab: str = ""
    confirm: bool = False
    dangerous: bool = False
    inputs: tuple[str, ...] = ()

    @property
    def needs(self) -> list[str]:
        """The places in its arguments, in order."""
        return list(dict.fromkeys(place for part in self.run for place in _PLACE.findall(part)))

    def arguments(self, facts: Mapping[str, str]) -> list[str]:
        """Its arguments about something. Raises :class:`Missing`."""

        def put(found: re.Match[str]) -> str:
            value = facts.get(found[1])
            if value is None:
                raise Missing(found[1])
            return value

        return [_PLACE.sub(put, part) for part in self.run]


class Missing(ValueError):
    """What a command needs and the cursor is not on."""


def commands_path() -> Path:
    """Where they are looked for."""
    given = os.environ.get("KVORUM_COMMANDS")
    if given:
        return Path(given)
    return platformdirs.user_config_path("kvorum", appauthor=False) / "commands.toml"


def load_commands(path: Path, tabs: set[str]) -> tuple[list[UserCommand], list[str]]:
    """The commands, and what is wrong with the file, in words; one wrong command costs no other."""
    try:
        table = tomllib.loads(path.read_text("utf-8")).get("commands", {})
    except FileNotFoundError:
        return [], []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return [], [f"{path}: {error}"]
    if not isinstance(table, dict):
        return [], [f"{path}: commands must be tables, [commands.NAME]"]
    found: list[UserCommand] = []
    wrong: list[str] = []
    for name, row in list(table.items())[:COMMANDS_MAX]:
        try:
            found.append(_command(name, row, tabs))
        except ValueError as error:
            wrong.append(f"{path}: command {name}: {error}")
    if len(table) > COMMANDS_MAX:
        wrong.append(f"{path}: only the first {COMMANDS_MAX} commands are taken")
    return found, wrong


_KINDS: dict[str, type] = {
    "run": list,
    "inputs": list,
    "text": str,
    "key": str,
    "tab": str,
    "confirm": bool,
    "dangerous": bool,
}
_NAMES = {list: "a list of texts", str: "a text", bool: "true or false"}


def _command(name: str, row: Any, tabs: set[str]) -> UserCommand:
    if not isinstance(row, dict):
        raise ValueError("a table is needed")
    given: dict[str, Any] = {}
    for field, value in row.items():
        kind = _KINDS.get(field)
        if kind is None:
            raise ValueError(f"{field} is not known; there are: {', '.join(_KINDS)}")
        fits = isinstance(value, kind)
        if isinstance(value, list):
            fits = fits and all(isinstance(each, str) for each in value)
            value = tuple(value)
        if not fits:
            raise ValueError(f"{field} must be {_NAMES[kind]}")
        given[field] = value
    if not given.get("run"):
        raise ValueError('run is missing; for instance run = ["wc", "-c"]')
    made = UserCommand(name, given.pop("run"), **given)
    if made.tab and made.tab not in tabs:
        raise ValueError(f"there is no tab {made.tab!r}; there are: {', '.join(sorted(tabs))}")
    for place in made.needs:
        if place not in PLACES and place not in made.inputs:
            known = ", ".join((*PLACES, *made.inputs))
            raise ValueError(f"{{{place}}} is not known; there are: {known}")
    return made

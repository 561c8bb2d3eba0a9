"""Keys to actions, from the registry; a user's own keys come from a TOML file.

``$KVORUM_KEYMAP``, or ``keymap.toml`` in the configuration folder, maps action names to keys:
``key_edit = "E"``.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import platformdirs
from textual.binding import Binding, BindingType

from kvorum_tui.actions import ACTIONS, BY_NAME, TABS, of, user_keys

ALWAYS = {"quit"}  # Work in dialogs and the editor, too.


def bindings(target: str) -> list[BindingType]:
    """The bindings of a tab or of the app; each carries its action's name as id."""
    return [
        Binding(
            action.key,
            f"do('{action.name}')",
            action.about,
            show=False,
            id=action.name,
            priority=action.name in ALWAYS,
        )
        for action in of(target)
        if action.key not in ("", "enter")
    ]


def taken(key: str, tab: str = "") -> str:
    """The action that has a key already, in a tab (or in any) or everywhere; empty for none."""
    for action in ACTIONS:
        keys = user_keys.get(action.name, action.key).split(",")
        if key and key in keys and (not tab or action.target in (tab, "app")):
            return action.name
    return ""


def keymap_path() -> Path:
    """Where a user's keys are looked for."""
    given = os.environ.get("KVORUM_KEYMAP")
    return Path(given) if given else platformdirs.user_config_path("kvorum") / "keymap.toml"


def load_keymap(path: Path) -> tuple[dict[str, str], list[str]]:
    """A user's keys by action name, and what is wrong with the file, in words."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return {}, [f"{path}: {error}"]
    # What a plugin's tab can do is known when it is loaded.
    later = tuple(f"{tab.name}_" for tab in TABS if not tab.key)
    keys: dict[str, str] = {}
    wrong: list[str] = []
    for name, key in table.items():
        if name not in BY_NAME and not name.startswith(later):
            wrong.append(f"{path}: there is no action {name!r}")
        elif not isinstance(key, str):
            wrong.append(f'{path}: {name} needs a text such as "ctrl+e"')
        else:
            keys[name] = key
    return keys, wrong

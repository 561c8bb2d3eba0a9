"""How a user likes the terminal: kept from one start to the next.

``$KVORUM_SETTINGS``, or ``settings.toml`` in the configuration folder: ``theme`` (any of Textual's,
or ours) and ``ascii``. A variable (``KVORUM_THEME``, ``KVORUM_ASCII``) wins over the file.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from kvorum.files import replace_file

from kvorum_tui import ascii


@dataclass(slots=True)
class Settings:
    """``theme`` empty: ours, dark. ``wrong`` says what the file has that cannot be used."""

    path: Path
    theme: str = ""
    ascii: bool = False
    wrong: str = ""


def settings_path() -> Path:
    """Where they are kept."""
    given = os.environ.get("KVORUM_SETTINGS")
    if given:
        return Path(given)
    return platformdirs.user_config_path("kvorum", appauthor=False) / "settings.toml"


def load() -> Settings:
    """The settings; what cannot be used is told and left out."""
    found = Settings(settings_path(), ascii=ascii.wanted())
    try:
        table = tomllib.loads(found.path.read_text("utf-8"))
    except FileNotFoundError:
        table = {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        table = {}
        found.wrong = f"{found.path}: {error}"
    theme, plain = table.get("theme", ""), table.get("ascii", found.ascii)
    if not isinstance(theme, str) or not isinstance(plain, bool):
        found.wrong = f"{found.path}: theme must be a text, ascii true or false"
        theme, plain = "", found.ascii
    found.theme = os.environ.get("KVORUM_THEME") or theme
    if not os.environ.get("KVORUM_ASCII"):
        found.ascii = plain
    return found


def save(settings: Settings) -> str:
    """Write them; other lines of the file stay. Returns what went wrong, or an empty text."""
    import tomlkit

    try:
        path = settings.path
        text = path.read_text("utf-8") if path.exists() else ""
        document = tomlkit.parse(text)
        document["theme"], document["ascii"] = settings.theme, settings.ascii
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, tomlkit.dumps(document))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        return f"{settings.path}: {error}"
    return ""

"""Named texts that a user keeps in a TOML file, behind those that come with the terminal: saved
queries, templates of transactions.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import platformdirs
import tomlkit
from kvorum.files import replace_file

ENTRIES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Saved:
    """One of them. ``defaults``: what its variables are unless somebody says otherwise; ``own``:
    it is the user's.
    """

    name: str
    text: str
    about: str = ""
    defaults: dict[str, str] = field(default_factory=dict)
    own: bool = False


class ShelfError(ValueError):
    """A file that is no shelf; the text says why."""


class Shelf:
    """The entries ``[[kind]]`` of a shipped file and of the user's, which wins.

    The user's file is ``<kind plural>.toml`` in the configuration folder, or what the variable
    ``KVORUM_<KIND PLURAL>`` names.
    """

    def __init__(self, kind: str, plural: str) -> None:
        self.kind = kind
        self.plural = plural

    @property
    def path(self) -> Path:
        """The user's file."""
        given = os.environ.get(f"KVORUM_{self.plural.upper()}")
        folder = platformdirs.user_config_path("kvorum")
        return Path(given) if given else folder / f"{self.plural}.toml"

    def load(self) -> tuple[list[Saved], str]:
        """All of them, the user's first, and what is wrong with the user's file, if anything."""
        shipped = files("kvorum_tui").joinpath("shipped", f"{self.plural}.toml")
        found = {s.name: s for s in self.read(shipped.read_text("utf-8"), own=False)}
        wrong = ""
        own: list[Saved] = []
        try:
            own = self.read(self.path.read_text("utf-8"), own=True)
        except FileNotFoundError:
            pass
        except (OSError, UnicodeDecodeError, ShelfError) as error:
            wrong = f"{self.path}: {error}"
        names = {saved.name for saved in own}
        return own + [s for name, s in found.items() if name not in names], wrong

    def read(self, text: str, own: bool) -> list[Saved]:
        """The entries of a file. Raises :class:`ShelfError`."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ShelfError(str(error)) from error
        entries = table.get(self.kind, [])
        if not isinstance(entries, list) or len(entries) > ENTRIES_MAX:
            raise ShelfError(f"[[{self.kind}]] is to be a list of at most {ENTRIES_MAX} tables")
        return [self._entry(number, entry, own) for number, entry in enumerate(entries, 1)]

    def _entry(self, number: int, entry: Any, own: bool) -> Saved:
        if not isinstance(entry, dict):
            raise ShelfError(f"{self.kind} {number} is no table")
        for name in ("name", "text"):
            if not isinstance(entry.get(name), str) or not entry[name].strip():
                raise ShelfError(f"{self.kind} {number} has no {name}")
        defaults = entry.get("defaults", {})
        if not isinstance(defaults, dict):
            raise ShelfError(f"{self.kind} {number}: defaults is to be a table")
        return Saved(
            entry["name"],
            entry["text"].strip("\n"),
            str(entry.get("about", "")),
            {str(name): str(value) for name, value in defaults.items()},
            own,
        )

    def keep(self, saved: Saved) -> None:
        """Write one of the user's own, in place of one of the same name; what else stands in the
        file stays, comments too. Raises OSError, :class:`ShelfError`.
        """
        document = self._document()
        entries = document.setdefault(self.kind, tomlkit.aot())
        entry = next((e for e in entries if e.get("name") == saved.name), None)
        if entry is None:
            entry = tomlkit.table()
            entries.append(entry)
        entry["name"] = saved.name
        if saved.about:
            entry["about"] = saved.about
        if saved.defaults:
            defaults = tomlkit.inline_table()
            defaults.update(saved.defaults)
            entry["defaults"] = defaults
        entry["text"] = tomlkit.string(saved.text, multiline="\n" in saved.text)
        self._write(document)

    def forget(self, name: str) -> bool:
        """Remove one of the user's own. Raises OSError, :class:`ShelfError`."""
        document = self._document()
        entries = document.get(self.kind, [])
        place = next((n for n, e in enumerate(entries) if e.get("name") == name), None)
        if place is None:
            return False
        del entries[place]
        self._write(document)
        return True

    def _document(self) -> tomlkit.TOMLDocument:
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            text = ""
        self.read(text, own=True)  # Nothing is written over a file that is not understood.
        return tomlkit.parse(text)

    def _write(self, document: tomlkit.TOMLDocument) -> None:
        path = self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, tomlkit.dumps(document))


QUERIES = Shelf("query", "queries")
TRANSACTIONS = Shelf("transaction", "transactions")

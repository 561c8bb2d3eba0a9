"""Decoders that other packages bring: entry points of the group ``kvorum.decoders``.

Each entry point loads to a class or an object with a ``name``, ``fits(data) -> bool`` and
``show(data) -> str``; ``about`` says what it is, ``encode(text, like) -> bytes`` lets its values be
edited. One that fails is told once and not asked again.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Any

from kvorum.client.plugins import plugins

from kvorum_tui.model.decoders.form import Form, NotThis, Shown

GROUP = "kvorum.decoders"


class Plugin(Form):
    """A decoder of somebody else's. ``broken`` says why it is not asked any more."""

    def __init__(self, entry: EntryPoint) -> None:
        self.entry = entry
        self.broken = ""
        self.told = False
        self._made: Any = None
        try:
            made = entry.load()
            self._made = made() if isinstance(made, type) else made
            callable_parts = callable(self._made.fits) and callable(self._made.show)
            if not callable_parts or not isinstance(self._made.name, str):
                self.broken = "it has no name, or fits and show cannot be called"
        except Exception as error:
            self._fail(error)
        self.title = self._made.name if not self.broken else entry.name

    def _fail(self, error: Exception) -> None:
        self.broken = f"{type(error).__name__}: {error}"

    @property
    def about_it(self) -> str:
        """What its author says."""
        return str(getattr(self._made, "about", "")) or f"from {self.entry.value}"

    def fits(self, data: bytes) -> bool:
        """What the plugin says, as long as it does not fail."""
        if self.broken:
            return False
        try:
            return bool(self._made.fits(data))
        except Exception as error:
            self._fail(error)
            return False

    def show(self, data: bytes) -> Shown:
        """The plugin's text."""
        if self.broken:
            raise NotThis(self.broken)
        try:
            return Shown(str(self._made.show(data)), str(getattr(self._made, "syntax", "")))
        except Exception as error:
            self._fail(error)
            raise NotThis(self.broken) from error

    def text_to_edit(self, data: bytes) -> str:
        """Where the plugin can write what it reads, byte for byte."""
        text = self.show(data).text
        if not hasattr(self._made, "encode"):
            raise NotThis(f"{self.title} can be looked at here, not edited")
        if self.encode(text, data) != data:
            raise NotThis(f"{self.title} would not come back byte for byte")
        return text

    def encode(self, text: str, like: bytes) -> bytes:
        """The plugin's bytes."""
        try:
            return bytes(self._made.encode(text, like))
        except Exception as error:
            raise NotThis(f"{type(error).__name__}: {error}") from error


def found(entries: Iterable[EntryPoint] | None = None) -> list[Plugin]:
    """Every plugin that is installed, broken ones too."""
    return [Plugin(entry) for entry in (plugins(GROUP) if entries is None else entries)]

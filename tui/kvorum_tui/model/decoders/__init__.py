"""Values made readable: which forms fit some bytes, the best of them chosen by itself, and the way
back from an edited text.

What has a signature comes first (plugins, Kubernetes, gzip), then JSON, then other text, then
binary formats that parse to the last byte (MessagePack, protobuf); hex fits always. Forms inside
forms are followed: gzip of JSON reads as JSON and is edited as JSON.

:func:`decode` is for small values on the event loop. Large ones go through :meth:`Decoders.decode`
with ``deep`` in a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

from kvorum_tui.model.decoders.form import DEEP, INFLATED_MAX, Form, NotThis, Shown
from kvorum_tui.model.decoders.msgpack import MsgPack
from kvorum_tui.model.decoders.packed import Base64, Gzip, Kubernetes, Proto
from kvorum_tui.model.decoders.plugins import Plugin, found
from kvorum_tui.model.decoders.schema import ProtoForm, Schema
from kvorum_tui.model.decoders.texts import Hex, Json, Text, Toml, Yaml
from kvorum_tui.model.decoders.wire import telling
from kvorum_tui.model.text import safe_text

__all__ = [
    "INFLATED_MAX",
    "MAX_VIEW_BYTES",
    "Decoded",
    "Decoders",
    "Editable",
    "Fit",
    "NotThis",
    "Schema",
    "decode",
    "editing",
]

MAX_VIEW_BYTES = 64 * 1024  # More than this is shown cut: painting it would hold up the screen.
DEEP_BYTES = 4 * 1024 * 1024  # Larger values are never laid out, only cut.
_level: ContextVar[int] = ContextVar("forms_within_forms", default=0)
OFFERED_TYPES = 200  # Message types of a schema that are tried on a value.


@dataclass(frozen=True, slots=True)
class Decoded:
    """A value made readable. ``kind`` is the form, or "empty"; ``lines`` hold no control
    characters; ``cut``: bytes of text or value that are not shown. ``inner``, ``note``: see
    :class:`Shown`.
    """

    kind: str
    lines: tuple[str, ...]
    cut: int = 0
    syntax: str = ""
    inner: tuple[str, ...] = ()
    note: str = ""

    @property
    def title(self) -> str:
        """The form and what is inside it."""
        return " › ".join((self.kind, *self.inner))


@dataclass(frozen=True, slots=True)
class Fit:
    """A form that fits some bytes, to choose from. ``edit``: empty, or why it cannot be edited."""

    name: str
    about: str
    edit: str = ""


@dataclass(frozen=True, slots=True)
class Editable:
    """A value as an editor takes it. ``why_not``: why it cannot be edited, then ``text`` is empty.

    ``encode`` gives the bytes of an edited text and raises ValueError when the text is wrong. Text
    that was not touched must not be encoded: it is the bytes it came from.
    """

    form: str
    text: str
    encode: Callable[[str], bytes]
    syntax: str = ""
    why_not: str = ""


class Decoders:
    """All forms, with one cluster's schemas and everybody's plugins."""

    def __init__(self, plugins: list[Plugin] | None = None) -> None:
        self.schema = Schema()
        self.plugins = plugins if plugins is not None else []
        self._json, self._text, self._hex = Json(), Text(), Hex()
        self._around = [
            Gzip(self._inside, self._editing_inside),
            Base64(self._inside, self._editing_inside),
        ]
        self._plain: tuple[Form, ...] = (self._json, Toml(), Yaml(), self._text)
        self._proto = Proto()
        self._binary: tuple[Form, ...] = (MsgPack(), self._proto)
        self._kubernetes = Kubernetes(self.schema)

    def problems(self) -> list[str]:
        """What is wrong with plugins, each told once."""
        out = []
        for plugin in self.plugins:
            if plugin.broken and not plugin.told:
                plugin.told = True
                out.append(f"the decoder {plugin.entry.name} is left out: {plugin.broken}")
        return out

    # --- choosing ---------------------------------------------------------------------------------

    def _form(self, name: str) -> Form | None:
        """A form by name; ``protobuf:package.Type`` names a message type."""
        if name.startswith("protobuf:"):
            return ProtoForm(self.schema, name.removeprefix("protobuf:"))
        for plugin in self.plugins:
            if plugin.title == name and not plugin.broken:
                return plugin
        forms = (*self._plain, *self._around, *self._binary, self._kubernetes, self._hex)
        return next((form for form in forms if form.name == name), None)

    def best(self, data: bytes) -> tuple[str, Form]:
        """The form that is chosen by itself, with its name."""
        for plugin in self.plugins:
            if plugin.fits(data):
                return plugin.title, plugin
        if self._kubernetes.fits(data):
            return self._kubernetes.name, self._kubernetes
        gzip, base64 = self._around
        if _level.get() < DEEP and gzip.fits(data):
            return gzip.name, gzip
        for form in self._plain:
            if form.fits(data):
                if form is self._text and self._telling(base64, data):
                    return base64.name, base64
                return form.name, form
        for form in self._binary:
            if form.fits(data) and (form is not self._proto or telling(data)):
                return form.name, form
        return self._hex.name, self._hex

    def _telling(self, base64: Form, data: bytes) -> bool:
        """Whether a text is base64 of something that says more than itself."""
        if _level.get() >= DEEP:
            return False
        try:
            inner = base64.show(data).inner
        except ValueError:
            return False
        return inner[0] in ("json", "gzip", "kubernetes", "toml")

    def _inside(self, data: bytes) -> tuple[str, Shown]:
        before = _level.set(_level.get() + 1)
        try:
            name, form = self.best(data)
            return name, form.show(data)
        finally:
            _level.reset(before)

    def _editing_inside(self, data: bytes) -> tuple[str, Callable[[str], bytes]]:
        name, form = self.best(data)
        if name == "hex" and len(data) > MAX_VIEW_BYTES:
            raise NotThis("too much to edit as hex")
        return form.text_to_edit(data), lambda text: form.encode(text, data)

    def fitting(self, data: bytes) -> list[Fit]:
        """Every form that fits, the one chosen by itself first, for a list to choose from."""
        if not data:
            return []
        first, _ = self.best(data)
        forms: list[tuple[str, Form, str]] = [
            (p.title, p, p.about_it) for p in self.plugins if p.fits(data)
        ]
        built = (self._kubernetes, *self._around, *self._plain, *self._binary, self._hex)
        forms += [(f.name, f, f.about) for f in built if f is self._text or f.fits(data)]
        forms += self._types(data)
        forms.sort(key=lambda each: each[0] != first)
        return [Fit(name, about, _why_not(form, data)) for name, form, about in forms]

    def _types(self, data: bytes) -> list[tuple[str, Form, str]]:
        """The message types that the bytes could be, exact ones first."""
        out = []
        for name, kind in list(self.schema.messages.items())[:OFFERED_TYPES]:
            if kind.is_map:
                continue
            form = ProtoForm(self.schema, name)
            if form.fits(data) and "?" not in form.show(data).note:
                out.append((not form.exact(data), f"protobuf:{name}", form))
        return [(name, form, form.about) for _, name, form in sorted(out, key=lambda e: e[:2])]

    # --- reading ----------------------------------------------------------------------------------

    def decode(
        self, data: bytes, force: str = "", *, deep: bool = False, whole: bool = False
    ) -> Decoded:
        """A value as lines. ``force`` is the form to use; one that does not fit falls back to what
        does. Values above 64 KiB are laid out only when ``deep``, and shown to their end only when
        ``whole``.
        """
        if not data:
            return Decoded("empty", ())
        if len(data) > (DEEP_BYTES if deep else MAX_VIEW_BYTES):
            return self._cut(data, force, whole)
        form = self._form(force) if force else None
        name = force
        if form is not None:
            try:
                return _decoded(name, form.show(data), whole)
            except ValueError as error:
                name, form = self.best(data)
                shown = form.show(data)
                note = f"not {force.partition(':')[2] or force}: {error}"
                return _decoded(name, Shown(shown.text, shown.syntax, shown.inner, note), whole)
        name, form = self.best(data)
        return _decoded(name, form.show(data), whole)

    def _cut(self, data: bytes, force: str, whole: bool) -> Decoded:
        """The first part of a large value: as text where it is text, otherwise as hex."""
        part = data if whole else data[:MAX_VIEW_BYTES]
        cut = len(data) - len(part)
        if force != "hex":
            try:
                text = part.decode()
            except UnicodeDecodeError as error:
                # A cut may have split the last character; anything earlier: this is no text.
                split = cut and error.start >= len(part) - 3
                text = part[: error.start].decode() if split else ""
            if force in ("text", "json") and not text:
                text = part.decode("utf-8", "backslashreplace")
            if text and (force or self._text.fits(text[:4096].encode())):
                lines = text.expandtabs(4).replace("\r\n", "\n").split("\n")
                return Decoded("text", tuple(map(safe_text, lines)), cut)
        return Decoded("hex", tuple(self._hex.show(part).text.split("\n")), cut, "hex")

    # --- editing ----------------------------------------------------------------------------------

    def editing(self, data: bytes, force: str = "") -> Editable:
        """A value for an editor, in the form given or the one chosen by itself."""
        form = self._form(force) if force else None
        name = force
        if form is None:
            name, form = self.best(data) if data else ("text", self._text)
        chosen = form
        try:
            text = chosen.text_to_edit(data)
            syntax = chosen.show(data).syntax if data else ""
        except ValueError as error:
            reason = str(error)
            return Editable(name, "", lambda text: _refuse(reason), "", reason)
        return Editable(name, text, lambda text: chosen.encode(text, data), syntax)


def _refuse(reason: str) -> bytes:
    raise NotThis(reason)


def _why_not(form: Form, data: bytes) -> str:
    try:
        form.text_to_edit(data)
    except ValueError as error:
        return str(error)
    return ""


def _decoded(name: str, shown: Shown, whole: bool) -> Decoded:
    text = shown.text
    cut = 0
    # Hex is four times as long as its bytes.
    room = MAX_VIEW_BYTES * (5 if shown.syntax == "hex" else 1)
    if len(text) > room and not whole:
        end = text.rfind("\n", 0, room)
        end = end if end > 0 else room
        text, cut = text[:end], len(text) - end
    lines = tuple(map(safe_text, text.split("\n")))
    return Decoded(name.partition(":")[0], lines, cut, shown.syntax, shown.inner, shown.note)


@cache
def plain() -> Decoders:
    """The built-in forms with the plugins that are installed."""
    return Decoders(found())


def decode(data: bytes, force: str = "") -> Decoded:
    """A small value made readable with what is built in; see :meth:`Decoders.decode`."""
    return plain().decode(data, force)


def editing(data: bytes, force: str = "") -> Editable:
    """A value for an editor; see :meth:`Decoders.editing`."""
    return plain().editing(data, force)

"""Forms that are text already: JSON, YAML, TOML, plain text; and hex and base64."""

from __future__ import annotations

import base64
import binascii
import json
import re
import tomllib
from typing import ClassVar

from kvorum_tui.model.decoders.form import Form, NotThis, Shown
from kvorum_tui.model.text import hex_lines, pretty_json

_YAML_LINE = re.compile(
    r"""\s*(?:-\s+)*(?:[\w./-]+|"[^"]*"|'[^']*'):(?:\s.*)?|\s*-\s.*|\s*\#.*|---|\s*"""
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}\s*")
BASE64_MIN = 16  # Shorter texts are words far more often than base64.
_OUTSIDE = re.compile(r'"(?:[^"\\]|\\.)*"|\s+|[,:]')


def text_of(data: bytes) -> str:
    """The text in bytes; raises ValueError when they are no UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NotThis("the value is no UTF-8 text") from error


def binary(text: str) -> bool:
    """Whether decoded text is rather a binary format that happens to be valid UTF-8."""
    odd = sum(1 for c in text[:4096] if c < " " and c not in "\t\r\n")
    return odd * 20 > min(len(text), 4096)


def squeezed(text: str, comma: str = ",", colon: str = ":") -> str:
    """JSON on one line: only the blanks outside of strings change, every number stays as it is
    written.
    """

    def one(match: re.Match[str]) -> str:
        found = match.group()
        return {",": comma, ":": colon}.get(found, found if found[0] == '"' else "")

    return _OUTSIDE.sub(one, text)


class Json(Form):
    """An object or array."""

    name: ClassVar[str] = "json"
    about: ClassVar[str] = "laid out, keys in their own order"

    def fits(self, data: bytes) -> bool:
        """Bare numbers and words are rather text."""
        return data[:64].lstrip()[:1] in (b"{", b"[") and super().fits(data)

    def show(self, data: bytes) -> Shown:
        """Indented by two."""
        try:
            return Shown(pretty_json(data), "json")
        except RecursionError as error:
            raise NotThis("nested too deeply") from error

    def text_to_edit(self, data: bytes) -> str:
        """The same."""
        return self.show(data).text

    def encode(self, text: str, like: bytes) -> bytes:
        """On one line where it was on one line, with its manner of blanks."""
        json.loads(text)
        if b"\n" in like.strip():
            return text.encode()
        try:
            blank = squeezed(like.decode(), ", ", ": ").encode() == like.strip()
        except UnicodeDecodeError:
            blank = False
        return squeezed(text, *((", ", ": ") if blank else (",", ":"))).encode()


class Text(Form):
    """Text as it is."""

    name: ClassVar[str] = "text"
    about: ClassVar[str] = "as it is, with what is not printable made visible"

    def fits(self, data: bytes) -> bool:
        """Valid UTF-8 with hardly any control characters."""
        try:
            return not binary(data.decode())
        except UnicodeDecodeError:
            return False

    def show(self, data: bytes) -> Shown:
        """What is no UTF-8 stands as escapes."""
        text = data.decode("utf-8", "backslashreplace")
        return Shown(text.expandtabs(4).replace("\r\n", "\n"))

    def text_to_edit(self, data: bytes) -> str:
        """The text itself."""
        return text_of(data)

    def encode(self, text: str, like: bytes) -> bytes:
        """Its bytes."""
        return text.encode()


class Toml(Text):
    """TOML with at least one name."""

    name: ClassVar[str] = "toml"
    about: ClassVar[str] = "as it is, in colours"

    def fits(self, data: bytes) -> bool:
        """Whether it parses."""
        try:
            return b"=" in data and bool(tomllib.loads(data.decode()))
        except (ValueError, RecursionError):
            return False

    def show(self, data: bytes) -> Shown:
        """As it is."""
        return Shown(super().show(data).text, "config")

    def encode(self, text: str, like: bytes) -> bytes:
        """Checked."""
        tomllib.loads(text)
        return text.encode()


class Yaml(Text):
    """What looks like YAML on every line, and names at least two things."""

    name: ClassVar[str] = "yaml"
    about: ClassVar[str] = "as it is, in colours"

    def fits(self, data: bytes) -> bool:
        """By its looks: nearly every text parses as YAML."""
        try:
            lines = data.decode().split("\n")
        except UnicodeDecodeError:
            return False
        names = sum(1 for line in lines if ":" in line)
        return names > 1 and all(map(_YAML_LINE.fullmatch, lines))

    def show(self, data: bytes) -> Shown:
        """As it is."""
        return Shown(super().show(data).text, "config")

    def encode(self, text: str, like: bytes) -> bytes:
        """Checked."""
        import yaml  # Slow to import, and only who writes needs it.

        try:
            for _ in yaml.parse(text, Loader=yaml.SafeLoader):
                pass
        except yaml.YAMLError as error:
            raise NotThis(str(error)) from error
        return text.encode()


class Hex(Form):
    """Every byte."""

    name: ClassVar[str] = "hex"
    about: ClassVar[str] = "every byte, with its character"

    def show(self, data: bytes) -> Shown:
        """Offset, bytes, characters."""
        return Shown("\n".join(hex_lines(data)), "hex")

    def text_to_edit(self, data: bytes) -> str:
        """Sixteen bytes a line."""
        return "\n".join(data[at : at + 16].hex(" ") for at in range(0, len(data), 16))

    def encode(self, text: str, like: bytes) -> bytes:
        """The bytes."""
        return bytes.fromhex(text)


def from_base64(data: bytes) -> bytes:
    """The bytes within base64, of either alphabet; raises ValueError when it is none."""
    text = data.strip()
    if not text or not _BASE64.fullmatch(data.lstrip()) or len(text) % 4 == 1:
        raise NotThis("not base64")
    if b"=" in text and len(text) % 4:
        raise NotThis("not base64: its padding is wrong")
    whole = text.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(text) % 4)
    try:
        return base64.b64decode(whole, validate=True)
    except binascii.Error as error:
        raise NotThis(str(error)) from error


def to_base64(data: bytes, like: bytes) -> bytes:
    """Base64 in the manner of another: its alphabet, its padding, the newline at its end."""
    text = base64.b64encode(data)
    if b"-" in like or b"_" in like:
        text = text.translate(bytes.maketrans(b"+/", b"-_"))
    stripped = like.rstrip()
    if len(stripped) % 4:
        text = text.rstrip(b"=")
    return text + like[len(stripped) :]

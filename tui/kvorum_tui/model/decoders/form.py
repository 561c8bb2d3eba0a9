"""What a form of a value is: whether it fits, how it reads, and how an edited text becomes bytes
again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

INFLATED_MAX = 4 * 1024 * 1024  # Bytes that a packed value may become here.
DEEP = 8  # Forms within forms (gzip in base64 in ...) that are followed.


class NotThis(ValueError):
    """The bytes are not of this form; says why."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A value as text. ``syntax``: json, config, hex, proto or nothing, for its colours.
    ``inner``: the forms found inside, outermost first. ``note``: what the reader should know.
    """

    text: str
    syntax: str = ""
    inner: tuple[str, ...] = ()
    note: str = ""


class Form(ABC):
    """One form. ``name`` is what chooses it, ``about`` says what it is.

    ``sure`` forms are recognised by something that cannot be there by chance; the others are taken
    when nothing is surer.
    """

    name: ClassVar[str] = ""
    about: ClassVar[str] = ""

    def fits(self, data: bytes) -> bool:
        """Whether these bytes can be read in this form."""
        try:
            self.show(data)
        except ValueError:
            return False
        return True

    @abstractmethod
    def show(self, data: bytes) -> Shown:
        """The bytes as text. Raises ValueError when they are not of this form."""

    def text_to_edit(self, data: bytes) -> str:
        """The text that an editor starts with. Raises ValueError with the reason when this form
        cannot be edited.
        """
        raise NotThis(f"{self.name} can be looked at here, not edited")

    def encode(self, text: str, like: bytes) -> bytes:
        """The bytes of an edited text, in the manner of the bytes it was made from. Raises
        ValueError when the text is wrong.
        """
        raise NotThis(f"{self.name} can be looked at here, not edited")

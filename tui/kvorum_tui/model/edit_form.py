"""In which form a value is edited: the one it is looked at in, if an edited text can become such a
value again; else as text, else as hex. What cannot be told apart afterwards is not edited so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from kvorum_tui.model import syntax
from kvorum_tui.model.decoders import Decoders, plain
from kvorum_tui.model.merge import has_marks
from kvorum_tui.model.syntax import Fault


@dataclass(frozen=True)
class EditForm:
    """A value as a text to edit. ``form``: the form's name; ``kind``: what the text is written in,
    for colours and checks.

    ``value`` is what the text was made from: what is not edited stays byte for byte.
    """

    form: str
    kind: str
    text: str
    value: bytes
    decoders: Decoders

    @property
    def name(self) -> str:
        """The form in words."""
        if self.form in (self.kind, "text"):
            return self.kind
        return self.form if self.kind in ("text", "hex") else f"{self.form} as {self.kind}"

    def text_of(self, value: bytes) -> str:
        """Another value in this form. Raises ValueError when it is none of it."""
        found = self.decoders.editing(value, self.form)
        if found.why_not:
            raise ValueError(found.why_not)
        return found.text

    def like(self, value: bytes) -> EditForm:
        """The same form over another value. Raises ValueError when it is none of it."""
        return EditForm(self.form, self.kind, self.text_of(value), value, self.decoders)

    def bytes_of(self, text: str) -> bytes:
        """An edited text as bytes. Raises ValueError."""
        if text == self.text:
            return self.value
        return self.decoders.editing(self.value, self.form).encode(text)


def form_to_edit(
    key: bytes, value: bytes, chosen: str = "", decoders: Decoders | None = None, lines: bool = True
) -> EditForm:
    """The form for a value; ``chosen`` is the name of the one that it is looked at in. ``lines``:
    the editor ends lines in one way only, so that a text must survive that.
    """
    all_forms = decoders or plain()
    if not value:
        return EditForm("text", syntax.kind_of_name(key), "", b"", all_forms)
    for name in (chosen, "", "text") if chosen else ("", "text"):
        found = all_forms.editing(value, name)
        if found.why_not or (lines and not survives(found.text)):
            continue
        form = EditForm(
            found.form, _kind(all_forms, value, found.form, key), found.text, value, all_forms
        )
        if _there_and_back(form):
            return form
    return EditForm("hex", "hex", all_forms.editing(value, "hex").text, value, all_forms)


def survives(text: str) -> bool:
    """Whether an editor that splits a text into lines can put it together again as it was."""
    newline = "\r\n" if "\r\n" in text else "\n" if "\n" in text else "\r"
    lines = text.splitlines()
    if not text or text.endswith(("\r", "\n")):
        lines.append("")
    return newline.join(lines) == text


def _there_and_back(form: EditForm) -> bool:
    """Whether bytes made of the text read the same again."""
    try:
        again = form.decoders.editing(form.value, form.form).encode(form.text)
        return form.text_of(again) == form.text
    except (ValueError, RecursionError):
        return False


def _kind(decoders: Decoders, value: bytes, form: str, key: bytes) -> str:
    """What the text of a value in a form is written in."""
    shown = decoders.decode(value, form, deep=True)
    for name in (*reversed(shown.inner), form):
        if name in syntax.KINDS and name != "text":
            return name
    if form == "hex":
        return "hex"
    return shown.syntax if shown.syntax in syntax.KINDS else syntax.kind_of_name(key)


def fault_in(edited: EditForm, kind: str, text: str) -> Fault | None:
    """Why a text cannot be saved: marks of a merge, a mistake in what it is written in, or that no
    value can be made of it.
    """
    if has_marks(text):
        lines = text.split("\n")
        at = next(n for n, line in enumerate(lines, 1) if line.startswith(("<<<<<<<", ">>>>>>>")))
        return Fault(at, 1, "a conflict of the merge is left: keep what you want, drop the marks")
    fault = syntax.fault_of(kind, text) if text != edited.text else None
    if fault is not None:
        return fault
    try:
        edited.bytes_of(text)
    except json.JSONDecodeError as error:
        return Fault(error.lineno, error.colno, error.msg)
    except ValueError as error:
        return Fault(1, 1, str(error))
    return None


def suffix(kind: str) -> str:
    """What the name of a file of this kind ends with, for the colours of an editor."""
    return {"text": ".txt", "hex": ".txt"}.get(kind, f".{kind}")

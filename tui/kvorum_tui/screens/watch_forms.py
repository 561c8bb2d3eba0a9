"""What the Watch tab asks, and the whole of one event to read."""

from __future__ import annotations

import time
from pathlib import Path

from kvorum_tui.model import words
from kvorum_tui.model.decode import key_from_text, key_to_text, printable
from kvorum_tui.model.diff import diff_values
from kvorum_tui.model.typed import needs_file, yes_or_no
from kvorum_tui.model.watch_buffer import Entry, Gap, Merged
from kvorum_tui.model.watch_diff import whole_paths
from kvorum_tui.watch_hooks import AT_ONCE, PER_SECOND, Hook, command_words
from kvorum_tui.widgets.dialogs import Confirm, Field, Form, Rich, diff_rich


def key_and_prefix(text: str) -> tuple[bytes, bool]:
    """What was typed as a key, or as a prefix with * at its end."""
    prefix = text.endswith("*")
    return key_from_text(text[:-1] if prefix else text), prefix


def needs_text(text: str) -> str:
    """What is wrong with a key."""
    return "" if text else "a key, or * for everything"


def revision_or_empty(text: str) -> str:
    """What is wrong with a revision."""
    text = text.replace(",", "").strip()
    good = not text or (text.isdigit() and int(text) > 0)
    return "" if good else "a revision is a number above 0"


def add_form(key: bytes = b"", prefix: bool = True) -> Form:
    """Which key, from when."""
    fields = [
        Field(
            "key",
            "Key, or prefix with * at its end (empty: everything)",
            key_to_text(key) + ("*" if prefix else "") if key or not prefix else "",
        ),
        Field(
            "start",
            "From revision (empty: from now; 1: all that is kept)",
            "",
            check=revision_or_empty,
        ),
        Field("name", "Name (empty: the key)", ""),
    ]
    return Form("Watch", fields, "Watch")


def save_form(name: str) -> Form:
    """To which file, and whether to go on."""
    plain = "".join(c if c.isalnum() else "-" for c in name).strip("-")[:40] or "all"
    place = Path.cwd() / f"watch-{plain}-{time.strftime('%H%M%S')}.jsonl"
    fields = [
        Field("file", "File (JSON Lines, byte for byte)", str(place), check=needs_file),
        Field(
            "on",
            "Go on writing as events come? y: every event, whatever filter or bounds say",
            "n",
            check=yes_or_no,
        ),
    ]
    return Form("Save events", fields, "Save")


def hook_form(hook: Hook, read_only: bool) -> Form:
    """Bell, note, command."""
    import shlex

    def check(text: str) -> str:
        if text.strip() and read_only:
            return "read-only: commands are off"
        try:
            command_words(text)
        except ValueError as error:
            return str(error)
        return ""

    fields = [
        Field("bell", "Ring the bell? (y/n)", "y" if hook.bell else "n", check=yes_or_no),
        Field("toast", "Show a note? (y/n)", "y" if hook.toast else "n", check=yes_or_no),
        Field(
            "command",
            "Command (empty: none), run without a shell, the event as JSON on its input"
            + (" · off: read-only" if read_only else ""),
            shlex.join(hook.command),
            "logger -t kvorum",
            check,
        ),
    ]
    return Form("When an event passes this pane's filter", fields, "Set")


def command_question(command: tuple[str, ...], what: str, filter_text: str) -> Confirm:
    """The command as it will run, to be confirmed."""
    lines: Rich = [
        [("for every event of ", "text"), (what, "bold")]
        + ([(" that passes ", "text"), (filter_text, "bold")] if filter_text else []),
        [("", "text")],
        *[line for number, word in enumerate(command) for line in _word_lines(number, word)],
        [("", "text")],
        [
            (
                f"no shell; at most {PER_SECOND} a second, {AT_ONCE} at once; the event's JSON",
                "dim",
            )
        ],
        [("is on its input; what it prints is in the errors (!)", "dim")],
    ]
    return Confirm("Run this command on this machine?", lines, "Run it")


def _word_lines(number: int, word: str) -> Rich:
    """A word of a command, all of it, however long it is."""
    shown = printable(word.encode("utf-8", "surrogateescape")) or "(empty)"
    pieces = [shown[start : start + 60] for start in range(0, len(shown), 60)]
    return [
        [(f"  {number if piece is pieces[0] else '':<2} ", "dim"), (piece, "bold")]
        for piece in pieces
    ]


def event_lines(entry: Entry) -> Rich:
    """Everything about one row: facts, paths that differ, the difference line by line."""
    if isinstance(entry, Gap):
        return [[(f"revision {entry.revision:,}", "bold")], [(entry.text, "warn")]]
    event = entry.event if isinstance(entry, Merged) else entry
    what = "deleted" if event.kind == "delete" else "created" if event.version == 1 else "written"
    lines: Rich = [
        [(printable(event.key), "bold")],
        [(f"{what} at revision {event.revision:,}", "text")],
    ]
    if isinstance(entry, Merged):
        text = f"{words.plural(entry.count, 'change')} since revision {entry.first_revision:,}"
        lines.append([(text + ", merged into this row", "accent")])
    if event.kind == "put":
        facts = f"version {event.version:,} · created at {event.create_revision:,}"
        facts += f" · {words.size(len(event.value))}"
        lines.append([(facts, "dim")])
        if event.lease:
            lines.append([(f"lease {event.lease:x}", "dim")])
    paths = whole_paths(event.prev_value, event.value if event.kind == "put" else None)
    if paths:
        lines += [[("", "text")], [("What differs", "head")], *paths]
    new = event.value if event.kind == "put" else None
    if event.prev_value is None and event.version > 1:
        lines += [[("", "text")], [("the value before is compacted away", "warn")]]
    lines += [[("", "text")], [("Value", "head")]]
    return lines + (diff_rich(diff_values(event.prev_value, new)) or [[("the same", "dim")]])

"""What people type into small questions: files, yes and no."""

from __future__ import annotations

from pathlib import Path

YES = ("y", "yes")


def yes_or_no(text: str) -> str:
    """What is wrong with an answer."""
    return "" if text.strip().lower() in (*YES, "", "n", "no") else "y or n"


def said_yes(text: str) -> bool:
    """Whether it means yes."""
    return text.strip().lower() in YES


def file_of(text: str) -> Path:
    """The file that was typed."""
    return Path(text.strip()).expanduser()


def needs_file(text: str) -> str:
    """What is wrong with a file to write."""
    path = file_of(text)
    if not text.strip():
        return "a file's name"
    if path.exists():
        return f"{path.name} exists; choose another name"
    return "" if path.parent.is_dir() else f"there is no folder {path.parent}"

"""Sizes: a module is a thing one reads in one sitting, a function in one look."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.sources import TOP, modules, text, tree, where

MODULE_LINES_MAX = 600
MODULE_LINES_WITHOUT_REASON = 400
FUNCTION_LINES_MAX = 70


def too_long_modules(paths: tuple[Path, ...]) -> list[str]:
    """Modules above the bound, and those above the habit whose docstring gives no reason."""
    found = []
    for path in paths:
        lines = text(path).count("\n")
        reason = "Long because" in (ast.get_docstring(tree(path)) or "")
        if lines > MODULE_LINES_MAX:
            found.append(f"{where(path)}: {lines} lines, at most {MODULE_LINES_MAX}")
        elif lines > MODULE_LINES_WITHOUT_REASON and not reason:
            found.append(f"{where(path)}: {lines} lines and no 'Long because' in the docstring")
    return found


def too_long_functions(paths: tuple[Path, ...]) -> list[str]:
    """Functions that do not fit on a screen."""
    found = []
    for path in paths:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    found.append(f"{where(path, node)}: {node.name} has {lines} lines")
    return found


def test_no_module_is_too_long() -> None:
    assert too_long_modules(modules()) == []


def test_no_function_is_too_long() -> None:
    assert too_long_functions(modules()) == []


def test_the_app_of_the_terminal_stays_small() -> None:
    for path in modules():
        if path == TOP / "tui" / "kvorum_tui" / "app.py":
            assert text(path).count("\n") <= 300


@pytest.mark.parametrize(
    ("lines", "document", "complaint"),
    [(601, "Long because it is.", "at most 600"), (401, "Short.", "no 'Long because'")],
)
def test_the_check_finds_long_modules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: int, document: str, complaint: str
) -> None:
    monkeypatch.setattr("support.sources.TOP", tmp_path)
    path = tmp_path / "long.py"
    path.write_text(f'"""{document}"""\n' + "x = 1\n" * (lines - 1), encoding="utf-8")
    assert complaint in too_long_modules((path,))[0]


def test_the_check_finds_long_functions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("support.sources.TOP", tmp_path)
    path = tmp_path / "long.py"
    path.write_text("def f():\n" + "    x = 1\n" * 70, encoding="utf-8")
    assert too_long_functions((path,)) == ["long.py:1: f has 71 lines"]

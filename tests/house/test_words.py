"""Words that may not be committed: places on somebody's machine, registries, and work that is
not done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sources import TOP, files, modules, text, where

HERE = Path(__file__).resolve()

# Where a path of one machine would betray itself: this checkout's own place, and homes.
PLACES = [
    re.compile(r"/(?:home|Users)/(?!you\b|me\b|user\b|\.\.\.)[A-Za-z0-9_-]+/"),
    re.compile(r"[A-Za-z]:\\+Users\\+\w"),
]
if len(TOP.parts) > 2:
    PLACES.append(re.compile(re.escape(str(TOP)) + r"(?![\w-])"))
REGISTRIES = [
    re.compile(r"(?:extra-)?index-url|trusted-host|\bPIP_INDEX", re.IGNORECASE),
    re.compile(r"artifactory|devpi|/simple/"),
]
UNFINISHED = [
    re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b"),
    re.compile(r"\bNotImplementedError\b"),
    re.compile(r"#\s*type:\s*ignore(?!\[)"),
    re.compile(r"#\s*noqa(?!: ?[A-Z]+\d+)"),
    re.compile(r"pytest\.mark\.(?:skip|xfail)\("),
    re.compile(r"^\s*except(?:\s+(?:Base)?Exception)?\s*:\s*(?:pass\s*)?$(?=\n\s+pass\b)", re.M),
    re.compile(r"^\s*except\s*:", re.M),
]
# Mypy's codes stand without a reason when the line above or the line itself gives one in words.
IGNORED = re.compile(r"#\s*type:\s*ignore\[[\w, -]+\](?!\s{1,2}#\s*\S)")


def findings(paths: tuple[Path, ...], patterns: list[re.Pattern[str]]) -> Iterator[str]:
    """Every place where one of the patterns stands."""
    for path in paths:
        if path == HERE:
            continue
        for pattern in patterns:
            for match in pattern.finditer(text(path)):
                line = text(path).count("\n", 0, match.start()) + 1
                yield f"{where(path)}:{line}: {match.group().strip()!r}"


def test_nothing_names_a_machine() -> None:
    assert list(findings(files(), PLACES)) == []


def test_nothing_names_a_registry() -> None:
    assert list(findings(files(), REGISTRIES)) == []


def test_nothing_is_left_unfinished() -> None:
    assert list(findings(modules(), UNFINISHED)) == []


def test_every_ignored_type_has_a_reason() -> None:
    assert list(findings(modules(), [IGNORED])) == []


def test_comments_do_not_tell_history() -> None:
    told = re.compile(
        r"#[^\n]*\b(?:used to be|no longer needed|previously we|was changed|refactored)\b"
    )
    assert list(findings(modules(), [told])) == []


@pytest.mark.parametrize(
    ("line", "patterns"),
    [
        ("see /home/mara/kvorum/x.py", PLACES),
        ("see /Users/mara/x", PLACES),
        ("pip install --index-url https://example.org/x", REGISTRIES),
        ("# TODO: later", UNFINISHED),
        ("x = 1  # type: ignore", UNFINISHED),
        ("    except Exception:\n        pass\n", UNFINISHED),
        ("    except:\n        return\n", UNFINISHED),
        ("@pytest.mark.skip('later')", UNFINISHED),
        ("x = 1  # type: ignore[arg-type]", [IGNORED]),
    ],
)
def test_the_patterns_find_what_they_are_for(line: str, patterns: list[re.Pattern[str]]) -> None:
    assert any(pattern.search(line) for pattern in patterns)


def test_a_reason_satisfies() -> None:
    assert not IGNORED.search("x = 1  # type: ignore[arg-type]  # a table of fields")

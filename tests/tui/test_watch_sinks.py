"""Where a watch pane's events go besides the screen: files that are rotated, commands in bounds,
layouts.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from kvorum_tui.model.records import KeyEvent
from kvorum_tui.model.typed import file_of, needs_file
from kvorum_tui.model.watch_buffer import Gap
from kvorum_tui.model.watch_filter import Filter
from kvorum_tui.model.watch_layout import Layout, PaneSpec
from kvorum_tui.model.watch_lines import read_event_line
from kvorum_tui.screens.watch_forms import command_question, event_lines
from kvorum_tui.watch_files import EventFile, layout_path, load_layout, save_layout, write_events
from kvorum_tui.watch_hooks import Commands, Hook, HookRunner, command_words


def put(revision: int, value: bytes = b"v") -> KeyEvent:
    return KeyEvent("put", b"/k", value, revision, version=1)


def test_a_file_is_rotated_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(path, rotate_bytes=2_000, rotate_files=3)
    for start in range(0, 100, 10):
        file.put([put(n) for n in range(start + 1, start + 11)])
    file.close()
    parts = sorted(tmp_path.iterdir())
    assert [part.name for part in parts] == ["events.jsonl", "events.jsonl.1", "events.jsonl.2"]
    assert all(part.stat().st_size <= 2_000 for part in parts)
    lines = [line for part in reversed(parts) for line in part.read_text().splitlines()]
    kept = [read_event_line(line).revision for line in lines]
    assert kept == list(range(101 - len(kept), 101)), "the newest, without a hole"
    assert (file.events, file.unsaved, file.error) == (100, 0, "")


def test_what_a_slow_disk_cannot_take_stands_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvorum_tui.watch_files.QUEUE_SLICES", 2)
    path = tmp_path / "events.jsonl"
    file = EventFile(path)
    for number in range(5_000):
        file.put([put(number + 1)])
    lost = file.unsaved
    while file._queue.full():
        pass  # The thread makes room.
    file.put([put(9_999)])
    file.close()
    entries = [read_event_line(line) for line in path.read_text().splitlines()]
    events = [entry for entry in entries if not isinstance(entry, Gap)]
    gaps = [entry for entry in entries if isinstance(entry, Gap)]
    assert lost == file.unsaved == 5_001 - len(events)
    assert sum(int(gap.text.split()[0].replace(",", "")) for gap in gaps) == lost


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        EventFile(tmp_path / "nowhere" / "x")
    path = tmp_path / "once.jsonl"
    assert write_events(path, [put(1), Gap(2, "gone")]) == path.stat().st_size
    with pytest.raises(FileExistsError):
        write_events(path, [])
    assert "exists" in needs_file(str(path))
    assert "no folder" in needs_file(str(tmp_path / "nowhere" / "x"))
    assert needs_file(str(tmp_path / "new")) == ""
    assert file_of(" ~/x ") == Path.home() / "x"


def test_layouts_are_kept_by_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert load_layout("a1") is None
    layout = Layout((PaneSpec(b"/a/", True, "mine"),), True)
    assert save_layout("a1", layout) == layout_path("a1")
    assert load_layout("a1") == layout
    assert load_layout("http://somewhere:2379/../x") is None
    assert layout_path("../../etc/passwd").parent == layout_path("a1").parent
    layout_path("a1").write_text("{}")
    with pytest.raises(ValueError):
        load_layout("a1")


def test_commands_are_bounded_in_number_and_rate(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = f"import sys; open({str(out)!r}, 'a').write(sys.stdin.read())"
    told: list[str] = []

    async def run() -> Commands:
        commands = Commands(lambda name, text: told.append(text), lambda: True, 3, 1)
        while asyncio.get_running_loop().time() % 1 > 0.5:
            await asyncio.sleep(0.05)  # All within one second of the clock.
        taken = [commands.add((sys.executable, "-c", code), put(n)) for n in range(1, 6)]
        assert taken == [True, True, True, False, False]
        assert commands.running == 1
        while commands.ran < 3:
            assert commands.running <= 1
            await asyncio.sleep(0.02)
        commands.per_second = 100
        commands.add(("no-such-program-anywhere",), put(9))
        commands.add((sys.executable, "-c", "import sys; print('oh'); sys.exit(3)"), put(9))
        while commands.failed < 2:
            await asyncio.sleep(0.02)
        commands.add((sys.executable, "-c", "import time; time.sleep(60)"), put(9))
        await asyncio.sleep(0)
        await commands.close()
        return commands

    commands = asyncio.run(run())
    assert commands.skipped == 2
    assert [json.loads(line)["revision"] for line in out.read_text().splitlines()] == [1, 2, 3]
    assert any("did not start" in text for text in told)
    assert "exit code 3: oh" in told


def test_a_hook_hears_what_passes_its_filter_and_is_not_a_nuisance() -> None:
    now = [100.0]
    rung: list[float] = []
    notes: list[str] = []
    never = Commands(lambda name, text: None, lambda: False)
    hooks = HookRunner(never, lambda: rung.append(now[0]), notes.append, lambda: now[0])
    shows = Filter("value:ring").shows
    hooks.hear([put(1, b"ring")], shows)
    assert hooks.matched == 0, "no hook yet"
    hooks.hook = Hook(bell=True, toast=True)
    hooks.hear([put(n, b"ring" if n % 2 else b"not") for n in range(1, 101)], shows)
    assert (hooks.matched, len(rung)) == (50, 1)
    now[0] += 5
    hooks.hear([put(101, b"ring"), Gap(102, "gap")], shows)
    assert len(rung) == 2
    assert notes == ["/k: ring", "/k: ring (and 49 more)"]
    assert hooks.hook.words == "bell+note"


def test_a_command_is_shown_word_by_word() -> None:
    words = command_words("notify 'two words' \"$HOME\" a;b")
    assert words == ("notify", "two words", "$HOME", "a;b")
    text = "\n".join(
        "".join(part for part, _ in line) for line in command_question(words, "/a/*", "put").lines
    )
    for word in (*words, "/a/*", "put", "no shell"):
        assert word in text
    with pytest.raises(ValueError):
        command_words("open 'quote")


def test_everything_about_an_event() -> None:
    event = KeyEvent("put", b"/k", b'{"a": 2}', 9, 3, 4, 0xAB, b'{"a": 1}')
    text = "\n".join("".join(part for part, _ in line) for line in event_lines(event))
    for part in ("written at revision 9", "version 4", "created at 3", "lease ab", ".a 1 → 2"):
        assert part in text
    gone = "\n".join(
        "".join(part for part, _ in line)
        for line in event_lines(KeyEvent("put", b"/k", b"x", 9, 3, 4))
    )
    assert "the value before is compacted away" in gone

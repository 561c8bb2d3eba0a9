"""``kvorum check``: judge the history of a run."""

from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from kvorum.cli.output import INTERRUPTED, say
from kvorum.cli.progress import MovingLine

_HELD, _FOUND, _BAD_INPUT = 0, 1, 2
_AFTER_S = 0.2


def _stage(line: MovingLine, stage: str, done: int, total: int) -> None:
    """How far it is."""
    line.tell(f"{stage} {100 * done // total} %" if total > 1 else stage)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-w",
    "--write-out",
    type=click.Choice(["simple", "json"]),
    default="simple",
    help="How the verdict is written.",
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the shortest part that breaks the first rule into this file.",
)
@click.option(
    "--part",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write that part, a history itself, into this file.",
)
def check(run: Path, write_out: str, svg: Path | None, part: Path | None) -> None:
    """Judge the history of a run: a run folder, or a history file of its own.

    A recording that was cut off is judged as far as it goes; a last line that is torn is left out,
    and that is said.

    Linearizability, watches, leases, locks, compactions and the members' agreement. Exit status: 0
    when everything held, 1 when something was found, 2 when the history cannot be read, 5 when
    interrupted.
    """
    # The judge is imported here: its rules take a while, and --help should not.
    from kvorum.check.judge import judge
    from kvorum.check.lines import LineError
    from kvorum.drill.recording import HISTORY_FILE, read_recording

    gc.disable()  # A history is millions of values without a cycle: collecting takes half the time.
    line = MovingLine(after_s=_AFTER_S)
    told = partial(_stage, line)
    path = run / HISTORY_FILE if run.is_dir() else run
    notes: list[str] = []
    begun = time.monotonic()
    try:
        try:
            history = read_recording(path, notes, partial(told, "reading"))
        except LineError as error:
            _bad(line, f"{path}: {error}")
        except UnicodeDecodeError as error:
            _bad(line, f"{path}: not UTF-8: {error.reason} at byte {error.start} of a line")
        except OSError as error:
            _bad(line, f"{path}: {error.strerror}")
        for note in notes:
            line.clear()
            say(f"{path}: {note}")
        verdict = judge(history, told)
        if not history.run.closed and not history.dumps:
            verdict = _without_riddles(verdict)
        if verdict.findings:
            _draw(history, verdict.findings[0], svg, part)
    except KeyboardInterrupt:
        line.clear()
        say("interrupted")
        sys.exit(INTERRUPTED)
    line.clear()
    seconds = time.monotonic() - begun
    if write_out == "json":
        click.echo(json.dumps(_as_json(path, verdict, seconds)))
    else:
        _show(verdict, seconds)
        if verdict.findings and svg:
            say(f"drawn: {svg}")
        if verdict.findings and part:
            say(f"written: {part}")
    sys.exit(_HELD if verdict.ok else _FOUND)


def _without_riddles(verdict: Any) -> Any:
    """Others wrote as well, and no member was asked at the end what: revisions that no recorded
    client made are no findings then.
    """
    left = tuple(f for f in verdict.findings if f.rule not in ("unexplained", "revision_missing"))
    if count := len(verdict.findings) - len(left):
        say(f"{count} revisions were made by others, or by locks; what they did is not judged")
    # Nothing is hidden by forgetting how many more there were: a rule that had more than a page of
    # findings has that page.
    return replace(verdict, findings=left, more=0 if count else verdict.more)


def _bad(line: MovingLine, text: str) -> NoReturn:
    line.clear()
    say(f"Error: {text}")
    sys.exit(_BAD_INPUT)


def _draw(history: Any, finding: Any, svg: Path | None, part: Path | None) -> None:
    """The shortest part, where somebody asked for it."""
    if svg is None and part is None:
        return
    from kvorum.check.lines import encode_line
    from kvorum.check.part import shortest
    from kvorum.check.timeline import render

    cut = shortest(history, finding)
    try:
        if svg is not None:
            svg.write_text(render(cut, finding, history.run.name), encoding="utf-8")
        if part is not None:
            lines = "".join(f"{encode_line(line)}\n" for line in cut.lines())
            part.write_text(lines, encoding="utf-8")
    except OSError as error:
        say(f"Error: {error.filename}: {error.strerror}")
        sys.exit(_BAD_INPUT)


def _as_json(path: Path, verdict: Any, seconds: float) -> dict[str, Any]:
    return {
        "history": str(path),
        "ok": verdict.ok,
        "findings": [asdict(finding) for finding in verdict.findings],
        "more_findings": verdict.more,
        "figures": asdict(verdict.figures),
        "seconds": round(seconds, 3),
    }


def _show(verdict: Any, seconds: float) -> None:
    from kvorum.check.judge import RULES

    for finding in verdict.findings:
        click.echo(f"FOUND {finding.rule}: {finding.text}")
        click.echo(f"      {RULES[finding.rule]}")
    if verdict.more:
        click.echo(f"... and {verdict.more} more")
    figures = asdict(verdict.figures)
    shown = [f"{value:,} {name.replace('_', ' ')}" for name, value in figures.items() if value]
    click.echo(", ".join(shown))
    word = "held" if verdict.ok else f"{len(verdict.findings) + verdict.more} findings"
    click.echo(f"{word}, {seconds:.1f} s", err=True)

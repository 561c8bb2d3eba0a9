"""``kvorum drill runs`` and ``kvorum drill compare``: what earlier runs of drills came to."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from kvorum.cli.output import form_option
from kvorum.drill.compare import compare as table
from kvorum.drill.compare import table_lines
from kvorum.drill.places import runs_dir
from kvorum.drill.runs import RunSummary, find_run, list_runs, read_run
from kvorum.errors import ConfigError

BAD_INPUT = 2
_SHOWN = 50
_DIRECTORY = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the runs are (default: in the user's data directory).",
)
FORM = form_option("simple", "json")


class BadRun(click.ClickException):
    """There is no such run."""

    exit_code = BAD_INPUT


@click.command()
@click.argument("name", required=False)
@_DIRECTORY
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=_SHOWN,
    show_default=True,
    help="At most this many runs.",
)
@FORM
def runs(name: str | None, directory: Path | None, limit: int, write_out: str) -> None:
    """Earlier runs, the newest first; with NAME those of that drill."""
    found = [one for one in list_runs(directory or runs_dir()) if name is None or one.name == name]
    if write_out == "json":
        click.echo(json.dumps([_entry(one) for one in found[:limit]]))
        return
    for one in found[:limit]:
        shown = [f"{one.folder.name:<34}", f"{one.when:%Y-%m-%d %H:%M}", f"{one.word:<10}"]
        for key, words in (("new_leader_s", "new leader"), ("write_stall_s", "stall")):
            value = one.figures.get(key)
            shown += [] if value is None else [f"{words} {value:.2f} s"]
        click.echo("  ".join(shown))
    if len(found) > limit:
        click.echo(f"{len(found) - limit} more; --limit shows them", err=True)


def _entry(one: RunSummary) -> dict[str, object]:
    return {
        "drill": one.name,
        "stage": one.stage,
        "seed": one.seed,
        "when": one.when.isoformat(),
        "passed": one.passed,
        "failed": list(one.failed),
        "cluster": one.cluster,
        "figures": dict(one.figures),
        "folder": str(one.folder),
    }


@click.command()
@click.argument("run", nargs=-1, required=True)
@_DIRECTORY
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the comparison into this file.",
)
@FORM
def compare(run: tuple[str, ...], directory: Path | None, svg: Path | None, write_out: str) -> None:
    """Figures of some RUNs side by side; a RUN is a folder, its name, or its number.

    The best of a line has a star. Runs of one drill on stages live and etcd show what kvorum and
    etcd make of the same fault.
    """
    where = directory or runs_dir()
    try:
        found = [read_run(find_run(text, where)) for text in run]
    except ConfigError as error:
        raise BadRun(str(error)) from error
    rows = table(found)
    if svg is not None:
        from kvorum.drill.sidebyside import comparison_svg

        try:
            svg.write_text(comparison_svg(found, rows), encoding="utf-8")
        except OSError as error:
            raise BadRun(f"{svg}: {error.strerror}") from error
    if write_out == "json":
        click.echo(
            json.dumps(
                {"runs": [_entry(one) for one in found], "rows": [asdict(row) for row in rows]}
            )
        )
        return
    for line in table_lines(rows):
        click.echo(line)

"""``kvorum copy``, ``move`` and ``undo``: the terminal's plans without the terminal."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import click

from kvorum.cli.options import Line, connected, key_bytes, verb
from kvorum.cli.output import Failed, Gone, InvalidInput, say
from kvorum.cli.undo import run_steps, shown_key

if TYPE_CHECKING:
    from kvorum.client.plan import Step
    from kvorum.client.planning import Planned, There
    from kvorum.client.types import KeyValue

_PREFIX = click.option("--prefix", is_flag=True, help="Every key that begins with SOURCE.")
_THERE = click.option(
    "--there",
    type=click.Choice(["refuse", "skip", "overwrite"]),
    default="refuse",
    show_default=True,
    help="What becomes of keys that are at TARGET already.",
)
_NO_LEASES = click.option("--no-leases", is_flag=True, help="Keys at TARGET hang on no lease.")
_YES = click.option("--yes", is_flag=True, help="Do it; without, it is only shown.")
_RELOCATION = (
    click.argument("source"),
    click.argument("target"),
    _PREFIX,
    _THERE,
    _NO_LEASES,
    _YES,
    connected(),
)


def _relocation(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A verb with these arguments and options."""

    def decorated(function: Callable[..., Any]) -> click.Command:
        for decorate in reversed(_RELOCATION):
            function = decorate(function)
        return verb(name)(function)

    return decorated


@_relocation("copy")
async def copy(line: Line, **how: Any) -> None:
    """Copy the key SOURCE to TARGET, or with --prefix all keys that begin with it.

    It is done in several transactions; a key at TARGET that somebody writes meanwhile is left
    alone. Keys keep their leases.
    """
    await _relocate(line, move=False, **how)


@_relocation("move")
async def move(line: Line, **how: Any) -> None:
    """Rename the key SOURCE to TARGET, or with --prefix all keys that begin with it.

    It is done in several transactions; each key leaves its old place and comes to the new one in
    the same one, and is left alone when somebody writes either meanwhile. Keys keep their leases.
    """
    await _relocate(line, move=True, **how)


async def _relocate(
    line: Line,
    source: str,
    target: str,
    prefix: bool,
    there: There,
    no_leases: bool,
    yes: bool,
    *,
    move: bool,
) -> None:
    from kvorum.client.plan import as_they_are, living
    from kvorum.client.planning import PlanError, relocating
    from kvorum.client.types import key_range

    old = b"" if prefix and not source else key_bytes(source)
    new = b"" if prefix and not target else key_bytes(target)
    start, end = key_range(old, prefix=prefix)
    sources: list[KeyValue] = [kv async for kv in line.client.scan(start, end or None)]
    if not sources:
        raise Gone(f"there is no key {source}" + " with this prefix" * prefix)
    present = await as_they_are(line.client, [new + kv.key[len(old) :] for kv in sources])
    leases: Collection[int] = frozenset()
    if not no_leases:
        leases = await living(line.client, sorted({kv.lease for kv in sources if kv.lease}))
    try:
        made = relocating(
            sources,
            lambda key: new + key[len(old) :],
            present,
            move=move,
            there=there,
            leases=leases,
        )
    except PlanError as error:
        raise InvalidInput(str(error)) from None
    _say_left(made)
    if made.there and there == "refuse":
        names = ", ".join(shown_key(kv.key) for kv in made.there[:3])
        raise Failed(
            f"{len(made.there)} keys are at the target already ({names}); "
            "--there skip or --there overwrite goes on"
        )
    await run_steps(line, _each(made.steps), yes)


@verb("undo")
@click.argument("revision", type=click.IntRange(2))
@click.option("--without-lease", is_flag=True, help="Keys whose lease is gone come back without.")
@_YES
@connected()
async def undo(line: Line, revision: int, without_lease: bool, yes: bool) -> None:
    """Take back what was done at REVISION, all keys of it together.

    Each key gets the value and the lease that it had before, or goes if it was not there. Keys
    that somebody changed since are left alone.
    """
    from kvorum.client.deeds import deeds_of
    from kvorum.client.plan import as_they_are, living
    from kvorum.client.planning import taking_back

    deeds = await deeds_of(line.client, revision)
    if not deeds:
        raise Gone(f"nothing was done at revision {revision}")
    now = await as_they_are(line.client, sorted(deed.key for deed in deeds))
    wanted = {deed.before.lease for deed in deeds if deed.before is not None} - {0}
    made = taking_back(
        deeds, now, await living(line.client, sorted(wanted)), without_lease=without_lease
    )
    _say_left(made)
    if not made.steps:
        raise Failed(f"revision {revision} cannot be taken back")
    await run_steps(line, _each(made.steps), yes)


def _say_left(made: Planned) -> None:
    for left in made.left:
        say(f"left alone: {shown_key(left.key)}: {left.why}")


async def _each(steps: Sequence[Step]) -> AsyncGenerator[Step, None]:
    for step in steps:
        yield step

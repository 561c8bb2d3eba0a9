"""``kvorum snapshot save``, ``kvorum snapshot status`` and ``kvorum restore``.

The file is etcd's own database with its checksum, whichever of the two wrote it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from kvorum.cli.members import size
from kvorum.cli.options import Line, connected, verb
from kvorum.cli.output import Failed, Group, Interrupted, InvalidInput, say
from kvorum.cli.progress import MovingLine

if TYPE_CHECKING:
    from kvorum.config import NodeConfig
    from kvorum.storage.etcd_db import EtcdDb, SealUse

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("snapshot", cls=Group)
def snapshot() -> None:
    """The whole state of a member as one file, in etcd's own format."""


@snapshot.command("save")
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Write over FILE if it exists.")
@connected()
async def save(line: Line, file: Path, force: bool) -> None:
    """Write the state of one member to FILE, with all kept revisions.

    It is written to FILE.part, checked against its own checksum and renamed. When the command is
    interrupted or fails, nothing is left.
    """
    if not force:
        _require_absent(file)
    from kvorum.client.snapshot_file import SnapshotDamaged, save_snapshot

    shown = MovingLine()
    try:
        saved = await save_snapshot(
            line.client.maintenance,
            file,
            told=lambda done, total: shown.tell(f"{size(done)} of {size(total)}"),
        )
    except SnapshotDamaged as error:
        raise Failed(str(error)) from None
    finally:
        shown.clear()
    say(f"{size(saved.bytes)} written to {file}")


def _require_absent(file: Path) -> None:
    if file.exists():
        raise InvalidInput(f"{file} exists; use --force")


@snapshot.command("status")
@click.argument("file", type=_FILE)
@click.option(
    "-w",
    "--write-out",
    "form",
    type=click.Choice(["simple", "json", "table"]),
    default="simple",
    show_default=True,
    help="How the result is written.",
)
def status(file: Path, form: str) -> None:
    """Check FILE from end to end; its hash, revision, number of keys in all buckets, and size.

    Takes a database copied from a data directory, too.
    """
    from kvorum.cli import forms

    with _database(file, "optional") as db:
        found = db.status
    if form == "json":
        names = ("hash", "revision", "totalKey", "totalSize")
        forms.write_json(dict(zip(names, found, strict=True)))
        return
    row = (f"{found.hash:x}", found.revision, found.total_keys, size(found.size_bytes))
    if form == "table":
        forms.write_table(("HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"), [row])
    else:
        click.echo(", ".join(str(cell) for cell in row))


@contextmanager
def _database(file: Path, seal: SealUse) -> Iterator[EtcdDb]:
    """The file, found sound. What is wrong with it is wrong input."""
    from kvorum.storage.bolt_page import BoltFault
    from kvorum.storage.etcd_db import SealMissing, read_etcd_db

    try:
        with read_etcd_db(file, seal) as db:
            yield db
    except SealMissing as fault:
        raise InvalidInput(f"{file}: {fault}: use --skip-hash-check for it") from None
    except BoltFault as fault:
        raise InvalidInput(f"{file}: {fault}") from None
    except FileNotFoundError as error:
        raise InvalidInput(f"cannot read {error.filename}: {error.strerror}") from None


@verb("restore")
@click.argument("file", metavar="SNAPSHOT", type=_FILE)
@click.option("--name", default="default", show_default=True, help="Name of this member.")
@click.option("--data-dir", help="Directory to make; absent or empty.  [default: NAME.etcd]")
@click.option(
    "--initial-cluster",
    help="All members as NAME=PEER-URL, separated by commas.  [default: this member alone]",
)
@click.option(
    "--initial-cluster-token",
    default="etcd-cluster",
    show_default=True,
    help="Distinguishes clusters with the same members.",
)
@click.option(
    "--initial-advertise-peer-urls",
    default="http://localhost:2380",
    show_default=True,
    help="Peer URLs of this member.",
)
@click.option(
    "--skip-hash-check",
    is_flag=True,
    help="Take a file without a checksum, or with a wrong one.",
)
@click.option(
    "--bump-revision",
    type=click.IntRange(1),
    help="Raise the revision by so much; goes with --mark-compacted.",
)
@click.option(
    "--mark-compacted",
    is_flag=True,
    help="Refuse reads and watches from before the raised revision.",
)
def restore(file: Path, **given: Any) -> None:
    """Make a member's data directory from SNAPSHOT, a file of kvorum's or etcd's.

    Give every member of the new cluster the same file and its own name and peer URLs; then start
    all of them with the same --initial-cluster. Keys with their revisions, leases, users, roles and
    alarms are kept. When the command is interrupted or fails, nothing is left.
    """
    from kvorum.errors import ConfigError
    from kvorum.server.restore import require_free
    from kvorum.server.restore import restore as make

    bump, mark = given["bump_revision"], given["mark_compacted"]
    if (bump is not None) is not mark:
        raise InvalidInput("--bump-revision and --mark-compacted go together")
    shown = MovingLine()

    def told(what: str, done: int, total: int) -> None:
        shown.tell(f"{what}: {done:,} of {total:,}")

    try:
        config = _config(given)
        require_free(config.data_dir)
        shown.tell(f"checking {file}")
        seal: SealUse = "ignored" if given["skip_hash_check"] else "required"
        with _interruptible(), _database(file, seal) as db:
            made = make(db, config, bump_revision=bump or 0, mark_compacted=mark, told=told)
    except ConfigError as error:
        raise InvalidInput(str(error)) from None
    except OSError as error:
        raise Failed(str(error)) from None
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    finally:
        shown.clear()
    if made.detached:
        say(f"{made.detached} keys were on leases that are not in the file; they have none now")
    say(
        f"restored {made.keys:,} keys ({made.changes:,} changes) at revision {made.revision:,} "
        f"into {config.data_dir}: member {made.member_id:x} of cluster {made.cluster_id:x}"
    )


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends what is within as Ctrl-C does, with everything cleared away."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _config(given: dict[str, Any]) -> NodeConfig:
    """The flags as a first start would read them."""
    from kvorum.config import NodeConfig, load
    from kvorum.flags import UsageError

    names = (
        "name",
        "data_dir",
        "initial_cluster",
        "initial_cluster_token",
        "initial_advertise_peer_urls",
    )
    flags = [
        f"--{name.replace('_', '-')}={given[name]}" for name in names if given[name] is not None
    ]
    try:
        config = load(flags, {})
    except UsageError as error:
        raise InvalidInput(str(error)) from None
    assert isinstance(config, NodeConfig), "no help was asked for"
    return config

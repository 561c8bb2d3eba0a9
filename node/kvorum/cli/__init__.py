"""The ``kvorum`` command: each verb lives in a module of its own, imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from kvorum.cli.output import EXIT_CODES, WrongUsage

# verb -> (module, attribute, one line for --help). Help must not import the modules: a wrong
# install of one verb's libraries must not break the others, and `kvorum --help` answers at once.
VERBS: dict[str, tuple[str, str, str]] = {
    "demo": (
        "kvorum.cli.up",
        "demo",
        "Three nodes with sample data and faults enabled, and the terminal on them.",
    ),
    "tour": (
        "kvorum.cli.up",
        "tour",
        "A guided tour of Raft and the store, on a cluster of its own.",
    ),
    "up": ("kvorum.cli.up", "up", "Run a cluster file's nodes as processes until Ctrl-C."),
    "tui": ("kvorum.cli.terminal", "tui", "The terminal, on any etcd-compatible cluster."),
    "context": (
        "kvorum.cli.context",
        "context",
        "Clusters by name, for --context of every verb and the terminal.",
    ),
    "serve-web": ("kvorum.cli.web", "serve_web", "The terminal in a browser, on this machine."),
    "record": (
        "kvorum.cli.recording",
        "record",
        "Record a cluster into a file: every change, what every member says.",
    ),
    "open": (
        "kvorum.cli.recording",
        "open_file",
        "The terminal on a recording, or on a snapshot of etcd or kvorum.",
    ),
    "serve": (
        "kvorum.cli.serve",
        "serve",
        "Run one node; takes etcd's own flags and ETCD_ variables.",
    ),
    "get": ("kvorum.cli.keys", "get", "Read a key, a prefix or a range, now or at a revision."),
    "put": ("kvorum.cli.keys", "put", "Write a key."),
    "del": ("kvorum.cli.keys", "delete", "Delete a key, a prefix or a range."),
    "txn": ("kvorum.cli.keys", "txn", "A transaction in etcdctl's text form."),
    "watch": ("kvorum.cli.watch", "watch", "Print changes as they come, from any kept revision."),
    "lease": ("kvorum.cli.lease", "lease", "Grant, list, inspect, renew and revoke leases."),
    "member": ("kvorum.cli.members", "member", "List the members."),
    "auth": ("kvorum.cli.users", "auth", "Turn auth on and off, and see whether it is on."),
    "user": ("kvorum.cli.users", "user", "Add, list and delete users; passwords and roles."),
    "role": ("kvorum.cli.users", "role", "Add, list and delete roles; permissions."),
    "status": (
        "kvorum.cli.members",
        "status",
        "Every member's role, term, index, size and alarms.",
    ),
    "doctor": (
        "kvorum.cli.doctor",
        "doctor",
        "What goes wrong quietly, and what this kind of server cannot do.",
    ),
    "compaction": (
        "kvorum.cli.upkeep",
        "compaction",
        "Forget what stood before a revision.",
    ),
    "defrag": ("kvorum.cli.upkeep", "defrag", "Give forgotten room back, the leader last."),
    "alarm": ("kvorum.cli.upkeep", "alarm", "List alarms, and lift them."),
    "hashkv": ("kvorum.cli.upkeep", "hashkv", "Whether all members hold the same data."),
    "move-leader": ("kvorum.cli.upkeep", "move_leader", "Hand leadership to a member."),
    "load": (
        "kvorum.cli.transfer",
        "load",
        "Write keys from a JSON Lines file, with progress, resumable.",
    ),
    "dump": ("kvorum.cli.transfer", "dump", "Write a prefix at one revision as JSON Lines."),
    "history": ("kvorum.cli.history", "history", "Every change of a key: when, what, by whom."),
    "sql": ("kvorum.cli.sql", "sql", "Ask the history of all keys with SQL."),
    "undelete": ("kvorum.cli.undo", "undelete", "Bring deleted keys back."),
    "restore-prefix": (
        "kvorum.cli.undo",
        "restore_prefix",
        "Make a prefix as it was at a revision.",
    ),
    "copy": ("kvorum.cli.moving", "copy", "Copy a key or a prefix, as a plan that is shown first."),
    "move": ("kvorum.cli.moving", "move", "Rename a key or a prefix, as a plan shown first."),
    "undo": ("kvorum.cli.moving", "undo", "Take back what was done at a revision."),
    "diff": ("kvorum.cli.undo", "diff", "Compare two prefixes, revisions or clusters."),
    "snapshot": (
        "kvorum.cli.snapshot",
        "snapshot",
        "Save a member's whole state as etcd's own database, and check such a file.",
    ),
    "restore": (
        "kvorum.cli.snapshot",
        "restore",
        "Make a member's data directory from a snapshot of kvorum or etcd.",
    ),
    "drill": (
        "kvorum.cli.drill",
        "drill",
        "Break a cluster on purpose, from a file, and get a verdict with figures.",
    ),
    "rejoin": (
        "kvorum.cli.rejoin",
        "rejoin",
        "Let a member whose log is damaged come back, as a new one without its vote.",
    ),
    "sim": ("kvorum.cli.sim", "sim", "Simulate clusters under faults, by seed."),
    "check": (
        "kvorum.cli.check",
        "check",
        "Judge a recorded run: linearizability, watches, leases, locks.",
    ),
    "bench": ("kvorum.cli.bench", "bench", "Measure puts, gets and ranges, beside etcd if asked."),
}


# They say themselves what their codes mean: 2 is input that is wrong.
OWN_CODES = frozenset({"serve", "drill", "rejoin", "sim", "check", "bench"})


class Verbs(click.Group):
    """A group whose commands are imported on first use."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*args, **more)
        except click.UsageError as error:
            raise WrongUsage(error.format_message(), error.ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if ctx.invoked_subcommand in OWN_CODES:
                raise
            raise WrongUsage(error.format_message(), error.ctx) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = VERBS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(entry[0]), entry[1])
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, VERBS[verb][2]) for verb in VERBS])


def _spec(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from kvorum.cli.spec import print_spec

        print_spec(context, parameter, wanted)


@click.group(cls=Verbs, invoke_without_command=True, epilog=EXIT_CODES)
@click.version_option(package_name="kvorum")
@click.option(
    "--spec",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_spec,
    help="Every verb with its options and variables, as JSON, and leave.",
)
@click.option(
    "--no-plugins",
    is_flag=True,
    envvar="KVORUM_NO_PLUGINS",
    help="Without the decoders, tabs and drills that other packages bring.",
)
@click.pass_context
def cli(ctx: click.Context, no_plugins: bool) -> None:
    """An etcd-compatible cluster that you can see inside of.

    Without a verb: choose between a demo cluster and a cluster to connect to.
    """
    if no_plugins:
        os.environ["KVORUM_NO_PLUGINS"] = "1"  # Commands of our own, too.
    if ctx.invoked_subcommand is None:
        from kvorum.cli.terminal import welcome

        ctx.invoke(welcome)


def main() -> None:
    """Entry point of the ``kvorum`` command."""
    cli.main(args=sys.argv[1:], prog_name="kvorum")

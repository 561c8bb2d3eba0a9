"""The closed vocabulary of drills: what a step can do, what it wants to know, where it can be done.

The words are the field's own: ``isolate`` and ``ring`` as Jepsen's nemeses have them, ``pause`` for
SIGSTOP, ``transfer_leader`` for etcd's MoveLeader. Each stage that cannot do a step says so with a
sentence that is ready for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STAGES = ("live", "sim", "etcd")
ROLES = ("leader", "follower", "other", "followers", "majority", "minority", "all")
CONDITIONS: Mapping[str, str] = {
    "leader": "a leader is known",
    "new_leader": "another leader is known than at the step before",
    "no_leader": "nobody that answers knows a leader",
    "write": "a write is acknowledged that was asked for after the step before",
    "dead": "a member's process has ended",
    "healed": "no fault is in force",
}

_NO_GATE = "real etcd has no fault gate for it; kvorum's own nodes have (--stage live)"
_ETCD_LOSS = "a TCP proxy cannot lose messages of a stream; use delay or sever, or --stage live"
_NO_SIM_DEFRAG = "a simulated node has no database file to defragment; use --stage live or etcd"
_NO_FULL = "real etcd's disk cannot be filled from outside without filling this machine's"
_SIM_PLACES = "a simulated node comes by no failpoint; use --stage live, or `kvorum sim`"
_ETCD_REJOIN = (
    "real etcd has no way back for a damaged member; use replace_member, as its manual does"
)


@dataclass(frozen=True)
class Word:
    """One thing a step can do.

    ``fault``: it lasts, so it needs ``for_s`` and is lifted. ``needs`` and ``may``: keys of the
    step beside ``do``, time and target. ``refused``: stage -> the sentence why not there.
    """

    name: str
    text: str
    fault: bool = False
    target: bool = True
    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


_ALL: tuple[Word, ...] = (
    Word("sever", "cut the links between target and `to`, both ways", True, needs=("to",)),
    Word("isolate", "cut every link of the target, both ways", True),
    Word("one_way", "lose what the target sends to `to` (everybody)", True, may=("to",)),
    Word("ring", "every node reaches its two neighbours only", True, target=False),
    Word("majority", "cut a minority of followers off from the rest", True, target=False),
    Word("minority", "leave the leader on the smaller side of a cut", True, target=False),
    Word(
        "loss",
        "lose a share of what the target sends and receives",
        True,
        needs=("percent",),
        refused={"etcd": _ETCD_LOSS},
    ),
    Word("delay", "hold messages to and from the target back", True, True, ("ms",), ("jitter_ms",)),
    Word("pause", "stop the target's process where it stands", True),
    Word("kill", "end the target's process at once", may=("for_s",)),
    Word("restart", "start the target again; a running one is ended first"),
    Word(
        "skew",
        "let the target's clock run fast or slow",
        True,
        needs=("percent",),
        refused={"etcd": _NO_GATE},
    ),
    Word(
        "slow_fsync",
        "let each fsync of the target's log take longer",
        True,
        needs=("ms",),
        refused={"etcd": _NO_GATE},
    ),
    Word(
        "stall",
        "hold up the target's event loop for `ms` at each write that it answers",
        True,
        needs=("ms",),
        refused={"etcd": _NO_GATE, "sim": _SIM_PLACES},
    ),
    Word(
        "slow_history",
        "let each commit of the target's history take `ms` longer",
        True,
        needs=("ms",),
        refused={"etcd": _NO_GATE},
    ),
    Word(
        "fail_fsync",
        "let the next fsync of the target's log fail, which must end it at once",
        may=("for_s",),
        refused={"etcd": _NO_GATE},
    ),
    Word(
        "cut_clients",
        "hold back everything between clients and the target",
        True,
    ),
    Word(
        "reset_clients",
        "break every connection between clients and the target off",
    ),
    Word(
        "disk_full",
        "the target's log finds no room on its disk",
        True,
        refused={"etcd": _NO_FULL},
    ),
    Word(
        "corrupt_wal",
        "flip a bit in the middle of the target's log; the target must be dead",
    ),
    Word("transfer_leader", "the leader hands over to the target"),
    Word(
        "add_member",
        "add a member and start it; a `learner` votes once it has caught up",
        target=False,
        may=("learner",),
    ),
    Word("remove_member", "remove the target for good"),
    Word(
        "replace_member",
        "remove the target, add a new member and start it",
    ),
    Word(
        "rejoin_member",
        "let the dead target come back under a new id with `kvorum rejoin`, and start it",
        refused={"etcd": _ETCD_REJOIN},
    ),
    Word("compact", "compact all but the newest `keep` revisions", target=False, may=("keep",)),
    Word("defrag", "rewrite the target's database file", refused={"sim": _NO_SIM_DEFRAG}),
    Word("heal", "lift every fault and start whoever is dead", target=False),
    Word("converge", "wait until all members agree", target=False, may=("within_s",)),
)
WORDS: Mapping[str, Word] = {word.name: word for word in _ALL}
# Cut or bend links; everything else happens to nodes or to the whole cluster.
LINK_WORDS = ("sever", "isolate", "one_way", "ring", "majority", "minority", "loss", "delay")
# End a process at once; with for_s it is started again after that time.
DEADLY = ("kill", "fail_fsync")
# Need something between clients and members.
CLIENT_WORDS = ("cut_clients", "reset_clients")

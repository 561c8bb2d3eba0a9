"""The guided tour: its steps, and how one sees that a step has been taken.

A step looks at two pictures of the cluster, the one when the step began and the one now; so it does
not matter whether the terminal did what the step asks for or the user by hand, here or elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

PREFIX = b"/tour/"
HELLO = PREFIX + b"hello"
ALIVE = PREFIX + b"alive"
LEASE_S = 8


@dataclass(frozen=True, slots=True)
class Facts:
    """What the steps look at; ``told`` are names that whoever runs the tour has noted."""

    voters: int = 0
    up: int = 0
    leader: str = ""
    term: int = 0
    leading: int = 0
    terms: frozenset[int] = frozenset()
    revision: int = 0
    compacted: int = 0
    faults: int = 0
    alive: bool = False
    told: frozenset[str] = frozenset()


def read(before: Facts, now: Facts) -> bool:
    """Nothing is asked for."""
    return True


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the tab it is on, a title, what to know, what to do, and when it is done.
    ``by_hand`` says how the user may do it; F6 does it for them.
    """

    name: str
    tab: str
    title: str
    text: str
    by_hand: str = ""
    done: Callable[[Facts, Facts], bool] = read
    after: str = ""


STEPS: tuple[Step, ...] = (
    Step(
        "quorum",
        "cluster",
        "A majority decides",
        "{voters} members hold the same data. {leader} leads term {term}: it alone takes writes and"
        " tells the others. More than half of them are a quorum; while a quorum can talk, writing"
        " goes on, whoever else is lost. That is why {voters} members survive the loss of {spare}.",
    ),
    Step(
        "log",
        "cluster",
        "Log and commit",
        "A write becomes an entry at the end of the leader's log, is sent to the others, and is"
        " committed as soon as a quorum has it on disk. Only then is it answered. Watch the right"
        " ends of the logs: LETTERS are committed entries, one letter a term.",
        "write any key in the Keys tab (1, then n)",
        lambda before, now: now.revision > before.revision,
        "The entry is on all members now, and the store went from one revision to the next.",
    ),
    Step(
        "election",
        "cluster",
        "A leader is lost",
        "Now {leader} is cut off from the others. They hear no leader any more; after about a"
        " second one of them asks for votes in a new term, and a quorum elects it.",
        "Drills tab (4): cursor on the leader, then i",
        lambda before, now: bool(now.leader) and now.term > before.term,
        "{leader} leads term {term}. The old leader steps down by itself: it hears no quorum.",
    ),
    Step(
        "partition",
        "cluster",
        "Two sides",
        "Both sides were written to. Until it noticed, the old leader took entries into its log:"
        " they stand there in small letters, because without a quorum nothing is committed, and"
        " whoever wrote them got no answer. Now the majority is written to, and commits.",
        "write any key in the Keys tab (1, then n)",
        lambda before, now: now.revision > before.revision,
        "A write without an answer may still come, or never: every client must know that.",
    ),
    Step(
        "return",
        "cluster",
        "The old leader's return",
        "The cut is healed. The old leader hears a higher term and follows; what was not committed"
        " on its side is overwritten by what was. Nothing that was answered is lost.",
        "Drills tab (4): X",
        lambda before, now: now.faults == 0 and len(now.terms) == 1 and now.leading == 1,
        "All members have the same log again, and term {term} for all.",
    ),
    Step(
        "versions",
        "keys",
        "Every revision is kept",
        "/tour/hello is written three times. Each write is a revision of the whole store; h shows"
        " them all, with when and by which member, and R writes an old one again.",
        "edit a key (e), then h",
        lambda before, now: now.revision >= before.revision + 3,
        "Choose one with the arrows: the difference to the one before stands beside it.",
    ),
    Step(
        "watch",
        "watch",
        "Watching from the past",
        "A watch may begin at an old revision: it brings what happened since, in order and without"
        " a gap, and then goes on live. That is how programs keep up with the store after a break.",
        "Watch tab (2): a, the prefix /tour/ and a revision",
        lambda before, now: "watched" in now.told,
        "All that this tour wrote, from its first write on.",
    ),
    Step(
        "compact",
        "keys",
        "Forgetting on purpose",
        "History takes room. A compaction forgets what stood before a revision: it can no longer be"
        " read, and a watch from there is refused, which every client must expect. Values that"
        " are current stay, however old.",
        "Admin tab (9): compaction",
        lambda before, now: now.compacted > before.compacted,
        "The header says from which revision on the past can be read.",
    ),
    Step(
        "lease",
        "leases",
        "A lease",
        "/tour/alive is written under a lease of {lease} seconds that nobody renews. When it runs"
        " out, the cluster deletes the key, on all members in the same revision. Locks, elections"
        " and service registries are made of this.",
        "",
        lambda before, now: "alive" in now.told and not now.alive,
        "The key is gone, although nobody deleted it.",
    ),
    Step(
        "end",
        "drills",
        "On your own",
        "d lists the drills: each breaks this cluster in one way, on purpose, and gives a verdict"
        " with figures. ? says what every key does, F1 what you look at. ^y ends the tour.",
    ),
)


@dataclass(slots=True)
class Tour:
    """Where somebody is in the tour."""

    number: int = 0
    before: Facts = field(default_factory=Facts)
    now: Facts = field(default_factory=Facts)
    asked: bool = False
    done: bool = False

    @property
    def step(self) -> Step:
        """The step one is at."""
        return STEPS[self.number]

    @property
    def last(self) -> bool:
        """Whether no other follows."""
        return self.number == len(STEPS) - 1

    def see(self, now: Facts) -> None:
        """Another picture; a step once done stays done."""
        if self.before == Facts():
            self.before = now
        self.now = now
        self.done = self.done or self.step.done(self.before, now)

    def go(self, by: int) -> None:
        """To another step, which begins now."""
        self.number = min(max(self.number + by, 0), len(STEPS) - 1)
        self.before, self.asked = self.now, False
        self.done = self.step.done is read

    def words(self, text: str) -> str:
        """A step's text about this cluster."""
        return self._about(self.now, text)

    @property
    def told(self) -> str:
        """The step's text, about the cluster as it was when the step began: whom it cuts off is
        not whoever leads afterwards.
        """
        return self._about(self.before if self.before.leader else self.now, self.step.text)

    def _about(self, facts: Facts, text: str) -> str:
        return text.format(
            voters=facts.voters,
            spare=max(0, (facts.voters - 1) // 2),
            leader=facts.leader or "nobody",
            term=facts.term,
            lease=LEASE_S,
        )

"""All planted mistakes, and ``rows``: the same as a table of words.

A mistake with several finders must be found by each of them: usually by something small that names
the rule, and by the simulation, which knows no rule by name.
"""

from __future__ import annotations

from support.planted.table_of_raft import DISKS, ELECTIONS, REPLICATION
from support.planted.table_of_service import OF_LEASES, OF_READS, OF_STATE, OF_WATCHES

MISTAKES = (*DISKS, *ELECTIONS, *REPLICATION, *OF_READS, *OF_LEASES, *OF_WATCHES, *OF_STATE)

ETCDS_SEVENTEEN = {
    "#13766": "revision inconsistent after a crash under load",
    "#14370": "a single node loses a write",
    "#14571": "enabling auth makes members differ",
    "#14685": "revision inconsistent after a crash amid a defragmentation",
    "#15220": "progress marks ahead of events",
    "#15271": "a watch goes back in time",
    "#17247": "an event twice, after a transaction",
    "#17529": "events lost when a stream starves",
    "#17780": "the revision falls after a crash amid a compaction",
    "#18089": "an event lost by a compaction at a deletion",
    "#18055": "two snapshots in a short time",
    "#18667": "members differ over a compacted read in a transaction",
    "#19179": "a deletion missed by a watch from the compact revision",
    "#20221, notifications": "marks before the revision that a watch begins at",
    "#20221, old events": "events before the revision that a watch begins at",
    "#20271": "a page of the database is not what it should be",
    "#20418": "stale reads after a pause",
}
"""The correctness bugs that etcd's robustness tests list: the report, and what it was about."""


def siblings() -> dict[str, list[str]]:
    """For each of etcd's seventeen, the planted mistakes that are of its kind."""
    return {
        report: [mistake.name for mistake in MISTAKES if f"etcd{report}" in mistake.source]
        for report in ETCDS_SEVENTEEN
    }


def rows() -> list[tuple[str, str, str, str]]:
    """Name, mistake, source and finders of each, in words."""
    return [
        (
            mistake.name.replace("_", " "),
            mistake.words,
            mistake.source,
            "; ".join([f.words for f in mistake.found_by] + ["any simulation"] * mistake.by_chance),
        )
        for mistake in MISTAKES
    ]

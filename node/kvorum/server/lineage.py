"""Which line of clusters a member belongs to: told by its term.

``--force-new-cluster`` keeps a cluster's id, as etcd does, and so there may be two clusters of one
id: what the survivor goes on with, and what others still hold or make of it. Their logs part where
it was forced; nothing in raft would notice, and one that took the other's entries for its own, or
counted the other's votes and acknowledgements, would ruin both (thesis 3.6 knows one history only).

So the terms of a forced cluster lie in a stretch of their own: the upper bits of a term name the
line, drawn anew (and upwards) each time a cluster is forced, the lower ones count elections within
it. A term is what every raft message carries, every log holds and every joiner learns first. A
member that knows a configuration listens to its own line only; no election leads out of one.
"""

from __future__ import annotations

from collections.abc import Callable

# So many elections fit into one line: one a second for 136 years.
_ELECTIONS = 1 << 32
# Lines that the next one is drawn from: two survivors of one cluster hardly draw the same, sixteen
# draws in a row stay below 2^53, and even that is no end.
_CHOICE = 1 << 16


def line_of(term: int) -> int:
    """The line a term belongs to; 0 for a cluster that was never forced."""
    return term // _ELECTIONS


def first_term(term: int, draw: Callable[[int], int]) -> int:
    """The first term of a new line behind this term's; ``draw(n)`` gives a random number below
    ``n``.
    """
    return (line_of(term) + 1 + draw(_CHOICE)) * _ELECTIONS

"""The judge of histories.

A run, simulated or real, is written down as its clients saw it: every request with the moments at
which it was called and answered, every message of every watch, leases, locks, what was broken on
purpose, and at the end what the members themselves say to have applied. This room reads such a
history and says which promises were not kept.

It shares no line with what it judges: its model of the KV API is its own, so that one mistake
cannot sit in both. It is pure; files, clocks and networks belong to whoever records.

How it works: etcd's answers carry the revision, so the order of all writes is told and need not be
searched for, which in general takes exponential time. :mod:`~kvorum.check.evidence` gathers what
is told of each revision; :mod:`~kvorum.check.order` replays the revisions, gives each an author,
writes of unknown fate among them, and holds every answer against the state at its revision;
:mod:`~kvorum.check.realtime` sees that nobody was told less than was known before he asked.
Together these are linearizability, in time that grows with the length of the history.
:mod:`~kvorum.check.search` decides the same by trying, for small histories, and keeps the fast way
honest. Watches, leases and locks are then held against the order that was found.

- :mod:`~kvorum.check.records`, :mod:`~kvorum.check.lines`: what is written down, and how;
- :mod:`~kvorum.check.model`: the store;
- :mod:`~kvorum.check.judge`: all rules, one verdict;
- :mod:`~kvorum.check.part`: the shortest part of a history that still breaks a rule;
- :mod:`~kvorum.check.timeline`: that part as a picture.

What it does not decide: sorted and filtered ranges (a history cannot hold them), the texts of
refusals, and whether a cluster was available.
"""

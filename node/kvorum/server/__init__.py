"""The hands of a node: one asyncio loop, a few threads, and the files and sockets they hold.

The replica decides (``kvorum.replica``, pure); this room makes its decisions true. The order of
things is the order of thesis section 3.8 and of chapter 10: what a member says of its state is on
its disk before it is said; a leader may send entries to its peers while its own disk still writes
them; reads and writes that arrive together travel, are written and are agreed on together.

- :mod:`~kvorum.server.runtime`: ``Node``, the turn of the loop, what services ask.
- :mod:`~kvorum.server.callers`, :mod:`~kvorum.server.watching`: who waits for what.
- :mod:`~kvorum.server.disk`: the log's thread and its group commit (10.2.1).
- :mod:`~kvorum.server.historydesk`, :mod:`~kvorum.server.snapshotdesk`: the history's threads;
  snapshots cut and installed (chapter 5).
- :mod:`~kvorum.server.link`, :mod:`~kvorum.server.peers`, :mod:`~kvorum.server.exchange`,
  :mod:`~kvorum.server.peerwire`, :mod:`~kvorum.server.dial`: the members among themselves.
- :mod:`~kvorum.server.transfer`: a snapshot on its way.
- :mod:`~kvorum.server.clock`, :mod:`~kvorum.server.faults`, :mod:`~kvorum.server.faultdesk`: ticks,
  and the faults a node inflicts on itself.
- :mod:`~kvorum.server.doors`, :mod:`~kvorum.server.listener`, :mod:`~kvorum.server.http1`,
  :mod:`~kvorum.server.httpapp`: the ports; on each, two protocols.
- :mod:`~kvorum.server.tls`, :mod:`~kvorum.server.tls_transport`,
  :mod:`~kvorum.server.selfsigned`: certificates shown and believed, read again when they change.
- :mod:`~kvorum.server.health`, :mod:`~kvorum.server.metrics`, :mod:`~kvorum.server.callcounts`:
  what monitors ask.
- :mod:`~kvorum.server.boot`, :mod:`~kvorum.server.member`, :mod:`~kvorum.server.crash`: how a
  member begins, lives and ends. It never lives half: the first surprise ends the process, and what
  it promised is on disk.
- :mod:`~kvorum.server.joining`, :mod:`~kvorum.server.leaving`, :mod:`~kvorum.server.lone`: members
  that come, go, or are all that is left (chapter 4).
- :mod:`~kvorum.server.compactor`, :mod:`~kvorum.server.quota`: what a leader forgets, what a full
  disk refuses.
- :mod:`~kvorum.server.statistics`, :mod:`~kvorum.server.latency`, :mod:`~kvorum.server.logs`,
  :mod:`~kvorum.server.identity`, :mod:`~kvorum.server.ports`: figures, words, names, seams.

Nothing blocks the loop, every queue has its bound in :mod:`kvorum.limits`, and no exception is
survived that nobody foresaw.
"""

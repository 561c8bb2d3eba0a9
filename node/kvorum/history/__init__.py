"""The revision history in DuckDB: every change of every key, until compaction takes it.

A node keeps its own, written behind apply; the terminal keeps a mirror of a real etcd in the same
form. It serves reads at old revisions, watchers that are behind, a key's whole life, peers that
need a snapshot, and SQL written by people. It is never the root of durability: it can always be
built again from raft's log, a snapshot, or a peer.

- ``schema.sql``, ``views.sql``  the tables, and what people see of them;
- ``rows``        rows as values and as Arrow tables;
- ``database``    one open, locked-down file;
- ``probe``       ``open_history``: a child process looks first, bad files are set aside;
- ``writer``      the one writing thread: batches, applied index in the same transaction,
  checkpoints;
- ``compaction``  what a compaction removes;
- ``selects``, ``reader``  the questions a node asks, and the threads that ask them;
- ``transfer``, ``copying``  whole histories to and from peers, the swap of files, private copies;
- ``query``, ``sandbox``  people's SQL in a process of its own.

Nothing is imported here: a node that only writes need not load what only people use.
"""

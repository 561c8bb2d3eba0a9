"""What a node keeps on disk for raft: the write-ahead log and snapshot files.

The log is the only root of durability (thesis section 3.8: term, vote and log must survive a crash
before anybody is answered). Everything else a node stores can be rebuilt from it, from a snapshot
file (thesis chapter 5), or from a peer:

- ``record``    how one record looks, byte by byte; pure.
- ``replay``    reading a log back and judging damage: clean, torn, corrupt, lost; pure but for the
  disk handed in.
- ``wal``       appending, group fsync, segments, cutting.
- ``snapshot_file``  snapshot files: streamed, checked, replaced whole.
- ``interface`` the protocols above and below, and the errors.
- ``filesystem``, ``memory``  the two disks: the real one, and the simulator's, which forgets what
  was not synced.
- ``bolt_page``, ``bolt_write``, ``bolt_read``  the pages of bbolt, etcd's database; a bulk load and
  a checked traversal, no engine.
- ``etcd_records``, ``etcd_state``, ``etcd_db``  etcd's buckets on top: the file that
  Maintenance.Snapshot streams, and what restores from one.

The same log runs on both disks, so that what the simulator crashes a million times is what a node
runs.
"""

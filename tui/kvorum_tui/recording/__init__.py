"""Recordings of a cluster: everything that changed, what every member said of itself, in one DuckDB
file; and such a file, or a snapshot, opened like a cluster.

- ``schema.sql``   the tables, each described; they stand beside those of a kvorum history file, so
  that the same SQL works on a node, a mirror and a recording;
- ``values``       records as JSON and back, without trust in the file;
- ``writer``       the thread that writes: bounded queue, batches, one transaction each;
- ``recorder``     follows a session and feeds the writer; a crash loses what was not flushed;
- ``opening``      which kind of file it is, whether it is sound, its head;
- ``tape``         what stands in the file, asked by threads, and the moment at which one looks;
- ``session``, ``past``  the session on it: read-only for good.

Nothing here imports Textual: ``kvorum record`` runs without it.
"""

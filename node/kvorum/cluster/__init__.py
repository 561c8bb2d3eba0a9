"""The local supervisor: a cluster file becomes processes.

A cluster file (TOML) names a cluster's nodes and how they run; :mod:`kvorum.cluster.file` reads
it. The supervisor gives each node a folder with its data and its log in a *run directory*,
starts the processes, waits until every one of them answers and knows a leader, and then stands
by: it can kill, pause, resume and restart a node, it says when one dies, and it stops them all
when it is told to. The next start on the same run directory finds the same data on the same
ports.

Nothing here knows Raft or the store. A node is a program that takes etcd's flags and answers
etcd's ``Status`` call, so that the same cluster file runs real etcd (``program = "etcd"``)
beside our own.

Who does what:

- ``file``: the cluster file, read and checked: frozen values, errors that name file, key, remedy
- ``places``: where clusters are found (by path, by a sample's name) and where they run
- ``rundir``: one run directory: lock, ports kept for good, pid files, the mark of loaded keys
- ``process``: one process: start, identity (pid and start time), signals, a bounded stop
- ``lastwords``: why a node ended, in one sentence of its log
- ``leash``: processes that end with their supervisor, even a killed one
- ``command``: the command line of a node
- ``probe``: the question "do you answer, and do you know a leader?"
- ``supervisor``: the nodes together
- ``keys``: sample keys: reading them, loading them on the first start
- ``extras``, ``certificates``, ``accounts``, ``links``: TLS, users and roles, links with a delay
- ``control``: the supervisor as the terminal's node control

Everything is plain blocking code on purpose: a signal to a process takes microseconds, waiting
is bounded and polls a condition, and one supervisor serves a command line, a test and (through
``control``) an event loop that comes and goes.
"""

from __future__ import annotations

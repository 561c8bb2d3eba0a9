"""One whole node without hands.

``Replica.handle(input) -> effects`` is all there is: raft decides the order, the machine gives it
meaning, and this room introduces them to one another. It knows leases' clocks (in ticks), watchers
and their buffers, requests and their deadlines; it knows no socket, no file and no clock. The
server performs the effects on a real machine, the simulator on an imagined one, and neither can
tell the replica which it is.

The order of things, per handled batch of inputs:

1. inputs change raft, leases, watchers and waiting requests;
2. raft's bundle is taken (thesis, chapter 10.2: the leader may send before its own disk is done);
3. committed entries go through the machine, in order, each giving a result, events and a digest;
4. reads that are confirmed and reached are answered, watchers behind get a stretch further;
5. effects leave in this order: ``Persist`` before any message that speaks of what it holds; replies
   only for what is committed *and* durable here; history rows with the applied index they reach;
   deliveries last.

Who does what: ``proposals`` writes, ``reading`` reads in rounds (``reads``), ``leasing`` questions
about leases and ``expiry`` their clocks, ``applying`` what committed entries lead to, ``snapshots``
their cutting and installing, ``watches`` (with ``watchers``, ``watchindex``, ``catchup``) who is
told of changes, ``waiting`` who still waits.
"""

"""What a committed entry does: the deterministic state machine behind the log.

Raft (``kvorum.raft``) makes all members agree on one sequence of entries; this room says what the
sequence means. The thesis (Ongaro 2014, section 2.1) asks exactly one thing of it: that it be
deterministic, so that members which applied the same entries hold the same state and gave the same
answers. Everything here follows from that. ``Machine.apply`` sees the state and the entry and
nothing else: no clock (leases tick elsewhere, and end here by an entry), no settings (the proposer
writes what it decided into the command), no chance. A refusal is a result too, alike on all
members. And because divergence is the one fault that consensus cannot see, every entry extends a
digest that members compare.

The state is etcd's, multi-version (contract page "semantics"):

- Time is the **revision**. Each entry that changes something makes the next one; all its changes
  carry it, numbered by **sub** in order. A key remembers where its present life began (create
  revision), when it was last written (mod revision) and how often (version).
- The present is ``keyspace``: the live records, as the bytes they are sent in (``record``). The
  recent past is ``window``: the last revisions' events, enough to undo the present backwards and to
  catch up watchers. The far past is not here: it is the history's (``kvorum.history``), and a read
  that needs it comes back as a ``HistoricalRange`` saying so. Nothing that decides the state ever
  depends on which of the three a read was answered from.
- ``change`` is one revision in the making, and the only writer. ``txn`` decides a transaction's
  path, checks it against the state before, then runs it: nothing is rolled back, because nothing
  that has begun can fail.
- ``compaction`` moves the line below which nobody reads; ``leases`` ties keys to promises of life;
  ``members`` and ``alarms`` are replicated facts about the cluster itself, subject to checks at
  apply time like everything else (thesis, section 4.1; raft checklist M10).
- ``auth`` asks of every entry whether its caller may do what it says, when it is applied, so that a
  permission taken away does not outlive itself in the log. ``accounts`` holds users and roles,
  ``permissions`` unites what was granted, ``access`` tells what a command touches.
- ``image`` cuts the whole state in one instant for a snapshot (thesis, section 5.1) and spells it
  as bytes which a suspicious reader can check record by record; ``digest`` tells whether two
  members hold the same.

Reading order: ``operations`` (the vocabulary), ``codec`` and ``checks`` (its bytes, its manners;
``commands`` names them all), ``apply`` (the middle of the room), then ``change``, ``txn`` and
``keyspace``. Clients never come here; the replica does, one entry at a time.
"""

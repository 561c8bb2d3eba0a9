"""Drills: break a cluster on purpose, from a file, and get a verdict with figures.

A scenario file (:mod:`kvorum.drill.scenario`) says what clients do, what is broken when, and what
must hold. The runner carries it out on a *stage*, and the same file runs on each of three:

- ``sim`` (:mod:`kvorum.drill.simulated`): the production replica in simulated time, seconds in
  milliseconds, repeatable from a seed;
- ``live`` (:mod:`kvorum.drill.processes`): processes of this machine, broken by signals and by
  their own fault gates;
- ``etcd`` (also there): real etcd, broken by signals and by proxies between its members, to
  compare with.

Clients record every request with the time before and after, watchers every event. When all faults
are lifted and the members agree again, the recording goes to the checkers of :mod:`kvorum.check`;
what they find and what the runner measured is the verdict (:mod:`kvorum.drill.verdict`).

Nothing outlives a drill: each fault has a duration, the runner lifts all of them at its end
whatever happened, and members lift them by themselves when there is no runner any more.

Who does what: ``words`` the vocabulary; ``scenario``, ``reading``, ``lines`` the file; ``stage``
what a stage is; ``targets`` who is meant by a role; ``runner`` the course of things; ``plan``,
``recorder`` what clients ask and what is kept of it; ``simload``, ``simtools``, ``liveload`` the
clients; ``eye``, ``gates``, ``proxies``, ``changes``, ``dump`` the parts of a stage of processes;
``judging``, ``verdict``, ``report`` the end.
"""

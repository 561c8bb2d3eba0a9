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
whatever happened, and members lift them by themselves when there is no runner any more. Processes
that a drill started are on a leash (:mod:`kvorum.cluster.leash`) and end with it, kill -9 included;
its recording is on disk while it grows, and can be judged as far as it goes.

Who does what:

- the file: ``words`` the vocabulary, ``scenario``, ``reading``, ``lines``; ``preview`` what will be
  hit, ``places`` where drills and runs are
- the course: ``stage`` what a stage is, ``targets`` who is meant by a role, ``runner``, ``reigns``
  who led when, ``facts`` what is seen and told
- clients: ``plan`` what they ask, ``recorder`` what is kept of it, ``simload``, ``simtools``,
  ``simchanges`` in simulation, ``liveload`` on processes
- a stage of processes: ``shape`` which cluster, ``access`` how it is spoken to, ``eye`` who
  answers, ``deeds`` what is done to processes, ``gates`` to themselves, ``proxies`` between
  members, ``doors`` before clients, ``changes`` in the cluster, ``dump`` the end of a recording
- the end: ``judging``, ``verdict``, ``report``; ``kept``, ``journal``, ``recording`` the folder;
  ``picture``, ``sidebyside``, ``chart`` drawings; ``runs``, ``compare`` earlier runs
"""

"""A deterministic world for the replica that the server runs.

One seed decides everything: who is slow, what the network loses, when a disk forgets, which node is
killed between which two effects. Time is simulated, so that minutes pass in milliseconds, and the
same seed gives the same run, event for event, under any hash seed: a failure that is found once can
be looked at for ever.

- :mod:`kvorum.sim.world`: simulated time, chance and the trace;
- :mod:`kvorum.sim.plan`: what a seed decides before the run, as a value;
- :mod:`kvorum.sim.node`, :mod:`kvorum.sim.boot`: performs a replica's effects on simulated disks,
  history and network, and starts it from them; :mod:`kvorum.sim.joining`: how it becomes a member
  of a cluster that runs, and ends when it was removed;
- :mod:`kvorum.sim.network`, :mod:`kvorum.sim.diskthread`, :mod:`kvorum.sim.history`: what lies
  around a node;
- :mod:`kvorum.sim.nemesis`: what goes wrong, as the plan says;
- :mod:`kvorum.sim.steward`: who changes the members meanwhile, and knows what they can bear;
- :mod:`kvorum.sim.workload`, :mod:`kvorum.sim.following`: clients and watchers, and what they
  remember of their answers;
- :mod:`kvorum.sim.properties`: raft's five safety properties, the rules about members and equal
  digests, asserted after every event; :mod:`kvorum.sim.verify`: what clients and watchers remember
  against the order of the log, at the end;
- :mod:`kvorum.sim.run`: one run; :mod:`kvorum.sim.fleet`: many, on all processors;
- :mod:`kvorum.sim.shrink`: a failing run made small.

A run has two phases, after TigerBeetle's simulator: in the first everything breaks and nothing may
be lost; in the second the faults stop, for a majority first and then for all, and whoever is
healthy must converge, answer and serve within a bounded time.
"""

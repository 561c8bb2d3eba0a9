"""The cluster that a drill starts: of the scenario's shape, or that of a cluster file.

Whatever the file says of ports, data and sample keys is for clusters that stay; a drill's cluster
has ports of its own, an empty store, and data in the run's folder. What it says of nodes, times,
TLS, users, links and flags is kept.
"""

from __future__ import annotations

from dataclasses import replace

from kvorum.cluster.file import ClusterSpec, NodeSpec
from kvorum.cluster.rundir import free_port
from kvorum.drill.scenario import Scenario
from kvorum.drill.words import ROLES
from kvorum.errors import ConfigError

PROGRAMS = {"live": "kvorum", "etcd": "etcd"}


def cluster_of(scenario: Scenario, kind: str, file: ClusterSpec | None = None) -> ClusterSpec:
    """What is started for a drill on a stage of processes. Raises ConfigError when ``file`` does
    not fit the drill or the stage.
    """
    spec = _of_scenario(scenario, kind) if file is None else _of_file(scenario, kind, file)
    count = scenario.shape.snapshot_count
    flags = [f"--snapshot-count={count}"] * bool(count)
    if kind == "live" and count:
        # A member that is further behind gets the snapshot; real etcd keeps 5,000 entries for it.
        flags.append(f"--snapshot-catchup-entries={count}")
    return replace(spec, flags=(*spec.flags, *flags))


def _of_scenario(scenario: Scenario, kind: str) -> ClusterSpec:
    shape = scenario.shape
    return ClusterSpec(
        path=scenario.path,
        name="drill",
        nodes=tuple(NodeSpec(f"n{n + 1}") for n in range(shape.nodes)),
        program=PROGRAMS[kind],
        heartbeat_ms=shape.heartbeat_ms,
        election_ms=shape.election_ms,
        faults=kind == "live",
    )


def _of_file(scenario: Scenario, kind: str, file: ClusterSpec) -> ClusterSpec:
    if file.program != PROGRAMS[kind]:
        fits = next(stage for stage, program in PROGRAMS.items() if program == file.program)
        raise ConfigError(f"{file.path}: program is {file.program}: use --stage {fits}")
    wanted, names = scenario.shape.nodes, [node.name for node in file.nodes]
    if len(names) < wanted:
        raise ConfigError(
            f"{file.path}: has {len(names)} nodes, and {scenario.name} needs {wanted}"
        )
    joins = ("add_member", "replace_member")
    coming = {f"n{n + 1}" for n in range(wanted, wanted + scenario.count(*joins))}
    for step in scenario.steps:
        for name in (*step.targets, *step.to):
            if name not in (*ROLES, *names, *coming):
                raise ConfigError(
                    f"{scenario.path}:{step.line}: {name} is no node of {file.path},"
                    f" which has {', '.join(names)}"
                )
    if kind == "etcd" and file.tls.peers != "off":
        raise ConfigError(
            f"{file.path}: tls.peers: a drill on etcd stands between the members and has to read"
            ' who speaks to whom; use peers = "off"'
        )
    nodes = tuple(NodeSpec(node.name, flags=node.flags) for node in file.nodes)
    return replace(
        file, nodes=nodes, faults=kind == "live", restart="never", keys=None, data_dir=None
    )


def behind_proxies(spec: ClusterSpec) -> tuple[ClusterSpec, dict[str, tuple[int, int]]]:
    """The same cluster with every member's peer port behind another: name -> (the port that is
    told to the others, the port where the member listens).
    """
    taken: set[int] = set()
    ports = {node.name: (free_port(taken), free_port(taken)) for node in spec.nodes}
    urls = {name: f"http://127.0.0.1:{port}" for name, (port, _) in ports.items()}
    cluster = ",".join(f"{name}={url}" for name, url in urls.items())
    nodes = tuple(
        replace(
            node,
            peer_port=ports[node.name][1],
            flags=(
                *node.flags,
                f"--initial-advertise-peer-urls={urls[node.name]}",
                f"--initial-cluster={cluster}",
            ),
        )
        for node in spec.nodes
    )
    return replace(spec, nodes=nodes), ports

"""The cluster that a drill starts, of its own shape or of a cluster file's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kvorum.cluster.file import ClusterSpec, read_cluster_file
from kvorum.cluster.places import find_cluster_file
from kvorum.drill.places import find_drill
from kvorum.drill.scenario import Scenario, read_scenario
from kvorum.drill.shape import behind_proxies, cluster_of
from kvorum.errors import ConfigError


def scenario(name: str = "leader-killed") -> Scenario:
    return read_scenario(find_drill(name))


def sample(name: str) -> ClusterSpec:
    return read_cluster_file(find_cluster_file(name))


def test_the_scenarios_own_shape() -> None:
    spec = cluster_of(scenario("minority-leader"), "live")
    assert [node.name for node in spec.nodes] == ["n1", "n2", "n3", "n4", "n5"]
    assert (spec.program, spec.faults) == ("kvorum", True)
    assert cluster_of(scenario(), "etcd").faults is False
    flags = cluster_of(scenario("snapshot-race"), "live").flags
    assert flags == ("--snapshot-count=50", "--snapshot-catchup-entries=50")


def test_a_cluster_file_lends_its_shape_and_keeps_its_data() -> None:
    file = sample("auth3")
    assert file.keys is not None
    spec = cluster_of(scenario(), "live", file)
    assert (spec.tls, spec.auth, spec.election_ms) == (file.tls, file.auth, file.election_ms)
    assert (spec.keys, spec.data_dir, spec.faults, spec.restart) == (None, None, True, "never")
    fixed = replace(file.nodes[0], client_port=2379, peer_port=2380, flags=("--x=1",))
    spec = cluster_of(scenario(), "live", replace(file, nodes=(fixed, *file.nodes[1:])))
    assert (spec.nodes[0].client_port, spec.nodes[0].peer_port) == (None, None)
    assert spec.nodes[0].flags == ("--x=1",)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="program is etcd: use --stage etcd"):
        cluster_of(scenario(), "live", sample("etcd3"))
    with pytest.raises(ConfigError, match="program is kvorum: use --stage live"):
        cluster_of(scenario(), "etcd", sample("three"))
    with pytest.raises(ConfigError, match="has 3 nodes, and minority-leader needs 5"):
        cluster_of(scenario("minority-leader"), "live", sample("three"))
    strange = replace(
        sample("three"),
        nodes=tuple(replace(node, name=f"host-{node.name}") for node in sample("three").nodes),
    )
    with pytest.raises(ConfigError, match=r"toml:14: n3 is no node of .*, which has host-n1, host"):
        cluster_of(scenario("member-replaced"), "live", strange)
    over_tls = replace(sample("etcd3"), tls=sample("tls3").tls)
    with pytest.raises(ConfigError, match="has to read who speaks to whom"):
        cluster_of(scenario(), "etcd", over_tls)


def test_behind_proxies_everybody_tells_another_port() -> None:
    spec, ports = behind_proxies(cluster_of(scenario(), "etcd"))
    assert set(ports) == {"n1", "n2", "n3"}
    assert len({port for pair in ports.values() for port in pair}) == 6
    for node in spec.nodes:
        told, listens = ports[node.name]
        assert node.peer_port == listens
        assert f"--initial-advertise-peer-urls=http://127.0.0.1:{told}" in node.flags

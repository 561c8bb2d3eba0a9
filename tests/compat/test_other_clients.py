"""Other people's clients, unchanged, each of their features once: on three nodes, and on real etcd.

The programs are in ``clients/``; each prints a line for each feature. What they print on kvorum is
what they print on etcd, letter by letter.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.clusters import ClusterHandle, make_spec
from support.ports import free_ports
from support.programs import need_client, need_program

CLIENTS = Path(__file__).parent / "clients"
# A bound far beyond what any of them takes; each waits for events, not for time.
PATIENCE_S = 120.0
# How many features each program tells of, so that one that ends early is not taken for equal.
FEATURES = {"python-etcd3": 61, "aetcd": 44, "npm etcd3": 63}
SERVERS = ("etcd", "kvorum")


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """Three nodes of each."""
    need_program("etcd")
    clusters: dict[str, ClusterHandle] = {}
    try:
        for server in SERVERS:
            directory = tmp_path_factory.mktemp(server)
            clusters[server] = ClusterHandle(make_spec(directory, 3, program=server), directory)
            clusters[server].start()
        yield {
            server: [url.removeprefix("http://") for url in cluster.endpoints]
            for server, cluster in clusters.items()
        }
    finally:
        for cluster in clusters.values():
            cluster.end()


def command_of(client: str, endpoints: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command line of a client's program, and what its environment needs."""
    spare_peer_url = f"http://127.0.0.1:{free_ports(1)[0]}"
    if client == "npm etcd3":
        modules = need_client("npm/node_modules/etcd3").parent
        script = str(CLIENTS / "use_etcd3.js")
        command = [need_program("node"), script, ",".join(endpoints), spare_peer_url]
        return command, {"NODE_PATH": str(modules)}
    name = "etcd3" if client == "python-etcd3" else client
    python = need_client(f"{name}/bin/python")
    return [str(python), str(CLIENTS / f"use_{name}.py"), endpoints[0], spare_peer_url], {}


def told_by(client: str, endpoints: list[str]) -> list[list[object]]:
    """What the program says of a cluster: pairs of a feature and an answer."""
    command, extra = command_of(client, endpoints)
    # The program's libraries are its own: nothing of this environment's.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | extra
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as expired:
        said = (expired.stdout or b"").decode()
        pytest.fail(f"{client} at {endpoints} went no further than\n{said[-2000:]}")
    assert done.returncode == 0, f"{client} after\n{done.stdout}\n{done.stderr[-4000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("client", FEATURES)
def test_it_cannot_tell_kvorum_from_etcd(client: str, endpoints: dict[str, list[str]]) -> None:
    command_of(client, endpoints["etcd"])
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        etcd, kvorum = pool.map(lambda server: told_by(client, endpoints[server]), SERVERS)
    assert kvorum == etcd
    assert len({feature for feature, _ in kvorum}) == FEATURES[client]

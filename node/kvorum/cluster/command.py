"""The command line and the environment of a node, in etcd's own flags."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from kvorum.cluster.certificates import Certificates
from kvorum.cluster.file import ClusterSpec, NodeSpec
from kvorum.cluster.rundir import HOST, RunState
from kvorum.errors import ConfigError


def client_url(spec: ClusterSpec, state: RunState, name: str) -> str:
    """Where clients reach node ``name``."""
    return f"{_scheme(spec.tls.clients)}://{HOST}:{state.ports[name].client}"


def peer_url(spec: ClusterSpec, state: RunState, name: str) -> str:
    """Where the other nodes reach node ``name``."""
    return f"{_scheme(spec.tls.peers)}://{HOST}:{state.ports[name].peer}"


def _scheme(tls: str) -> str:
    return "http" if tls == "off" else "https"


def program(spec: ClusterSpec) -> list[str]:
    """The words that start the cluster file's program. Raises ConfigError when it is not
    installed.
    """
    if spec.program == "kvorum":
        # -P keeps the current directory out of the module path: a folder that happens to be called
        # kvorum there must not run instead of us.
        return [sys.executable, "-P", "-m", "kvorum", "serve"]
    found = shutil.which(spec.program)
    if found is None:
        raise ConfigError(
            f"{spec.path}: program: {spec.program} is not on PATH; install it"
            ' (Debian: etcd-server) or use program = "kvorum"'
        )
    return [found]


def node_argv(
    spec: ClusterSpec, node: NodeSpec, state: RunState, data_dir: Path, certs: Certificates
) -> list[str]:
    """The whole command line of one node."""
    cluster = ",".join(f"{n.name}={peer_url(spec, state, n.name)}" for n in spec.nodes)
    clients, peers = client_url(spec, state, node.name), peer_url(spec, state, node.name)
    argv = [
        *program(spec),
        f"--name={node.name}",
        f"--data-dir={data_dir}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster={cluster}",
        "--initial-cluster-state=new",
        f"--initial-cluster-token={state.token}",
        f"--heartbeat-interval={spec.heartbeat_ms}",
        f"--election-timeout={spec.election_ms}",
    ]
    if spec.faults:
        argv.append("--enable-faults")
    return [*argv, *_tls_flags(spec, certs, node.name), *spec.flags, *node.flags]


def _tls_flags(spec: ClusterSpec, certs: Certificates, name: str) -> list[str]:
    pair = certs.pair(name)
    flags = []
    for prefix, kind in (("", spec.tls.clients), ("peer-", spec.tls.peers)):
        if kind != "off":
            flags += [f"--{prefix}cert-file={pair.cert}", f"--{prefix}key-file={pair.key}"]
        if kind == "mutual":
            flags += [f"--{prefix}client-cert-auth", f"--{prefix}trusted-ca-file={certs.ca}"]
    return flags


def node_env(spec: ClusterSpec, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a node: ours without ``ETCD_`` variables, which would clash with its
    flags.
    """
    env = {name: value for name, value in base.items() if not name.startswith("ETCD_")}
    env["PYTHONUNBUFFERED"] = "1"
    env.update(spec.env)
    return env

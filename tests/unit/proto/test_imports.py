"""Who imports what: the generated packages are only loaded when they are named."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = "import sys; print(' '.join(sorted(sys.modules)))"


def _modules_after(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter has loaded after the statement."""
    command = [sys.executable, "-c", f"{statement}; {LOADED}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["kvorum_proto", "kvorum_proto.wire", "kvorum_proto.schema"])
def test_nothing_but_the_standard_library(module: str) -> None:
    loaded = _modules_after(f"import {module}")
    assert module in loaded
    assert not {"betterproto2", "grpclib", "google.protobuf"} & loaded


def test_the_service_table_loads_no_messages() -> None:
    loaded = _modules_after("import kvorum_proto.services")
    assert not [name for name in loaded if name.startswith("kvorum_proto.") and name.endswith("pb")]


def test_a_client_never_loads_the_peer_protocol_nor_protobuf() -> None:
    put = "METHODS['/etcdserverpb.KV/Put']"
    loaded = _modules_after(
        "from kvorum_proto.services import METHODS;"
        "from kvorum_proto.codec import decode, encode;"
        f"encode(decode({put}.request, b''))"
    )
    assert "kvorum_proto.etcdserverpb" in loaded
    assert not {"kvorum_proto.kvorum", "google.protobuf", "grpc", "hypothesis"} & loaded


def test_descriptors_need_no_protobuf() -> None:
    loaded = _modules_after(
        "from kvorum_proto import descriptors as d; d.with_imports(d.file_of('etcdserverpb.KV'))"
    )
    assert not {"google.protobuf", "betterproto2"} & loaded

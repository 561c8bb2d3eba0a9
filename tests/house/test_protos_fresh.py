"""What is committed of kvorum_proto is what the sources in protos/ give today, byte for byte."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip(
    "grpc_tools", reason="regenerating needs grpcio-tools, a development dependency"
)

PROTOS = Path(__file__).resolve().parents[2] / "protos"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """protos/generate.py, which is a command and not part of a package."""
    spec = importlib.util.spec_from_file_location("protos_generate", PROTOS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fresh(generator: ModuleType) -> dict[str, bytes]:
    """What the generator makes now."""
    made: dict[str, bytes] = generator.generate()
    return made


def test_committed_files_are_fresh(generator: ModuleType, fresh: dict[str, bytes]) -> None:
    assert generator.stale(fresh) == [], "run: python protos/generate.py"


def test_staleness_is_noticed(
    generator: ModuleType, fresh: dict[str, bytes], tmp_path: Path
) -> None:
    """A changed, a missing and a left-over file are each named."""
    for name, data in fresh.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert generator.stale(fresh, tmp_path) == []
    (tmp_path / "names.py").write_text("changed")
    (tmp_path / "mvccpb/__init__.py").unlink()
    (tmp_path / "authpb/old.py").write_text("left over")
    assert generator.stale(fresh, tmp_path) == ["authpb/old.py", "mvccpb/__init__.py", "names.py"]


def test_every_source_is_generated_from(generator: ModuleType, fresh: dict[str, bytes]) -> None:
    schema = fresh["schema.py"].decode()
    found = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
    assert found == generator.proto_files()
    assert all(f'"{name}"' in schema for name in found)


def test_nothing_generated_names_a_place(fresh: dict[str, bytes]) -> None:
    assert [name for name, data in fresh.items() if str(PROTOS.parent).encode() in data] == []

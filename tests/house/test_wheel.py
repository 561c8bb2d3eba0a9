"""The wheel: what `pip install .` puts on a machine is enough to run the samples."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.sources import TOP


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    directory = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = directory.glob("*.whl")
    return zipfile.ZipFile(path)


def test_it_holds_the_three_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {
        "kvorum",
        "kvorum_proto",
        "kvorum_tui",
    }


def test_it_holds_what_is_no_python(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for package, folder in (("kvorum", "node"), ("kvorum_tui", "tui"), ("kvorum_proto", "protos")):
        for path in (TOP / folder / package).rglob("*"):
            if path.suffix in {".sql", ".tcss", ".binpb", ".typed"}:
                assert path.relative_to(TOP / folder).as_posix() in names


@pytest.mark.parametrize("sample", ["one", "three", "five"])
def test_it_holds_the_samples(wheel: zipfile.ZipFile, sample: str) -> None:
    for name in ("cluster.toml", "keys.jsonl", "README.md"):
        packed = wheel.read(f"kvorum/sample_clusters/{sample}/{name}")
        assert packed == (TOP / "sample_clusters" / sample / name).read_bytes()


def test_a_sample_is_found_by_name_where_only_the_wheel_is(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path / "installed")
    code = (
        "from kvorum.cluster.places import find_cluster_file as find\n"
        "from kvorum.cluster.file import read_cluster_file as read\n"
        "print(read(find('three')).keys)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    keys = Path(done.stdout.strip())
    assert keys.is_relative_to(tmp_path / "installed" / "kvorum" / "sample_clusters")

"""The sample clusters: found by path and by name, believable, fresh."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvorum.cluster.file import read_cluster_file
from kvorum.cluster.keys import read_keys
from kvorum.cluster.places import default_run_dir, find_cluster_file, sample_names, samples_dir
from kvorum.errors import ConfigError
from samples import generate

SAMPLES = {"one": 1, "three": 3, "five": 5}


def test_samples_are_found_by_name_and_by_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(SAMPLES) <= set(sample_names())
    for name in SAMPLES:
        path = samples_dir() / name / "cluster.toml"
        assert find_cluster_file(name) == path
        assert find_cluster_file(f"sample_clusters/{name}") == path
        assert find_cluster_file(str(path)) == path
        assert find_cluster_file(str(path.parent)) == path
    with pytest.raises(ConfigError, match=r"nor a sample .*five.*three"):
        find_cluster_file("seven")
    with pytest.raises(ConfigError, match=r"holds no cluster\.toml"):
        find_cluster_file(str(tmp_path))


def test_a_directory_of_that_name_wins_over_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "cluster.toml").write_text("", encoding="utf-8")
    assert find_cluster_file("three") == tmp_path / "three" / "cluster.toml"


def test_run_directories_are_apart() -> None:
    assert default_run_dir("a") != default_run_dir("b")
    assert default_run_dir("a").parent.name == "kvorum"


@pytest.mark.parametrize(("name", "nodes"), SAMPLES.items())
def test_a_sample_is_whole(name: str, nodes: int) -> None:
    spec = read_cluster_file(samples_dir() / name)
    assert (spec.name, spec.program, len(spec.nodes)) == (name, "kvorum", nodes)
    assert spec.keys is not None
    samples = read_keys(spec.keys)
    lasting = [s for s in samples if not s.deleted and not s.lease]
    assert len(lasting) >= 500
    keys = {s.key for s in samples}
    assert any(b"/" not in key for key in keys)
    assert any(not key.startswith(b"/") and b"/" in key for key in keys)
    assert any(not key.isascii() for key in keys)
    assert b"\xff\xfe\xfd" in keys
    assert any(len(s.values) > 3 for s in samples)
    assert any(s.values[-1] == b"" for s in samples)
    assert any(len(s.values[-1]) > 200_000 for s in samples)
    assert any(s.deleted for s in samples)
    assert len({s.lease for s in samples if s.lease}) > 20
    for suffix in (b".json", b".yaml", b".toml", b".md", b".bin", b".txt"):
        assert any(key.endswith(suffix) for key in keys) or name != "one", suffix


@pytest.mark.parametrize("name", SAMPLES)
def test_the_committed_keys_are_what_the_script_writes(name: str) -> None:
    committed = (samples_dir() / name / "keys.jsonl").read_text(encoding="utf-8")
    assert committed == generate.SAMPLES[name]()

"""Where cluster files are found, and where the run directories of their clusters lie."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import platformdirs

from kvorum.cluster.file import FILE_NAME
from kvorum.errors import ConfigError


def find_cluster_file(text: str) -> Path:
    """The cluster file meant by ``text``: a file, a directory with a ``cluster.toml``, or a
    sample's bare name.

    A sample is found in a checkout and in an installed wheel alike; ``sample_clusters/three``
    means the sample also where there is no such directory. Raises ConfigError that lists the
    samples.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return path.absolute()
    if (path / FILE_NAME).is_file():
        return (path / FILE_NAME).absolute()
    if path.is_dir():
        raise ConfigError(f"{path}: holds no {FILE_NAME}; create one or name another directory")
    parts = path.parts
    bare = parts[-1] if len(parts) == 1 or parts[:-1] == ("sample_clusters",) else None
    if bare is not None:
        found = samples_dir() / bare / FILE_NAME
        if found.is_file():
            return found
    raise ConfigError(
        f"{text}: neither a cluster file, nor a directory with a {FILE_NAME},"
        f" nor a sample (there are: {', '.join(sample_names())})"
    )


def samples_dir() -> Path:
    """The directory of sample clusters: inside the installed package, else at the top of the
    checkout.
    """
    package = Path(str(importlib.resources.files("kvorum")))
    installed = package / "sample_clusters"
    if installed.is_dir():
        return installed
    return package.parent.parent / "sample_clusters"


def sample_names() -> list[str]:
    """The names of the samples, sorted."""
    return sorted(p.parent.name for p in samples_dir().glob(f"*/{FILE_NAME}"))


def default_run_dir(name: str) -> Path:
    """The run directory of the cluster called ``name`` when none is given: in the user's data
    directory.
    """
    return Path(platformdirs.user_data_dir("kvorum", appauthor=False)) / name

"""The README's Python, run as it stands against a cluster (only the endpoint is another one)."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

from support.clusters import ClusterHandle
from support.sources import TOP


def test_the_python_of_the_readme_runs(kvorum_cluster: Callable[..., ClusterHandle]) -> None:
    page = (TOP / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    cluster = kvorum_cluster(1)
    assert "http://127.0.0.1:2379" in code
    done = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:2379", cluster.endpoints[0])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout

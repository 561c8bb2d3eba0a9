"""One configuration file, two programs: the sample starts kvorum and etcd alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from api.gateway.raw import post, send
from support.clusters import wait_until
from support.ports import free_ports
from support.programs import need_program

SAMPLE = Path(__file__).parents[2] / "sample_clusters" / "node.yml"


def ready(url: str) -> bool:
    try:
        with send(url, "GET", "/health") as answer:
            return answer.json() == {"health": "true", "reason": ""} or answer.status == 200
    except OSError:
        return False


@pytest.mark.parametrize("program", ["kvorum", "etcd"])
def test_the_sample_starts_a_node(program: str, tmp_path: Path) -> None:
    client, peer, metrics = free_ports(3)
    text = SAMPLE.read_text(encoding="utf-8")
    for before, port in (("2379", client), ("2380", peer), ("2381", metrics)):
        text = text.replace(f"127.0.0.1:{before}", f"127.0.0.1:{port}")
    (tmp_path / "node.yml").write_text(text, encoding="utf-8")
    words = [sys.executable, "-m", "kvorum", "serve"]
    if program == "etcd":
        words = [need_program("etcd")]
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            # With a file, flags and variables are passed over.
            [*words, "--config-file=node.yml", "--name=flagged", "--max-txn-ops=1"],
            cwd=tmp_path,
            env={**os.environ, "ETCD_ELECTION_TIMEOUT": "7000"},
            stdout=out,
            stderr=out,
        )
    try:
        url = f"http://127.0.0.1:{client}"
        wait_until(lambda: ready(url) or process.poll() is not None, "a node that is ready")
        assert process.poll() is None, log.read_text()
        (member,) = post(url, "/v3/cluster/member/list", {})[1]["members"]
        assert (member["name"], member["clientURLs"]) == ("n1", [url])
        put = {"request_put": {"key": "YQ=="}}
        other = {"request_put": {"key": "Yg=="}}
        assert post(url, "/v3/kv/txn", {"success": [put, other]})[0] == 200
        assert (tmp_path / "n1.etcd").is_dir()
        with send(f"http://127.0.0.1:{metrics}", "GET", "/metrics") as answer:
            assert "etcd_server_quota_backend_bytes 2.147483648e+09" in answer.body().decode()
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    if program == "kvorum":
        assert code == 0
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        loaded = (
            "loaded server configuration from node.yml; other flags and environment variables are "
            "ignored"
        )
        assert [line["level"] for line in lines if line["msg"] == loaded] == ["warn"]

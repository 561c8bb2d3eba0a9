"""Other people's HTTP/2 against our server, on either HTTP/2: libnghttp2 in h2load, nghttp and
curl.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from kvorum.http2.messages import frame
from kvorum_proto.etcdserverpb import PutRequest
from unit.http2.test_server import UNARY, Running, with_server

GRPC = ("-H", "content-type: application/grpc", "-H", "te: trailers")


async def run(*command: str) -> str:
    """What a program says, all of it. It must end well."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    text = out.decode(errors="replace")
    assert process.returncode == 0, text
    return text


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"needs {name}")


@needs("h2load")
@pytest.mark.parametrize("size", [10, 100_000])
def test_h2load(tmp_path: Path, size: int) -> None:
    body = tmp_path / "body"
    body.write_bytes(frame(bytes(PutRequest(key=b"k", value=bytes(size)))))

    async def test(server: Running) -> None:
        url = f"http://127.0.0.1:{server.port}{UNARY}"
        out = await run("h2load", "-n200", "-c4", "-m10", "-d", str(body), *GRPC, url)
        assert "200 succeeded, 0 failed, 0 errored" in out
        assert "200 2xx" in out

    with_server(test)


@needs("nghttp")
def test_nghttp(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(frame(bytes(PutRequest(key=b"k"))))

    async def test(server: Running) -> None:
        url = f"http://127.0.0.1:{server.port}{UNARY}"
        # With padding, priorities and a small window of its own.
        out = await run("nghttp", "-v", "-b7", "-w10", "-W10", "-d", str(body), *GRPC, url)
        assert "grpc-status: 0" in out
        assert "Connection error" not in out

    with_server(test)


@needs("curl")
def test_curl(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(frame(bytes(PutRequest(key=b"k", value=bytes(70_000)))))

    async def test(server: Running) -> None:
        url = f"http://127.0.0.1:{server.port}{UNARY}"
        out = await run(
            *("curl", "-sS", "-v", "-o", str(tmp_path / "answer"), "--http2-prior-knowledge"),
            *("--data-binary", f"@{body}", *GRPC, url),
        )
        assert "grpc-status: 0" in out
        assert len((tmp_path / "answer").read_bytes()) > 70_000

    with_server(test)

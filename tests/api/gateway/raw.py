"""HTTP/1.1 over a socket, with nothing in between that could be kind."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

PATIENCE_S = 30.0


class Answer:
    """One response, read as far as the caller reads it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._seen = b""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines if x)
        }

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave, whether everything was read or not."""
        self._sock.close()

    def _more(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise EOFError(f"the connection ended after {self._seen[-100:]!r}")
        self._seen += data

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._seen:
            self._more()
        found, _, self._seen = self._seen.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._seen) < size:
            self._more()
        found, self._seen = self._seen[:size], self._seen[size:]
        return found

    @property
    def is_chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.headers.get("transfer-encoding", "") == "chunked"

    def chunks(self) -> Iterator[bytes]:
        """The chunks as they were sent."""
        while size := int(self._until(b"\r\n"), 16):
            yield self._exactly(size)
            assert self._exactly(2) == b"\r\n"

    def documents(self) -> Iterator[Any]:
        """The JSON document of each chunk: whole, and with its line's end."""
        for chunk in self.chunks():
            assert chunk.endswith(b"}\n")
            yield json.loads(chunk)

    def body(self) -> bytes:
        """All of it."""
        if self.is_chunked:
            return b"".join(self.chunks())
        return self._exactly(int(self.headers.get("content-length", "0")))

    def json(self) -> Any:
        """The body as a document."""
        return json.loads(self.body())


def send(
    url: str,
    method: str,
    path: str,
    body: bytes | object = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask and wait for the head of the answer. A body that is not bytes is sent as JSON."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    sock.sendall("\r\n".join([*lines, "", ""]).encode() + data)
    return Answer(sock)


def post(url: str, path: str, body: bytes | object = b"", **headers: str) -> tuple[int, Any]:
    """The status and the document of a call with one answer."""
    with send(url, "POST", path, body, headers) as answer:
        return answer.status, answer.json()

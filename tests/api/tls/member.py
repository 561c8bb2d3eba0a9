"""One member in a thread of its own, and clients that speak TLS by hand."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

from kvorum import config
from kvorum.api.registry import client_services
from kvorum.client import TLS, Client
from kvorum.config import NodeConfig
from kvorum.server.crash import Crash
from kvorum.server.member import Member
from support.authority import Authority, Identity
from support.ports import free_ports

PATIENCE_S = 30.0
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


class MemberThread:
    """A running member: ``https`` for clients and peers, and one plain port for metrics."""

    def __init__(self, directory: Path, flags: Sequence[str], peers: str = "https") -> None:
        self.client_port, self.peer_port, self.plain_port, self.metrics_port = free_ports(4)
        client = f"https://127.0.0.1:{self.client_port}"
        peer = f"{peers}://127.0.0.1:{self.peer_port}"
        metrics = f"http://127.0.0.1:{self.plain_port},https://127.0.0.1:{self.metrics_port}"
        loaded = config.load(
            [
                f"--data-dir={directory}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                f"--listen-metrics-urls={metrics}",
                "--heartbeat-interval=20",
                "--election-timeout=200",
                *flags,
            ],
            {},
        )
        assert isinstance(loaded, NodeConfig)
        self.config = loaded
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="member")

    def __enter__(self) -> MemberThread:
        self._thread.start()
        assert self._started.wait(PATIENCE_S), "the member does not come up"
        if self._failed is not None:
            self._thread.join()
            raise self._failed
        return self

    def __exit__(self, *what: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the member does not stop"
        assert self._crashes == []

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failed = error
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._crashes: list[BaseException] = []
        crash = Crash(lambda error, code: self._crashes.append(error))
        member = Member(self.config, client_services, crash)
        try:
            member.bind()
            await member.start()
            serving = asyncio.ensure_future(member.serve())
            await member.wait_ready()
            self.member = member
            self._started.set()
            await self._stopping.wait()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        finally:
            await member.stop()

    @property
    def url(self) -> str:
        """The client URL."""
        return f"https://127.0.0.1:{self.client_port}"

    def serves(self, tls: TLS) -> None:
        """Fails unless a client with these certificates can write and read, anew."""

        async def use() -> None:
            async with Client(self.url, tls=tls) as client:
                await client.put("still", "here")
                assert (await client.get("still")).value == b"here"

        asyncio.run(use())


def context(
    authority: Authority | None,
    shown: Identity | None = None,
    *,
    low: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    high: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ciphers: str = "",
    alpn: Sequence[str] = ("h2",),
) -> ssl.SSLContext:
    """The client side of a handshake; without an authority nothing is checked."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    else:
        made.load_verify_locations(authority.file)
    if low < ssl.TLSVersion.TLSv1_2:
        # Otherwise this side's own policy would refuse before the server is asked.
        made.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        # That such versions are not to be used is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version, made.maximum_version = low, high
    if ciphers:
        made.set_ciphers(ciphers)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if shown is not None:
        made.load_cert_chain(shown.cert, shown.key)
    return made


def attempt(port: int, made: ssl.SSLContext, *, first: bytes = H2_PREFACE) -> str:
    """Shake hands, speak HTTP/2, and wait for what the server does: the words of the error that
    ended it, "closed" when there was none, "served" when the server answered.
    """
    try:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_S) as raw,
            made.wrap_socket(raw, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(first)
            return "served" if secure.recv(1) else "closed"
    except ssl.SSLError as error:
        return str(error.reason or error)
    except ConnectionError:
        return "closed"


def say(port: int, data: bytes) -> bytes:
    """Send bytes without TLS; everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as raw:
        raw.sendall(data)
        answer = b""
        try:
            while part := raw.recv(4096):
                answer += part
        except ConnectionError:
            pass
        return answer

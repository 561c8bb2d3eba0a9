"""A member's listening sockets, and the certificates shown on them.

All are taken before anything else begins: a port that is taken and a certificate file that is wrong
are the first things a wrong configuration says.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from kvorum.config import NodeConfig
from kvorum.server.listener import bind
from kvorum.server.tls import TlsPort
from kvorum.urls import Url


class Doors:
    """The sockets of one member by what they are for: peers, clients, metrics, http."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self.peers: list[socket.socket] = []
        self.clients: list[socket.socket] = []
        self.metrics: list[socket.socket] = []
        # With --listen-client-http-urls the client port is gRPC's alone.
        self.http: list[socket.socket] = []
        # Those among them that TLS comes to.
        self.secure: list[socket.socket] = []
        self.client_tls: TlsPort
        self.peer_tls: TlsPort

    def open(self) -> None:
        """Read the certificates and take the ports. ConfigError when one cannot be had."""
        config = self._config
        client_side = (
            *config.listen_client_urls,
            *config.listen_client_http_urls,
            *config.listen_metrics_urls,
        )
        self.client_tls = TlsPort(config.client_tls, config.data_dir, client_side)
        self.peer_tls = TlsPort(config.peer_tls, config.data_dir, config.listen_peer_urls)
        try:
            # Nobody may connect to the peer port before it can answer: a member that asks there
            # whether it ran before (see joining) would wait for an answer.
            self._bind(self.peers, config.listen_peer_urls, listen=False)
            self._bind(self.clients, config.listen_client_urls)
            self._bind(self.metrics, config.listen_metrics_urls)
            self._bind(self.http, config.listen_client_http_urls)
            self._check_certificates(client_side)
        except BaseException:
            self.close()
            raise

    def _bind(self, into: list[socket.socket], urls: Iterable[Url], *, listen: bool = True) -> None:
        for url in urls:
            sockets = bind([url], listen=listen, reuse_port=self._config.reuse_port)
            into.extend(sockets)
            if url.is_secure:
                self.secure.extend(sockets)

    def _check_certificates(self, client_side: Iterable[Url]) -> None:
        """What is wrong with a file is said now, not to the first who connects."""
        config = self._config
        listens = any(url.is_secure for url in config.listen_peer_urls)
        others = [url for _, urls in config.initial_cluster for url in urls]
        dials = listens or any(url.is_secure for url in others)
        self.client_tls.check(listens=any(url.is_secure for url in client_side), dials=False)
        self.peer_tls.check(listens=listens, dials=dials)

    def close(self) -> None:
        """Give every port back."""
        for sock in (*self.peers, *self.clients, *self.metrics, *self.http):
            sock.close()

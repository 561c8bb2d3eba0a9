"""Ports of this machine for processes that tests start."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nobody listens on now, each another."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()

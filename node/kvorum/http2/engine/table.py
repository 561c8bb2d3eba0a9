"""HPACK's tables of headers (RFC 7541, sections 2.3 and 4, appendix A). Texts are latin-1: every
byte is a character.
"""

from __future__ import annotations

from collections import deque

Header = tuple[str, str]

# What an entry counts beyond its letters.
ENTRY_OVERHEAD_BYTES = 32

_STATIC_TEXT = """
:authority;:method GET;:method POST;:path /;:path /index.html;:scheme http;:scheme https
:status 200;:status 204;:status 206;:status 304;:status 400;:status 404;:status 500
accept-charset;accept-encoding gzip, deflate;accept-language;accept-ranges;accept
access-control-allow-origin;age;allow;authorization;cache-control;content-disposition
content-encoding;content-language;content-length;content-location;content-range;content-type
cookie;date;etag;expect;expires;from;host;if-match;if-modified-since;if-none-match;if-range
if-unmodified-since;last-modified;link;location;max-forwards;proxy-authenticate
proxy-authorization;range;referer;refresh;retry-after;server;set-cookie
strict-transport-security;transfer-encoding;user-agent;vary;via;www-authenticate
"""


def _static() -> tuple[Header, ...]:
    entries = _STATIC_TEXT.strip().replace("\n", ";").split(";")
    return tuple((name, value) for name, _, value in (e.partition(" ") for e in entries))


STATIC = _static()
"""Index 1 is the first."""

STATIC_ENTRIES = len(STATIC)


def entry_bytes(name: str, value: str) -> int:
    """What an entry counts."""
    return len(name) + len(value) + ENTRY_OVERHEAD_BYTES


class DynamicTable:
    """Headers of this connection, the newest first.

    Args:
        max_bytes: its capacity.
    """

    __slots__ = ("entries", "max_bytes", "size_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self.entries: deque[Header] = deque()

    def add(self, header: Header) -> None:
        """Put a header in front; old ones give way. One that is too large empties the table."""
        self.size_bytes += entry_bytes(*header)
        self.entries.appendleft(header)
        self._shrink()

    def resize(self, max_bytes: int) -> None:
        """Change the capacity."""
        self.max_bytes = max_bytes
        self._shrink()

    def _shrink(self) -> None:
        while self.size_bytes > self.max_bytes:
            self.size_bytes -= entry_bytes(*self.entries.pop())

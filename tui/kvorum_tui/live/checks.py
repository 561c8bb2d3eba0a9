"""Asking one member at a time; see :mod:`kvorum_tui.session.checks`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from kvorum.client import TLS, Client, ClientError
from kvorum.client.dialler import Dialler
from kvorum.client.web import shown_certificate
from kvorum.errors import Code

from kvorum_tui.live.errors import session_error, translated
from kvorum_tui.live.metrics import Metrics
from kvorum_tui.live.records import event_of, record_of
from kvorum_tui.model.records import KeyEvent, LogEntryView
from kvorum_tui.session import SessionError
from kvorum_tui.session.checks import Certificate, HeldPage, MemberHash

HASH_S = 30.0  # A hash reads the whole store of the member.
PAGE_S = 15.0
CHANGES_S = 3.0


class LiveChecks:
    """:class:`kvorum_tui.session.checks.Checks` over a client."""

    def __init__(
        self, client: Callable[[], Client], tls: TLS | None, *, tunnelled: bool = False
    ) -> None:
        self._client = client
        self._tls = tls
        self._tunnelled = tunnelled

    async def hash_kv(self, endpoint: str, revision: int) -> MemberHash:
        """One call."""
        with translated():
            told = (
                await self._client()
                .member(endpoint)
                .maintenance.hash_kv(revision, timeout_s=HASH_S)
            )
        return MemberHash(told.hash, told.compact_revision, revision or told.header.revision)

    async def held(
        self, endpoint: str, start: bytes, end: bytes, revision: int, limit: int, values: bool
    ) -> HeldPage:
        """A serializable read; fewer keys than asked for where they are too large for one
        answer.
        """
        while True:
            try:
                found = (
                    await self._client()
                    .member(endpoint)
                    .range(
                        start or b"\0",
                        end or b"\0",
                        revision=revision,
                        limit=limit,
                        keys_only=not values,
                        serializable=True,
                        timeout_s=PAGE_S,
                    )
                )
            except ClientError as error:
                if error.code is not Code.RESOURCE_EXHAUSTED or limit <= 1:
                    raise session_error(error) from error
                limit //= 2
            else:
                held = tuple(record_of(kv, one_member=True) for kv in found.kvs)
                return HeldPage(held, found.more, found.count)

    async def changes(self, endpoint: str, revision: int) -> tuple[KeyEvent, ...]:
        """The start of a watch at the member."""
        watch = (
            self._client()
            .member(endpoint)
            .watch(b"", prefix=True, start_revision=revision, prev_kv=True)
        )
        found: list[KeyEvent] = []
        with translated():
            try:
                async with asyncio.timeout(CHANGES_S):
                    async for batch in watch.batches():
                        here = [e for e in batch.events if e.kv.mod_revision == revision]
                        found += map(event_of, here)
                        if len(here) < len(batch.events) or batch.revision > revision:
                            break
            except TimeoutError:
                pass  # Nothing came after that revision, so what came is all there is.
            finally:
                watch.close()
        return tuple(found)

    async def log(self, endpoint: str, first: int, limit: int) -> tuple[LogEntryView, ...]:
        """From the Inspect service."""
        with translated():
            told = await self._client().member(endpoint).inspect.log(first, limit=limit)
        return tuple(LogEntryView(e.index, e.term, e.summary, e.bytes) for e in told.entries)

    async def certificate(self, endpoint: str) -> Certificate | None:
        """From a handshake of its own."""
        if urlsplit(endpoint).scheme != "https":
            return None
        try:
            shown = await shown_certificate(endpoint, self._tls, self._dialler)
        except (OSError, TimeoutError, ValueError) as error:
            raise SessionError(str(error) or "no answer", endpoint, "TLS handshake") from error
        if not shown:
            return None
        from cryptography import x509  # Slow to import.

        told = x509.load_der_x509_certificate(shown)
        return Certificate(
            told.subject.rfc4514_string(),
            told.issuer.rfc4514_string(),
            told.not_valid_after_utc.timestamp(),
        )

    def scraping(self, endpoint: str) -> Metrics:
        """The member's ``/metrics``, asked again and again while it is entered."""
        return Metrics(endpoint, self._tls, self._dialler)

    @property
    def _dialler(self) -> Dialler | None:
        return self._client().dialler if self._tunnelled else None

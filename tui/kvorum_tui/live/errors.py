"""The client's errors as the terminal's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kvorum.client import ClientError, ReadOnlyError, UnknownOutcome

from kvorum_tui.session import ReadOnly, SessionError


def session_error(error: ClientError) -> SessionError:
    """A client's error as the terminal shows it."""
    rpc = error.rpc.strip("/").rpartition(".")[2]
    kind = ReadOnly if isinstance(error, ReadOnlyError) else SessionError
    return kind(
        error.message, error.endpoint, rpc, error.code.name, isinstance(error, UnknownOutcome)
    )


@contextmanager
def translated() -> Iterator[None]:
    """Within it, what the client raises comes out as a ``SessionError``."""
    try:
        yield
    except ClientError as error:
        raise session_error(error) from error

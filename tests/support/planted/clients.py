"""Mistakes of clients."""

from __future__ import annotations

from typing import Any

import pytest
from kvorum.client import caller

Patch = pytest.MonkeyPatch


def writes_of_unknown_fate_sent_again(patch: Patch) -> None:
    """A write that may have been carried out is sent once more."""
    original = caller.after

    def after(failure: Any, **circumstances: Any) -> Any:
        return original(failure, **{**circumstances, "repeatable": True})

    patch.setattr(caller, "after", after)

"""Where unfinished plans are kept; what is in the files is :mod:`kvorum_tui.model.plan_store`'s."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def default_folder() -> Path:
    """``$KVORUM_PLANS``, or ``plans`` in the state folder of the user."""
    given = os.environ.get("KVORUM_PLANS")
    return Path(given) if given else platformdirs.user_state_path("kvorum") / "plans"

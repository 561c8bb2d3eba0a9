"""The third part of this tree's fresh seeds; see ``test_seeds``."""

from __future__ import annotations

import pytest
from support import seeds


@pytest.mark.parametrize("offset", seeds.batches(2))
def test_seeds_hold(offset: int) -> None:
    seeds.hold(offset)

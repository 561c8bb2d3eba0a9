"""Item 13: what releases have written, read by this tree.

The data directories are those of :mod:`disk.released`, which every commit starts as well; here each
is killed and started many times in a row. A cluster of mixed versions needs an earlier release.
"""

from __future__ import annotations

import asyncio

from disk import released
from disk.test_releases import started
from kvorum import __version__

from release.gate import Deadline, State, slice
from release.goals import AtLeast

_STARTS = 10


@slice(
    "upgrade",
    "data directories of each release start, ten times in a row, and match their digest; a mixed "
    "cluster passes 1,000 checked operations",
    (13,),
    [AtLeast("starts/*", _STARTS)],
)
def run(state: State, until: Deadline) -> None:
    """Release after release."""
    for name in released.names():
        state.add(f"starts/{name}", 0)
        with state.scratch() as place:
            expected = released.unpack(name, place)
            index, digest = expected.pop("applied_index"), int(expected.pop("digest"), 16)
            for number in range(_STARTS):
                if until.over() or state.count(f"starts/{name}") >= _STARTS:
                    break
                found, digests = asyncio.run(started(place))
                assert found == expected, f"{name} holds {found}, not {expected}"
                assert number or digests[index] == digest, f"{name}: another digest at {index}"
                state.add(f"starts/{name}")
    earlier = [name for name in released.names() if name != __version__]
    if not earlier:
        state.fact("mixed", f"{__version__} is the first release: nothing to mix it with")

"""Two members that apply the same entries, one of which starts anew from a snapshot now and then:
they must not differ in what they accept, nor in the revisions that follow from it.
"""

from __future__ import annotations

import pytest
from unit.machine.script import run_script

# Where a restart may come: after a deletion, after a window that is gone, after a change of rights.
_ENTRIES = """\
put a 1
put b 1
put c 1
del c
RESTART
put d 1
txn
  then get a z rev=2
  then put e 1
user-add root secret
user-grant root root
auth-enable
as root
put f 1
RESTART
user-add alice pw
as root rev=3
put g 1
as root
put g 2
"""
_AGREED = ("event ", "at revision ", "refused: ", "on, ", "off, ")


def restarted_twin(patch: pytest.MonkeyPatch) -> None:
    """A member that starts anew from its snapshots agrees with one that never stops."""

    def outcomes(restart: str) -> list[str]:
        trace = run_script(_ENTRIES.replace("RESTART\n", restart), patch)
        return [line for line in map(str.strip, trace.splitlines()) if line.startswith(_AGREED)]

    one, other = outcomes(""), outcomes("image\n")
    assert len(one) > 15
    for left, right in zip(one, other, strict=True):
        assert left == right, f"the twins differ: {left!r} and {right!r}"

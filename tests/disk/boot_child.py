"""A process that makes the data of a new member, and dies at the failpoint it is told.

Arguments: data directory, the failpoint at which to die.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kvorum.config import NodeConfig
from kvorum.failpoints import Failpoints, parse
from kvorum.machine.members import Member
from kvorum.server import boot
from kvorum.storage.interface import WalMetadata

MEMBERS = (Member(2, "default", ("http://127.0.0.1:1",)),)
FIRST = boot.FirstMembers(WalMetadata(1, 2), MEMBERS)


def main() -> None:
    directory, point = Path(sys.argv[1]), sys.argv[2]
    failpoints = Failpoints(parse(f"{point}=crash"))
    boot.find(boot.DataDir(NodeConfig(data_dir=directory)), FIRST, failpoint=failpoints.hit)


if __name__ == "__main__":
    main()

"""Prints what requests cost a server in calls of functions, and with ``--write`` makes that the
budget: ``python tests/bench/budget.py [--write]``. With a request's name, the functions called.

``tests/api/test_budget.py`` fails when a request costs over 5 % more than ``budget.toml`` says.
Whoever makes something cheaper, or dearer for a reason, writes it anew in the same change.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.budget import FILE, Found, agreement, budgets, requests

_TRIES = 40
_HEAD = """\
# Calls of functions that one request costs the server's event loop; agree_on: all three nodes.
# Written by `python tests/bench/budget.py --write`; held by tests/api/test_budget.py.
[calls]
"""


async def _all(directory: Path) -> Found:
    return {**await requests(directory, {}, _TRIES), **await agreement({}, _TRIES)}


def main() -> None:
    """Measure, compare, write."""
    before = budgets() if FILE.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        found = asyncio.run(_all(Path(name)))
    for what, by_function in found.items():
        print(f"{what:<16} {by_function.total():6,d}   budget {before.get(what, 0):6,d}")
        if what in sys.argv[1:]:
            for function, calls in by_function.most_common():
                print(f"    {calls:5,d}  {function}")
    if "--write" in sys.argv[1:]:
        lines = [f"{what} = {calls.total()}" for what, calls in found.items()]
        FILE.write_text(_HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
    # An interpreter that used DuckDB ends with pages of its bindings' own leaks, below all that.
    sys.stdout.flush()
    os._exit(0)

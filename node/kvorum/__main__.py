"""``python -m kvorum``: the same as the ``kvorum`` command."""

from __future__ import annotations

from kvorum.cli import main

main()

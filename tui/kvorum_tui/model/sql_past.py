"""The queries of earlier: a file of JSON lines in the folder for the state of programs, or what
``$KVORUM_SQL_HISTORY`` names; ``off`` keeps nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import platformdirs
from kvorum.files import replace_file

KEPT = 500
LONGEST = 65_536


def history_path() -> Path | None:
    """Where they are kept; None when they are not."""
    given = os.environ.get("KVORUM_SQL_HISTORY")
    if given == "off":
        return None
    return Path(given) if given else platformdirs.user_state_path("kvorum") / "sql.jsonl"


class SqlHistory:
    """Queries, oldest first, and a place in them to walk from. What was being written when one
    begins to walk is found again at its end.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.queries: list[str] = []
        self._at = 0
        self._draft = ""

    def load(self) -> None:
        """Read what is kept; what cannot be read is left out."""
        if self.path is None:
            return
        try:
            lines = self.path.read_text("utf-8").splitlines()[-KEPT:]
        except (OSError, UnicodeDecodeError):
            return
        found = []
        for line in lines:
            try:
                query = json.loads(line)
            except ValueError:
                continue
            if isinstance(query, str):
                found.append(query)
        self.queries = found
        self._at = len(found)

    def add(self, query: str) -> None:
        """A query was run. Raises OSError when it cannot be kept."""
        query = query.strip()
        self._at = len(self.queries)
        if not query or len(query) > LONGEST or self.queries[-1:] == [query]:
            return
        self.queries = [*self.queries, query][-KEPT:]
        self._at = len(self.queries)
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(q) + "\n" for q in self.queries)
        replace_file(self.path, text, private=True)

    def walk(self, by: int, shown: str) -> str | None:
        """The query before (-1) or after (1) the one that is shown; None when there is none."""
        if self._at == len(self.queries):
            self._draft = shown
            if by < 0 and self.queries[-1:] == [shown.strip()]:
                self._at -= 1  # It is shown already.
        at = self._at + by
        if not 0 <= at <= len(self.queries):
            return None
        self._at = at
        return self._draft if at == len(self.queries) else self.queries[at]

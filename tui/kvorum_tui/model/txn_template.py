"""Templates of transactions: etcdctl's text with variables.

``$name`` is asked for; ``$name.value``, ``.mod``, ``.create``, ``.version`` and ``.lease`` are what
the key has that ``$name`` says. A value is put in the way the text quotes it, so that no value can
end its quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kvorum.client.txn_text import quote

from kvorum_tui.model.decode import key_from_text
from kvorum_tui.model.records import KeyRecord

_VARIABLE = re.compile(
    r"\$(?P<name>[A-Za-z_]\w*)(?:\.(?P<field>value|mod|create|version|lease)\b)?"
)


class TemplateError(ValueError):
    """A template that cannot be filled; the text says why."""


def variables(text: str) -> list[str]:
    """The names that are asked for, each once."""
    return list(dict.fromkeys(match["name"] for match in _VARIABLE.finditer(text)))


def keys_read(text: str) -> list[str]:
    """The names whose key has to be read, each once."""
    found = (match["name"] for match in _VARIABLE.finditer(text) if match["field"])
    return list(dict.fromkeys(found))


def fill(text: str, values: Mapping[str, str], records: Mapping[str, KeyRecord | None]) -> str:
    """Put values in. ``records``: by name, the key that it says, or None when there is none.

    Raises :class:`TemplateError`.
    """

    def said(match: re.Match[str]) -> str:
        name, field = match["name"], match["field"]
        if name not in values:
            raise TemplateError(f"${name} has no value")
        if field is None:
            return quote(key_from_text(values[name]))[1:-1]
        record = records.get(name)
        if field == "value":
            if record is None:
                raise TemplateError(f"there is no key {values[name]}, so it has no value")
            return quote(record.value)[1:-1]
        if record is None:
            return "0"
        number = {
            "mod": record.mod_revision,
            "create": record.create_revision,
            "version": record.version,
            "lease": record.lease,
        }[field]
        return f"{number:x}" if field == "lease" else str(number)

    return _VARIABLE.sub(said, text)

"""``kvorum --spec``: what programs read instead of help."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from api.client.commands import kvorum
from kvorum.cli import VERBS


def commands(table: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, told in table.items():
        yield f"{path}{name}", told
        yield from commands(told.get("commands", {}), f"{path}{name} ")


def test_every_verb_and_option_is_told() -> None:
    done = kvorum("--spec")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.text)
    assert told["spec"] == 1
    assert told["exit_codes"]["2"] == "no member could be reached"
    assert set(told["commands"]) == set(VERBS)
    found = dict(commands(told["commands"]))
    get = {each["name"]: each for each in found["get"]["parameters"]}
    assert get["endpoints"]["variables"] == ["KVORUM_ENDPOINTS", "ETCDCTL_ENDPOINTS"]
    assert get["write_out"]["choices"] == ["simple", "json", "table"]
    assert get["key"]["kind"] == "argument" and get["key"]["required"]
    assert "lease grant" in found and "drill run" in found
    for name, command in found.items():
        assert command["help"], name
        assert command["usage"].startswith("kvorum"), name
        for parameter in command["parameters"]:
            assert parameter["kind"] == "argument" or parameter["help"], (name, parameter)

"""``kvorum serve``: however a node ends, its log says why."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from kvorum.cli import serve
from kvorum.config import NodeConfig
from kvorum.config_log import LogConfig
from kvorum.errors import ConfigError
from kvorum.server.crash import Exit


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The command sets up the log of the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (BrokenPipeError(32, "Broken pipe"), Exit.UNFORESEEN, "BrokenPipeError"),
        (KeyError("of all things"), Exit.UNFORESEEN, "of all things"),
        (ConfigError("a port is taken"), 1, "a port is taken"),
    ],
)
def test_no_end_is_silent(
    error: Exception, code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(config: NodeConfig) -> int:
        raise error

    monkeypatch.setattr(serve, "_loop_run", fails)
    log = tmp_path / "log"
    config = NodeConfig(log=LogConfig(outputs=(str(log),)))

    @click.command()
    def command() -> None:
        raise SystemExit(serve.run(config))

    # As a command, because the library of commands has a way of its own with broken pipes.
    with pytest.raises(SystemExit) as caught:
        command.main([])
    assert caught.value.code == code
    line = json.loads(log.read_text().splitlines()[-1])
    assert line["level"] == "fatal"
    assert told in line["msg"] + line.get("stacktrace", "")

"""The node's log: lines of JSON with the keys that etcd's have, or lines for people.

A record's ``extra`` fields become keys of their own. Values that hold secrets must not be logged at
all: nothing here can know them.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

from kvorum.config_log import LogConfig
from kvorum.server.logfiles import RotatingFile

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "dpanic": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
_NAMES = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warn",
    logging.ERROR: "error",
    logging.CRITICAL: "fatal",
}
# What every record has; anything else was passed as ``extra``.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def _timestamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _caller(record: logging.LogRecord) -> str:
    path = Path(record.pathname)
    return f"{path.parent.name}/{path.name}:{record.lineno}"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: level, ts, caller, msg, then the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        line: dict[str, object] = {
            "level": _NAMES.get(record.levelno, "info"),
            "ts": _timestamp(record),
            "caller": _caller(record),
            "msg": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["stacktrace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class ConsoleFormatter(logging.Formatter):
    """Lines for people: time, level, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items())
        level = _NAMES.get(record.levelno, "info")
        text = f"{_timestamp(record)} {level:5} {record.getMessage()}{fields}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def set_up(config: LogConfig) -> None:
    """Send the process's log where the configuration says. OSError when a file cannot be opened."""
    root = logging.getLogger()
    root.setLevel(_LEVELS[config.level])
    formatter = JsonFormatter() if config.format == "json" else ConsoleFormatter()
    handlers: list[logging.Handler] = []
    for output in dict.fromkeys(config.outputs):
        if output in ("stderr", "systemd/journal"):
            # Under systemd the journal is what reads stderr.
            handlers.append(logging.StreamHandler(sys.stderr))
        elif output == "stdout":
            handlers.append(logging.StreamHandler(sys.stdout))
        elif config.rotation is not None:
            handlers.append(RotatingFile(Path(output), config.rotation))
        else:
            handlers.append(logging.FileHandler(output))
    for handler in handlers:
        handler.setFormatter(formatter)
    root.handlers[:] = handlers
    # These speak of every frame and every cancelled call; a node has its own words for what
    # matters.
    for name in ("hpack", "h2", "grpclib", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("grpclib").setLevel(logging.CRITICAL)

"""Where the log goes, how it looks, and when a file of it is turned over."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kvorum.errors import ConfigError
from kvorum.flags import Settings

_STREAMS = ("default", "stderr", "stdout", "systemd/journal")
# zap is the form of the lines here, too; capnslog was 3.4's default and says nothing else.
_LOGGERS = ("zap", "capnslog")
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Rotation:
    """When a log file is turned over, and how many old ones are kept (0: all)."""

    max_bytes: int = 100 * _MIB
    max_age_days: int = 0
    max_backups: int = 0
    local_time: bool = False
    compress: bool = False


@dataclass(frozen=True)
class LogConfig:
    """Where the log goes and how it looks. ``rotation`` is of the one file among the outputs."""

    level: str = "info"
    format: str = "json"
    outputs: tuple[str, ...] = ("stderr",)
    rotation: Rotation | None = None


def read_log(s: Settings) -> LogConfig:
    """The log's settings. ConfigError in etcd's words."""
    logger = s.text("logger")
    if logger not in _LOGGERS:
        raise ConfigError(f'unknown logger option "{logger}"')
    outputs = [word.strip() for word in s.text("log-outputs").split(",") if word.strip()]
    if "default" in outputs and len(outputs) > 1:
        raise ConfigError('multi logoutput for "default" is not supported yet')
    return LogConfig(
        level="debug" if s.boolean("debug") else s.text("log-level"),
        format="json" if s.text("log-format") == "json" else "console",
        outputs=tuple("stderr" if out == "default" else out for out in outputs) or ("stderr",),
        rotation=_rotation(s, outputs) if s.boolean("enable-log-rotation") else None,
    )


def _rotation(s: Settings, outputs: list[str]) -> Rotation:
    if sum(output not in _STREAMS for output in outputs) != 1:
        raise ConfigError(
            "--log-outputs requires a single file path when --log-rotate-config-json is defined"
        )
    try:
        told = json.loads(s.text("log-rotation-config-json"))
    except ValueError as exc:
        raise ConfigError(f"improperly formatted log rotation config: {exc}") from None
    if not isinstance(told, dict):
        raise ConfigError("invalid log rotation config: a JSON object is expected")
    return Rotation(
        # lumberjack, which etcd uses, takes 0 for its default of 100 MiB.
        max_bytes=(_number(told, "maxsize") or 100) * _MIB,
        max_age_days=_number(told, "maxage"),
        max_backups=_number(told, "maxbackups"),
        local_time=_truth(told, "localtime"),
        compress=_truth(told, "compress"),
    )


def _number(told: dict[str, Any], key: str) -> int:
    value = told.get(key, 0)
    if type(value) is not int or value < 0:
        raise ConfigError(f"invalid log rotation config: {key} must be a whole number of 0 or more")
    return value


def _truth(told: dict[str, Any], key: str) -> bool:
    value = told.get(key, False)
    if type(value) is not bool:
        raise ConfigError(f"invalid log rotation config: {key} must be true or false")
    return value

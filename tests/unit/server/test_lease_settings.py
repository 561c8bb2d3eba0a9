"""Settings of lease checkpoints: etcd 3.4's and 3.5's flags, 3.6's gates, and what they forbid."""

from __future__ import annotations

import pytest
from kvorum.config import NodeConfig, load
from kvorum.errors import ConfigError

PERSIST_ALONE = (
    "setting experimental-enable-lease-checkpoint-persist requires "
    "experimental-enable-lease-checkpoint"
)


def settings(*arguments: str) -> tuple[int, bool]:
    """Ticks between two checkpoints, and whether those of a snapshot count."""
    config = load(list(arguments), {})
    assert isinstance(config, NodeConfig)
    return config.lease_checkpoint_ticks, config.lease_checkpoint_persist


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), (0, False)),
        (("--experimental-enable-lease-checkpoint",), (3_000, False)),
        (("--enable-lease-checkpoint", "--heartbeat-interval=30"), (10_000, False)),
        (
            (
                "--experimental-enable-lease-checkpoint=true",
                "--experimental-enable-lease-checkpoint-persist=true",
            ),
            (3_000, True),
        ),
        (("--feature-gates=LeaseCheckpoint=true",), (3_000, False)),
        (("--feature-gates=LeaseCheckpoint=true,LeaseCheckpointPersist=true",), (3_000, True)),
        (("--feature-gates=LeaseCheckpoint=false",), (0, False)),
    ],
)
def test_settings(arguments: tuple[str, ...], expected: tuple[int, bool]) -> None:
    assert settings(*arguments) == expected


@pytest.mark.parametrize(
    "argument",
    [
        "--experimental-enable-lease-checkpoint-persist",
        "--feature-gates=LeaseCheckpointPersist=true",
    ],
)
def test_persistence_without_checkpoints(argument: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(argument)
    assert str(error.value) == PERSIST_ALONE

"""``--feature-gates``: etcd 3.6's switches for what is not settled yet, ``Name=true,Other=false``.

Each gate but one is another spelling of a flag that 3.4 and 3.5 have, so a gate becomes that flag's
text, and the flag says what this node does about it.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvorum.errors import ConfigError
from kvorum.flagvalues import parse_bool

# Gate -> flag. A gate without a flag has no effect here: outgoing connections of peers take the
# address that the route gives them.
GATES: Mapping[str, str] = {
    "CompactHashCheck": "compact-hash-check-enabled",
    "InitialCorruptCheck": "initial-corrupt-check",
    "LeaseCheckpoint": "enable-lease-checkpoint",
    "LeaseCheckpointPersist": "enable-lease-checkpoint-persist",
    "SetMemberLocalAddr": "",
    "StopGRPCServiceOnDefrag": "stop-grpc-service-on-defrag",
    "TxnModeWriteWithSharedBuffer": "txn-mode-write-with-shared-buffer",
}


def parse_gates(text: str) -> dict[str, bool]:
    """The gates that a value of the flag sets. ConfigError for what names no gate or no truth
    value."""
    found: dict[str, bool] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.strip().partition("="))
        if not name and not equals:
            continue
        if not equals:
            raise ConfigError(f"--feature-gates: missing bool value for {name}")
        if name not in GATES:
            known = ", ".join(sorted(GATES))
            raise ConfigError(
                f"--feature-gates: unrecognized feature gate: {name} (known: {known})"
            )
        try:
            found[name] = parse_bool(value)
        except ValueError:
            raise ConfigError(f"--feature-gates: invalid value of {name}={value}") from None
    return found


def as_flags(text: str, given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The flags that the gates stand for, and warnings. ConfigError when a gate's flag is given
    too."""
    flags: dict[str, str] = {}
    warnings: list[str] = []
    for name, value in parse_gates(text).items():
        flag = GATES[name]
        if flag in given:
            raise ConfigError(
                f"--{flag} and the feature gate {name} are one setting: give one of them"
            )
        if flag:
            flags[flag] = "true" if value else "false"
        elif value:
            warnings.append(f"feature gate {name} has no effect")
    return flags, warnings

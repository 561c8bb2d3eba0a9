"""Commands: their types, their bytes and their first checks, under one name.

``operations`` holds the values, ``codec`` their encoding in the log, ``checks`` what is refused
before proposing.
"""

from kvorum.machine.checks import CommandLimits, normal_urls, validate
from kvorum.machine.codec import decode, encode, encode_command, encoded_size
from kvorum.machine.operations import (
    AlarmSet,
    ClusterVersionSet,
    Command,
    CommandError,
    Compact,
    Compare,
    DeleteRange,
    Envelope,
    LeaseCheckpoint,
    LeaseExpire,
    LeaseGrant,
    LeaseRevoke,
    MemberAdd,
    MemberChange,
    MemberPromote,
    MemberPublish,
    MemberRemove,
    MemberUpdate,
    Noop,
    Operation,
    Put,
    Range,
    Txn,
)

__all__ = [
    "AlarmSet",
    "ClusterVersionSet",
    "Command",
    "CommandError",
    "CommandLimits",
    "Compact",
    "Compare",
    "DeleteRange",
    "Envelope",
    "LeaseCheckpoint",
    "LeaseExpire",
    "LeaseGrant",
    "LeaseRevoke",
    "MemberAdd",
    "MemberChange",
    "MemberPromote",
    "MemberPublish",
    "MemberRemove",
    "MemberUpdate",
    "Noop",
    "Operation",
    "Put",
    "Range",
    "Txn",
    "decode",
    "encode",
    "encode_command",
    "encoded_size",
    "normal_urls",
    "validate",
]

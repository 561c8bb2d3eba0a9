"""What is known of the store both sides hold, from what etcd has answered."""

from __future__ import annotations

from typing import Any

from compat.differential.side import Answer
from compat.differential.step import Step


class World:
    """Keeps count, so that requests can be drawn near what matters: the newest revision, the
    compacted one, leases that live.
    """

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.compactions: set[int] = set()
        self.leases: dict[int, int] = {}
        self.auth_on = False
        self.logged_in: set[str] = set()
        self.repeated_grants = 0
        self._granted: dict[tuple[str, bytes, bytes], int] = {}

    def saw(self, step: Step, answer: Answer) -> None:
        """Take an answer of etcd into account."""
        if answer.code != 0 or not isinstance(answer.body, dict):
            return
        header = answer.body.get("header", {})
        self.revision = max(self.revision, int(header.get("revision", 0)))
        match step.kind:
            case "KV/Compact":
                self.compacted = step.request.get("revision", 0)
                self.compactions.add(self.compacted)
            case "Lease/LeaseGrant":
                self.leases[step.alias or step.request["ID"]] = int(answer.body["TTL"])
            case "Lease/LeaseRevoke":
                self.leases.pop(step.request["ID"], None)
            case "Auth/RoleGrantPermission":
                self._grant(step.request["name"], step.request["perm"])
            case "Auth/RoleRevokePermission":
                span = step.request["key"], step.request.get("range_end", b"")
                self._granted.pop((step.request["role"], *span), None)
            case "Auth/RoleDelete":
                for place in [each for each in self._granted if each[0] == step.request["role"]]:
                    del self._granted[place]
            case "Auth/AuthEnable":
                self.auth_on = True
            case "Auth/AuthDisable":
                self.auth_on = False
                self.logged_in.clear()
            case "Auth/Authenticate":
                self.logged_in.add(step.label)

    def _grant(self, role: str, permission: dict[str, Any]) -> None:
        """Count permissions that were there: they make a new auth revision in old releases."""
        place = role, permission["key"], permission.get("range_end", b"")
        if self._granted.get(place) == permission.get("permType", 0):
            self.repeated_grants += 1
        self._granted[place] = permission.get("permType", 0)

"""Maintenance.Downgrade: whether the cluster could go down to an older release, and what this store
has to say to doing it.

etcd's ENABLE tells every member to write data that the release before can read, so that members may
be replaced by older ones one after another. kvorum has one format of its data, which no release of
etcd reads: enabling could only pretend. So VALIDATE and CANCEL answer as etcd does, and ENABLE
refuses after the checks that etcd would make. The way to etcd is a snapshot.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from kvorum_proto import etcdserverpb as pb

from kvorum.errors import Condition, KvorumError

if TYPE_CHECKING:
    from kvorum.api.guards import Who
    from kvorum.server.runtime import Node

NO_DOWNGRADE = (
    "kvorum: a downgrade cannot be enabled: all releases share one data format, which etcd does "
    "not read; to move to etcd, save a snapshot and restore it there"
)
# A release as etcd takes it: the third number and what follows it do not matter.
_VERSION = re.compile(r"([0-9]+)\.([0-9]+)(\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?)?")


class Downgrades:
    """Answers for one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def answer(self, request: pb.DowngradeRequest, who: Who) -> pb.DowngradeResponse:
        """VALIDATE, ENABLE or CANCEL."""
        if request.action == pb.DowngradeAction.VALIDATE:
            return await self._validate(request.version)
        if request.action == pb.DowngradeAction.ENABLE:
            await self._validate(request.version)
            raise GRPCError(Status.UNIMPLEMENTED, NO_DOWNGRADE)
        if request.action == pb.DowngradeAction.CANCEL:
            await self._node.barrier()
            raise KvorumError(Condition.NO_INFLIGHT_DOWNGRADE)
        raise KvorumError(Condition.UNKNOWN_METHOD)

    async def _validate(self, version: str) -> pb.DowngradeResponse:
        node = self._node
        target = _VERSION.fullmatch(version)
        if target is None:
            raise KvorumError(Condition.WRONG_DOWNGRADE_VERSION)
        await node.barrier()
        cluster = node.machine.cluster_version
        if not cluster:
            raise KvorumError(Condition.NO_CLUSTER_VERSION)
        major, minor = cluster.split(".")[:2]
        if (int(target[1]), int(target[2])) != (int(major), int(minor) - 1):
            raise KvorumError(Condition.INVALID_DOWNGRADE_TARGET)
        header = pb.ResponseHeader(
            cluster_id=node.cluster_id,
            member_id=node.member_id,
            revision=node.machine.revision,
            raft_term=node.term,
        )
        return pb.DowngradeResponse(header=header, version=cluster)

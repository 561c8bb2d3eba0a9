"""grpc.health.v1.Health, for load balancers and probes."""

from __future__ import annotations

import asyncio

from kvorum_proto.grpc.health.v1 import HealthCheckRequest, HealthCheckResponse, ServingStatus

from kvorum.api.guards import ServerStream, Who
from kvorum.errors import Condition, KvorumError


class Health:
    """The service "" is SERVING for as long as the node serves; other names are unknown, as etcd
    has it."""

    service = "grpc.health.v1.Health"

    def __init__(self) -> None:
        self.unary = {"Check": self.check}
        self.streams = {"Watch": self.watch}

    async def check(self, request: HealthCheckRequest, who: Who) -> HealthCheckResponse:
        """Is the service up?"""
        if request.service:
            raise KvorumError(Condition.UNKNOWN_HEALTH_SERVICE)
        return HealthCheckResponse(status=ServingStatus.SERVING)

    async def watch(self, stream: ServerStream, who: Who) -> None:
        """The status now, and again when it changes: never, while the node lives."""
        request = await stream.recv_message()
        known = request is not None and not request.service
        status = ServingStatus.SERVING if known else ServingStatus.SERVICE_UNKNOWN
        await stream.send_message(HealthCheckResponse(status=status))
        await asyncio.Event().wait()

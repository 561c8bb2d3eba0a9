"""gRPC server reflection, from the descriptors that came with the protos: grpcurl and friends need
no .proto files."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from kvorum_proto import descriptors
from kvorum_proto.services import SERVICES

from kvorum.api.guards import ServerStream, Who

_NOT_FOUND = 5
_UNIMPLEMENTED = 12
_HIDDEN = frozenset({"kvorum.v1.Peer"})


class Reflection:
    """One version of the service; v1 and v1alpha have the same messages under different names."""

    def __init__(self, package: str) -> None:
        self.service = f"{package}.ServerReflection"
        self.streams = {"ServerReflectionInfo": self.info}
        self._messages: ModuleType = import_module(f"kvorum_proto.{package}")

    async def info(self, stream: ServerStream, who: Who) -> None:
        """Answers questions about the schema until the client has no more."""
        while (request := await stream.recv_message()) is not None:
            reply = self._messages.ServerReflectionResponse(
                valid_host=request.host, original_request=request
            )
            self._answer(request, reply)
            await stream.send_message(reply)

    def _answer(self, request: Any, reply: Any) -> None:
        messages = self._messages
        try:
            if request.list_services is not None:
                names = [name for name in SERVICES if name not in _HIDDEN]
                reply.list_services_response = messages.ListServiceResponse(
                    service=[messages.ServiceResponse(name=name) for name in names]
                )
                return
            if request.file_by_filename is not None:
                file = request.file_by_filename
            elif request.file_containing_symbol is not None:
                file = descriptors.file_of(request.file_containing_symbol)
            else:
                # Extensions are a proto2 matter; no file here has any.
                reply.error_response = messages.ErrorResponse(
                    error_code=_UNIMPLEMENTED, error_message="the schema has no extensions"
                )
                return
            reply.file_descriptor_response = messages.FileDescriptorResponse(
                file_descriptor_proto=descriptors.with_imports(file)
            )
        except KeyError as missing:
            reply.error_response = messages.ErrorResponse(
                error_code=_NOT_FOUND, error_message=f"not found: {missing.args[0]}"
            )

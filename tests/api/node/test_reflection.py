"""Server reflection, in both versions, and the inspection service."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest
from api.node.hands import MEMBER_IDS, cluster
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from kvorum_proto import etcdserverpb as pb
from kvorum_proto.kvorum import v1

VERSIONS = ["grpc.reflection.v1", "grpc.reflection.v1alpha"]


async def ask(local: Any, package: str, *questions: dict[str, Any]) -> list[Any]:
    """Questions on one stream, answers in order."""
    messages = import_module(f"kvorum_proto.{package}")
    answers = []
    async with local.stream(f"/{package}.ServerReflection/ServerReflectionInfo") as stream:
        for question in questions:
            request = messages.ServerReflectionRequest(host="h", **question)
            await stream.send_message(request)
        await stream.end()
        async for answer in stream:
            assert answer.valid_host == "h" and answer.original_request.host == "h"
            answers.append(answer)
    return answers


@pytest.mark.parametrize("package", VERSIONS)
def test_services_symbols_and_files(package: str) -> None:
    async def main() -> None:
        async with cluster() as local:
            listed, by_symbol, by_message, by_file, missing, extension = await ask(
                local,
                package,
                {"list_services": ""},
                {"file_containing_symbol": "etcdserverpb.KV"},
                {"file_containing_symbol": "etcdserverpb.WatchCreateRequest.FilterType"},
                {"file_by_filename": "kv.proto"},
                {"file_containing_symbol": "no.such.Thing"},
                {"all_extension_numbers_of_type": "etcdserverpb.KV"},
            )
            names = {service.name for service in listed.list_services_response.service}
            assert {"etcdserverpb.KV", "etcdserverpb.Watch", package + ".ServerReflection"} <= names
            assert "kvorum.v1.Peer" not in names
            for answer in (by_symbol, by_message):
                files = [
                    FileDescriptorProto.FromString(data)
                    for data in answer.file_descriptor_response.file_descriptor_proto
                ]
                here = {file.name for file in files}
                for file in files:
                    assert set(file.dependency) <= here, "whoever asks needs the imports too"
                assert any(
                    service.name == "KV" for file in files for service in file.service
                ) or any(
                    message.name == "WatchCreateRequest"
                    for f in files
                    for message in f.message_type
                )
            assert (
                by_file.error_response is not None or by_file.file_descriptor_response is not None
            )
            assert missing.error_response.error_code == 5
            assert extension.error_response.error_code == 12

    asyncio.run(main())


def test_statistics_once_and_again() -> None:
    async def main() -> None:
        async with cluster() as local:
            await local.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"secret-free", value=b"x"))
            path = "/kvorum.v1.Inspect/Statistics"
            async with local.stream(path) as stream:
                await stream.send_message(v1.StatisticsRequest(once=True, log_tail=5), end=True)
                reports = [report async for report in stream]
            assert len(reports) == 1
            assert (reports[0].member_id, reports[0].revision) == (MEMBER_IDS[0], 2)
            assert reports[0].log[-1].summary == "put secret-free"
            async with local.stream(path) as stream:
                await stream.send_message(v1.StatisticsRequest(interval_ms=1), end=True)
                assert (await stream.recv_message()).revision == 2
                assert (await stream.recv_message()).revision == 2
                await stream.cancel()

    asyncio.run(main())


def test_a_stretch_of_the_log() -> None:
    async def main() -> None:
        async with cluster() as local:
            for number in range(5):
                await local.call("/etcdserverpb.KV/Put", pb.PutRequest(key=b"k%d" % number))
            answer = await local.call(
                "/kvorum.v1.Inspect/Log", v1.LogRequest(from_index=3, limit=2)
            )
            assert [entry.index for entry in answer.entries] == [3, 4]
            assert [entry.summary for entry in answer.entries] == ["put k1", "put k2"]
            beyond = await local.call("/kvorum.v1.Inspect/Log", v1.LogRequest(from_index=99))
            assert beyond.entries == [] and beyond.last_index == answer.last_index == 6

    asyncio.run(main())

"""One server as its clients see it: calls over gRPC and over JSON, answers in one form."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc
from compat.differential import wire
from compat.differential.normalise import normal
from compat.differential.step import ALIASES, CAMEL, GRPC, SELF, Step

PATIENCE_S = 30.0
STRANGE, LOST = -1, -2  # In the place of gRPC's code: no JSON object of etcd's, no answer at all.
_CHANNEL = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
]


class Answer(NamedTuple):
    """What came back. ``code`` and ``message`` are gRPC's, also over JSON; ``status`` is HTTP's, 0
    over gRPC. ``body`` is the response in the form of JSON; of a refusal over JSON, the names that
    its object has.
    """

    code: int
    message: str
    body: Any
    status: int = 0


class Side:
    """Calls to one member, with the ids and tokens it has given out."""

    def __init__(self, name: str, endpoint: str) -> None:
        self.name = name
        parts = urlsplit(endpoint)
        assert parts.hostname is not None
        self.channel = grpc.insecure_channel(f"{parts.hostname}:{parts.port}", options=_CHANNEL)
        self._http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE_S)
        self._aside = ThreadPoolExecutor(max_workers=1)
        self.actual: dict[int, int] = {}
        self.tokens: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._calls: dict[str, Any] = {}
        self._introduce()

    def _introduce(self) -> None:
        """Ask who it is: its id and addresses are its own."""
        answer = self.begin(Step("Cluster/MemberList", {}))()
        (member,) = answer.body["members"]
        self.learn(SELF, int(member["ID"]))
        self._names = {
            member["name"]: "its name",
            **dict.fromkeys(member["peerURLs"], "its peer URL"),
            **dict.fromkeys(member["clientURLs"], "its client URL"),
            **{
                f"memberID:{member['ID']} alarm:{alarm} ": f"its alarm {alarm}"
                for alarm in ("NOSPACE", "CORRUPT")
            },
        }

    def close(self) -> None:
        """End all connections."""
        self.channel.close()
        self._aside.shutdown()
        self._http.close()

    def learn(self, alias: int, actual: int) -> None:
        """From now on ``alias`` stands for an id of this side."""
        self.actual[alias] = actual

    def own(self, value: Any) -> Any:
        """A request with this side's ids in the place of aliases."""
        if isinstance(value, dict):
            return {name: self.own(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.own(each) for each in value]
        if isinstance(value, int) and value >= ALIASES:
            return self.actual.get(value, value)
        return value

    def normal(self, value: Any) -> Any:
        """An answer without what is this side's alone."""
        return normal(value, {mine: alias for alias, mine in self.actual.items()}, self._names)

    def token(self, step: Step) -> str:
        """The token that a step's caller shows."""
        if step.token.startswith("@"):
            return self.tokens.get(step.token[1:], "")
        return step.token

    def metadata(self, step: Step) -> list[tuple[str, str]]:
        """The metadata of a step over gRPC."""
        token = self.token(step)
        return [("token", token)] if token else []

    def begin(self, step: Step) -> Callable[[], Answer]:
        """Send a request; the function returned waits for the answer as it came."""
        if step.kind == "raw":
            return self._raw(step)
        if step.via != GRPC:
            return self._aside.submit(self._post, step).result
        if step.kind == "Lease/LeaseKeepAlive":
            return self._aside.submit(self._keep_alive, step).result
        request = wire.request_of(step.kind, self.own(step.request)).SerializeToString()
        return self._unary(step, wire.path_of(step.kind), request)

    def _raw(self, step: Step) -> Callable[[], Answer]:
        return self._unary(step, step.request["path"], step.request["data"])

    def _unary(self, step: Step, path: str, request: bytes) -> Callable[[], Answer]:
        call = self._calls.get(path)
        if call is None:
            call = self._calls[path] = self.channel.unary_unary(path)
        future = call.future(request, metadata=self.metadata(step), timeout=PATIENCE_S)

        def finish() -> Answer:
            error = future.exception()
            if error is not None:
                return Answer(error.code().value[0], error.details(), None)
            body = wire.plain_response(step.kind, future.result()) if step.kind != "raw" else None
            return Answer(0, "", body)

        return finish

    def _keep_alive(self, step: Step) -> Answer:
        """All requests, then the end; all answers."""
        requests = [
            wire.request_of(step.kind, self.own(each)).SerializeToString()
            for each in step.request["requests"]
        ]
        call = self.channel.stream_stream(wire.path_of(step.kind))(
            iter(requests), metadata=self.metadata(step), timeout=PATIENCE_S
        )
        answers: list[Any] = []
        try:
            answers.extend(wire.plain_response(step.kind, data) for data in call)
        except grpc.RpcError as error:
            return Answer(error.code().value[0], error.details(), None)
        return Answer(0, "", answers)

    def watch_past(self, step: Step, until: int) -> Answer:
        """A watch through the gateway, until it has told of a revision or ends: its events, and
        what else it says, in order.
        """
        host, port = self._http.host, self._http.port
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        token = self.token(step)
        body = json.dumps({"create_request": wire.json_request(self.own(step.request))})
        try:
            headers = {"Authorization": token} if token else {}
            connection.request("POST", "/v3/watch", body.encode(), headers)
            response = connection.getresponse()
            return Answer(0, "", list(_events(response, until)), response.status)
        except OSError as error:
            return Answer(LOST, repr(error), None)
        finally:
            connection.close()

    def _post(self, step: Step) -> Answer:
        streamed = step.kind == "Lease/LeaseKeepAlive"
        requests = [self.own(each) for each in step.request["requests"]] if streamed else None
        body = "".join(
            json.dumps(
                wire.camel_request(step.kind, each)
                if step.via == CAMEL
                else wire.json_request(each)
            )
            for each in (requests or [self.own(step.request)])
        )
        token = self.token(step)
        headers = {"Authorization": token} if token else {}
        try:
            self._http.request("POST", wire.ROUTES[step.kind], body.encode(), headers)
            response = self._http.getresponse()
            return _told(response.status, response.read(), streamed)
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            return Answer(LOST, repr(error), None)


def _events(response: http.client.HTTPResponse, until: int) -> Iterator[Any]:
    """The events of a watch, and what comes without events but for its header."""
    while line := response.readline():
        document = json.loads(line)
        result = document.get("result", document)
        if "events" not in result:
            result.pop("header", None)
            yield result
            if result.keys() != {"created"}:
                return
        for event in result.get("events", []):
            yield event
            if int(event["kv"]["mod_revision"]) >= until:
                return


def _told(status: int, data: bytes, streamed: bool) -> Answer:
    """An answer over HTTP. Documents of a stream come one a line."""
    try:
        documents = [json.loads(line) for line in data.splitlines()] if streamed else None
        document = documents[0] if documents else json.loads(data or b"null")
    except ValueError:
        return Answer(STRANGE, data.decode(errors="replace"), None, status)
    if status != 200:
        if not isinstance(document, dict):
            return Answer(STRANGE, repr(document), None, status)
        return Answer(
            int(document.get("code", STRANGE)),
            document.get("message", ""),
            sorted(document),
            status,
        )
    if documents is not None:
        errors = [each["error"] for each in documents if "error" in each]
        if errors:  # In the midst of a stream, as over gRPC.
            return Answer(errors[0].get("grpc_code", STRANGE), errors[0]["message"], None, status)
        document = [each.get("result", each) for each in documents]
    return Answer(0, "", document, status)

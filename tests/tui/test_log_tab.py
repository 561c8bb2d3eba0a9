"""The Log tab on a cluster in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from betterproto2 import Message
from kvorum_proto import etcdserverpb as pb
from kvorum_tui.app import KvorumApp
from kvorum_tui.model.rpc_log import RpcMoment
from kvorum_tui.screens.log import LogPane
from textual.pilot import Pilot
from textual.widgets import Input
from tui.fake_session import FakeSession
from tui.frames import frame, shows, until
from tui.tabs import answer, on_tab

RANGE = "/etcdserverpb.KV/Range"
PUT = "/etcdserverpb.KV/Put"


def some_calls(fake: FakeSession) -> None:
    fake.rpcs.call(RANGE, pb.RangeRequest(key=b"/a/1"), pb.RangeResponse(count=1), member=2)
    fake.rpcs.call(PUT, pb.PutRequest(key=b"/a/2", value=b"v"), pb.PutResponse(), ms=250)
    fake.rpcs.call(RANGE, pb.RangeRequest(key=b"gone"), code="OUT_OF_RANGE", message="compacted")
    fake.rpcs.call("/etcdserverpb.Maintenance/Status", pb.StatusRequest(), pb.StatusResponse())


def test_calls_with_their_member_figures_and_command_lines() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        await shows(pilot, "no call was made yet")
        some_calls(fake)
        text = await shows(pilot, "4 calls", "1 error", "1 poll hidden (b)", "OUT_OF_RANGE compact")
        assert "!KV/Put" in text
        assert "Maintenance/Status" not in text
        await pilot.press("home")
        await shows(pilot, "KV/Range at n2", "etcdctl get --endpoints=http://n2:2379 /a/1", "count")
        await pilot.press("b")
        await shows(pilot, "Maintenance/Status")
        await pilot.press("e")
        await until(pilot, lambda: "!KV/Put" not in frame(app), "errors only")
        await pilot.press("escape", "w")
        await shows(pilot, "filter writes leaves out 3", "!KV/Put")
        await pilot.press("escape", "s")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("enter")
        await shows(pilot, "filter >100 leaves out 3", "!KV/Put")
        await pilot.press("escape", "slash", *"gone")
        await shows(pilot, "filter gone leaves out 3")
        await pilot.press("enter", "escape", "i")
        await shows(pilot, "Calls by method", "p99 ms")

    on_tab("log", body)


def test_a_stream_is_one_growing_line_and_pause_holds_the_list() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        watch = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"/a/", range_end=b"/a0"))
        stream = RpcMoment(
            77, "open", 1_700_000_000.0, "http://n3:2379", "/etcdserverpb.Watch/Watch", 0.0
        )
        fake.rpcs.moment(stream)
        fake.rpcs.moment(stream._replace(phase="sent", request=bytes(watch)))
        await shows(pilot, "open, 1 out 0 in /a/*")
        for _ in range(5):
            fake.rpcs.moment(stream._replace(phase="received", reply=bytes(pb.WatchResponse())))
        await shows(pilot, "open, 1 out 5 in /a/*", "1 call ")
        await pilot.press("p")
        some_calls(fake)
        await shows(pilot, "PAUSED, 4 new")
        assert "KV/Put" not in frame(app).split("The chosen call")[0].split("time ")[1]
        await pilot.press("p")
        await shows(pilot, "!KV/Put")
        await pilot.press("home", "enter")
        await shows(pilot, "[2 Watch]", "/a/")

    on_tab("log", body)


def test_the_call_that_is_read_stays_under_the_cursor_while_others_come() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        pane = app.pane_of(LogPane)
        pane.log_model.entries_max = 50
        for number in range(60):
            fake.rpcs.call(RANGE, pb.RangeRequest(key=b"%d" % number))
        await shows(pilot, "60 calls", "10 older ones forgotten")
        await pilot.press("up", "up")
        chosen = pane.list.current
        assert chosen is not None
        for number in range(20):
            fake.rpcs.call(RANGE, pb.RangeRequest(key=b"%d" % number))
        await shows(pilot, "80 calls")
        assert pane.list.current is chosen
        await pilot.press("end")
        fake.rpcs.call(PUT, pb.PutRequest(key=b"last"))
        await shows(pilot, "KV/Put at n1")

    on_tab("log", body, size=(80, 24))


def test_reads_are_made_again_at_once_and_writes_after_a_question() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        some_calls(fake)
        fake.rpcs.answer = bytes(pb.RangeResponse(count=7))
        await shows(pilot, "4 calls")
        await pilot.press("home", "enter")
        await shows(pilot, "KV/Range at n2: count 7")
        assert fake.calls[-1][:3] == ("again", "http://n2:2379", RANGE)
        await pilot.press("down", "enter")
        await shows(pilot, "Make this call again?", "etcdctl put", "nothing compares")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert fake.calls[-1][2] == RANGE
        await pilot.press("enter")
        await answer(pilot, app, "enter")
        await until(pilot, lambda: fake.calls[-1][2] == PUT, "sent again")

    on_tab("log", body)


def test_a_range_deletion_says_what_goes_and_its_name_is_typed() -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        path = "/etcdserverpb.KV/DeleteRange"
        fake.rpcs.call(path, pb.DeleteRangeRequest(key=b"/a/", range_end=b"/a0"))
        await shows(pilot, "!KV/DeleteRange")
        await pilot.press("enter")
        await shows(pilot, "Takes 2 keys now", "/a/1", "Type DeleteRange to go on")
        await pilot.press("enter")
        assert len(app.screen_stack) == 2
        await pilot.press(*"DeleteRange", "enter")
        await until(pilot, lambda: fake.calls[-1][:3] == ("again", "http://n1:2379", path))

    on_tab("log", body)


@pytest.mark.parametrize(
    ("path", "request_", "reason"),
    [
        (PUT, pb.PutRequest(key=b"k"), "read-only"),
        ("/etcdserverpb.Auth/UserAdd", pb.AuthUserAddRequest(name="x"), "was not kept"),
        (PUT, pb.PutRequest(key=b"k", value=b"v" * 20_000), "too long to be kept"),
    ],
)
def test_what_cannot_be_made_again_says_why(path: str, request_: Message, reason: str) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.rpcs.call(path, request_)
        await shows(pilot, "1 call ", "(enter again)")
        before = list(fake.calls)
        await pilot.press("enter")
        await shows(pilot, reason)
        assert fake.calls == before

    on_tab("log", body, FakeSession(read_only=True))


def test_copy_and_save(tmp_path: Path) -> None:
    async def body(pilot: Pilot[None], fake: FakeSession, app: KvorumApp) -> None:
        fake.rpcs.flags = ("--user=root",)
        some_calls(fake)
        await shows(pilot, "4 calls")
        await pilot.press("home", "y")
        await shows(pilot, "copied: etcdctl get")
        assert app.clipboard == "etcdctl get --endpoints=http://n2:2379 --user=root /a/1"
        await pilot.press("Y")
        await until(pilot, lambda: app.clipboard.startswith("kvorum get"))
        file = tmp_path / "calls.jsonl"
        await pilot.press("ctrl+s")
        await shows(pilot, "Write 3 calls to")
        app.screen.query_one(Input).value = str(tmp_path)
        await pilot.press("enter")
        await shows(pilot, "exists")
        app.screen.query_one(Input).value = str(file)
        await pilot.press("enter")
        await shows(pilot, "3 calls written")
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert [line["method"] for line in lines] == [RANGE, PUT, RANGE]
        assert lines[1]["request"] == {"key": "/a/2", "value": "v"}
        assert lines[2]["code"] == "OUT_OF_RANGE"
        assert file.stat().st_mode & 0o777 == 0o600

    on_tab("log", body)

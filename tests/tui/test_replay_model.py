"""The moment of a recording, places on its line, and records as JSON and back."""

from __future__ import annotations

import pytest
from kvorum_tui.model.records import LeaseInfo, LogEntryView, MemberReport, PeerView
from kvorum_tui.model.replay_line import place, speed_text, time_at, wanted_time
from kvorum_tui.recording.playback import Moment, Playback
from kvorum_tui.recording.values import from_json, list_from_json, to_json


def test_a_playback_runs_along_recorded_time() -> None:
    playback = Playback(1_000, 11_000, [(2_000, 5), (4_000, 7), (9_000, 9)], 3)
    assert playback.moment(0.0) == Moment(11_000, 9, False, 1.0, 1_000, 11_000)
    playback.seek(1_000, 0.0)
    assert playback.moment(99.0).revision == 3
    playback.play(True, 100.0)
    assert playback.moment(101.5).at_ms == 2_500
    assert playback.moment(101.5).revision == 5
    assert playback.faster(1, 101.5) == 2.0
    assert playback.moment(102.5).at_ms == 4_500
    playback.play(False, 102.5)
    assert playback.moment(500.0).revision == 7
    playback.play(True, 500.0)
    assert not playback.moment(999.0).playing, "it stops at the end"
    winds = playback.winds
    playback.play(True, 1_000.0)
    assert (playback.moment(1_000.0).at_ms, playback.winds) == (1_000, winds + 1)
    assert playback.time_of(7) == 4_000
    assert playback.time_of(1) == 2_000
    for _ in range(20):
        playback.faster(-1, 1_000.0)
    assert speed_text(playback.speed) == "1/4x"


def test_places_on_the_line_and_in_words() -> None:
    moment = Moment(6_000, 1, False, 1.0, 1_000, 11_000)
    assert place(moment, 10) == 5
    assert time_at(moment, 9, 10) == 11_000
    assert wanted_time("+2s", moment) == 8_000
    assert wanted_time("-1m", moment) == -54_000
    assert wanted_time("50%", moment) == 6_000
    assert wanted_time("nonsense", moment) is None
    assert wanted_time("99:00", moment) is None


def test_records_come_back_and_strangers_do_not() -> None:
    report = MemberReport(
        "http://n1:2379",
        "kvorum",
        2**63 + 1,
        log=(LogEntryView(7, 2, "put"),),
        peers=(PeerView(3, 5, round_trip_ms=1.5),),
        extra={"a": 1},
        figures={"f": 0.5},
    )
    assert from_json(MemberReport, to_json(report)) == report
    leases = [LeaseInfo(1, 60, 5, (b"\xff", b"k"))]
    assert list_from_json(LeaseInfo, to_json(leases)) == leases
    assert from_json(LeaseInfo, '{"id":1,"granted_s":2,"remaining_s":3,"new":[]}').id == 1
    for text in ("[]", '{"id":"x","granted_s":2,"remaining_s":3}', '{"id":1}', "no"):
        with pytest.raises(ValueError):
            from_json(LeaseInfo, text)

"""Whole members on real disks and ports: agreement, restarts, faults, snapshots.

Long because each scenario builds, breaks and judges a cluster, and is read best in one piece.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest
from kvorum.errors import Condition, ConfigError, KvorumError
from kvorum.machine.commands import Compact, LeaseGrant
from kvorum.replica.effects import Canceled, Created, Deliver, Events
from kvorum.replica.requests import WatchSpec
from kvorum.server.crash import Crash, FatalError
from kvorum.server.faults import Direction, LinkFault, PauseFault, SlowFsyncFault
from kvorum.server.member import Member
from unit.server.members import PATIENCE_S, Cluster, cluster, get, put, with_cluster

LONG_MS = 60_000


def test_one_node_writes_and_reads_and_restarts(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        assert node.leader == node.member_id
        assert node.term == 2
        assert node.machine.revision == 1
        assert await put(node, "a", "1") == 2
        assert await put(node, "a", "2") == 3
        assert await get(node, "a") == "2"
        assert [m.client_urls for m in node.members()] == [
            (f"http://127.0.0.1:{c.client_ports[0]}",)
        ]
        ids = (node.cluster_id, node.member_id)
        await c.stop(0)
        await c.start(0)
        await c.ready(0)
        node = c.node(0)
        assert (node.cluster_id, node.member_id) == ids
        assert await get(node, "a") == "2"
        # The window is empty after a restart: the history answers.
        assert await get(node, "a", revision=2) == "1"
        assert await put(node, "a", "3") == 4

    with_cluster(tmp_path, 1, test)


def test_three_agree_and_any_of_them_answers(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        for number in range(30):
            await put(c.node(number % 3), f"k{number}", str(number))
        for number in range(30):
            assert await get(c.node((number + 1) % 3), f"k{number}") == str(number)
        await c.applied_everywhere()
        nodes = c.running()
        assert len({node.machine.digest for node in nodes}) == 1
        assert len({node.cluster_id for node in nodes}) == 1
        assert len({tuple(node.members()) for node in nodes}) == 1
        statistics = [node.statistics() for node in nodes]
        assert all(len(s.peers) == 2 and all(p.connected for p in s.peers) for s in statistics)
        assert all(s.fsync.count > 0 and s.propose.count > 0 for s in statistics)
        assert all(s.to_message().member_id == s.member_id for s in statistics)

    with_cluster(tmp_path, 3, test)


def test_many_writers_at_once(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        revisions = await asyncio.gather(*(put(c.node(n % 3), f"k{n}", str(n)) for n in range(300)))
        assert sorted(revisions) == list(range(2, 302))
        syncs = sum(node.statistics().fsync.count for node in c.running())
        # Group commit: far fewer syncs than writes times members.
        assert syncs < 300

    with_cluster(tmp_path, 3, test)


def test_round_trips_are_measured_between_any_two(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        def all_measured() -> bool:
            return all(peer.round_trip_us > 0 for n in c.running() for peer in n.statistics().peers)

        while not all_measured():
            await asyncio.sleep(0.05)
        assert all(
            peer.round_trip_us < 10_000_000 for n in c.running() for peer in n.statistics().peers
        )

    with_cluster(tmp_path, 3, test)


def test_a_cut_leader_is_replaced_and_comes_back(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        await put(c.node(0), "a", "1")
        old = await c.leader()
        others = [n for n in range(3) if n != old]
        fault = c.node(old).gate.inject(LinkFault(0), LONG_MS)
        with pytest.raises(KvorumError):
            await c.node(old).propose(LeaseGrant(0, 5), timeout_s=0.5)
        while c.node(others[0]).leader in (0, c.node(old).member_id):
            await asyncio.sleep(0.02)
        assert await put(c.node(others[0]), "a", "2") > 2
        # What the cut-off leader says serializably may be old; linearizably it says nothing.
        assert await get(c.node(old), "a", linearizable=False) == "1"
        with pytest.raises(KvorumError):
            await c.node(old).barrier(timeout_s=0.3)
        assert c.node(old).gate.lift(fault) == 1
        while await get(c.node(old), "a", linearizable=False) != "2":
            await asyncio.sleep(0.02)
        await c.leader()
        assert await get(c.node(old), "a") == "2"

    with_cluster(tmp_path, 3, test)


def test_a_one_way_cut_and_a_slow_link_do_no_harm(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        follower = (await c.leader() + 1) % 3
        gate = c.node(follower).gate
        gate.inject(LinkFault(0, Direction.INBOUND, 5, 10, 200_000), LONG_MS)
        gate.inject(LinkFault(0, Direction.OUTBOUND, 5, 10, 200_000), LONG_MS)
        leader = await c.leader()
        for number in range(20):
            await put(c.node(leader), f"k{number}", "v")
        gate.lift()
        await c.leader()
        assert await get(c.node(follower), "k19") == "v"

    with_cluster(tmp_path, 3, test, election_timeout_ms=1_000)


def test_a_paused_leader_is_silent_and_then_catches_up(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        leader = await c.leader()
        other = (leader + 1) % 3
        paused = asyncio.Event()
        c.node(leader).gate.on_change(paused.set)
        c.node(leader).gate.inject(PauseFault(), 1_500)
        await paused.wait()
        assert c.node(leader).gate.paused
        call = asyncio.ensure_future(get(c.node(leader), "a"))
        while c.node(other).leader in (0, c.node(leader).member_id):
            await asyncio.sleep(0.02)
        assert c.node(leader).gate.paused
        await put(c.node(other), "a", "new")
        assert not call.done()
        # The gate lifts the pause by itself; the read begun before it must not be stale.
        try:
            assert await call == "new"
        except KvorumError as error:
            assert error.condition in (Condition.LEADER_CHANGED, Condition.TIMEOUT)
        await c.leader()
        assert await get(c.node(leader), "a") == "new"

    with_cluster(tmp_path, 3, test)


def test_a_slow_fsync_slows_the_answer(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        node.gate.inject(SlowFsyncFault(300), LONG_MS)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await put(node, "a", "1")
        assert loop.time() - begun >= 0.29
        assert node.statistics().fsync.max_us >= 290_000

    with_cluster(tmp_path, 1, test)


def test_members_that_stop_all_at_once_wait_for_nobody_to_take_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(c: Cluster) -> None:
        leader = c.member(await c.leader())
        # So long would the leader wait for whom it hands over to.
        leader.config = dataclasses.replace(leader.config, election_timeout_ms=LONG_MS)
        async with asyncio.timeout(PATIENCE_S / 2):
            await c.stop_all()
        told = [record.getMessage() for record in caplog.records]
        assert "could not hand the leadership on" not in told

    with_cluster(tmp_path, 3, test)


def test_the_leadership_is_handed_on_and_at_a_stop_too(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        leader = await c.leader()
        target = (leader + 1) % 3
        await c.node(leader).transfer_leader(c.node(target).member_id)
        assert await c.leader() == target
        term = c.node(target).term
        await c.stop(target)
        await c.leader()
        assert await put(c.running()[0], "a", "1") == 2
        # One election by invitation, none by time-out.
        assert c.running()[0].term == term + 1

    # Elections that nobody wants do not come between on a slow machine.
    with_cluster(tmp_path, 3, test, election_timeout_ms=3_000)


def test_a_member_that_was_away_catches_up_from_the_log(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        away = (await c.leader() + 1) % 3
        await c.stop(away)
        await c.leader()
        for number in range(50):
            await put(c.running()[0], f"k{number}", str(number))
        await c.start(away)
        await c.ready(away)
        assert await get(c.node(away), "k49") == "49"
        assert c.node(away).status().snapshot_index == 0

    with_cluster(tmp_path, 3, test)


def test_a_member_too_far_behind_gets_a_snapshot_with_its_history(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        away = (await c.leader() + 1) % 3
        await c.stop(away)
        await c.leader()
        node = c.running()[0]
        for number in range(120):
            await put(node, "k", str(number))
        while node.status().raft.first_index <= 20:
            await put(node, "k", "more")
            await asyncio.sleep(0.01)
        first = node.status().raft.first_index
        assert first > 20
        await c.start(away)
        await c.ready(away)
        late = c.node(away)
        assert late.status().snapshot_index > 0
        await c.leader()
        # Old revisions, of before this member came back, are its own now.
        assert await get(late, "k", revision=10) == await get(node, "k", revision=10)
        await put(late, "after", "snapshot")
        await c.applied_everywhere()
        assert late.machine.digest == node.machine.digest
        # And they survive a restart.
        await c.stop(away)
        await c.start(away)
        await c.ready(away)
        assert await get(c.node(away), "k", revision=10) == await get(node, "k", revision=10)
        assert await get(c.node(away), "after") == "snapshot"

    with_cluster(tmp_path, 3, test, snapshot_count=20, snapshot_catchup_entries=5)


def test_snapshots_of_one_node_let_the_log_go_and_restart(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        for number in range(60):
            await put(node, f"k{number % 7}", str(number))
        while node.status().snapshot_index == 0:
            await put(node, "k", "more")
            await asyncio.sleep(0.01)
        revision = node.machine.revision
        await c.stop(0)
        await c.start(0)
        await c.ready(0)
        node = c.node(0)
        assert node.machine.revision == revision
        assert await get(node, "k0", revision=2) == "0"
        assert await get(node, "k3") == "59"

    with_cluster(tmp_path, 1, test, snapshot_count=20, snapshot_catchup_entries=5)


def test_a_damaged_history_is_set_aside_and_rebuilt(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        for number in range(40):
            await put(node, "k", str(number))
        await c.stop(0)
        file = tmp_path / "n0" / "member" / "history.duckdb"
        damaged = bytearray(file.read_bytes())
        damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
        file.write_bytes(damaged)
        await c.start(0)
        await c.ready(0)
        node = c.node(0)
        assert (tmp_path / "n0" / "member" / "history.duckdb.broken-1").exists()
        # The log still reaches back to the beginning: nothing is lost.
        assert await get(node, "k", revision=11) == "9"
        assert await get(node, "k") == "39"

    with_cluster(tmp_path, 1, test)


def test_a_lost_history_after_a_snapshot_keeps_the_live_keys(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        for number in range(60):
            await put(node, f"k{number % 5}", str(number))
        while node.status().raft.first_index <= 1:
            await put(node, "k", "more")
            await asyncio.sleep(0.01)
        revision, digest = node.machine.revision, node.machine.digest
        await c.stop(0)
        for file in (tmp_path / "n0" / "member").glob("history.duckdb*"):
            file.unlink()
        # The log would still lead from the first snapshot to the last: only the last is left.
        snapshots = sorted((tmp_path / "n0" / "member" / "snap").glob("*.snap"))
        for file in snapshots[:-1]:
            file.unlink()
        await c.start(0)
        await c.ready(0)
        node = c.node(0)
        assert node.machine.revision == revision
        assert await get(node, "k4") == "59"
        assert await put(node, "k4", "new") == revision + 1
        assert node.machine.digest != digest
        # What is not known here any more is refused, never answered with a part of it.
        with pytest.raises(KvorumError) as refused:
            await get(node, "k0", revision=5)
        assert refused.value.condition is Condition.COMPACTED
        delivered: list[Deliver] = []
        watching = node.open_watch_stream(delivered.append)
        watching.create(WatchSpec(b"k", b"l", start_revision=2))
        watching.create(WatchSpec(b"k", b"l", start_revision=revision + 1))
        await node.barrier()
        items = [item for delivery in delivered for item in delivery.items]
        ended = [item for item in items if isinstance(item, Canceled)]
        assert [(item.watch_id, 2 < item.compact_revision <= revision) for item in ended] == [
            (0, True)
        ]
        seen = [
            event.revision for item in items if isinstance(item, Events) for event in item.events
        ]
        assert seen == [revision + 1]
        watching.close()

    with_cluster(tmp_path, 1, test, snapshot_count=20, snapshot_catchup_entries=5)


def test_compaction_is_carried_out(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        node = c.node(0)
        for number in range(10):
            await put(node, "k", str(number))
        await node.propose(Compact(8, True))
        assert await get(node, "k", revision=8) == "6"
        with pytest.raises(KvorumError) as caught:
            await get(node, "k", revision=7)
        assert caught.value.condition is Condition.COMPACTED

    with_cluster(tmp_path, 1, test)


def test_watchers_catch_up_from_the_history_after_a_restart(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        for number in range(25):
            await put(c.node(0), "k", str(number))
        await c.stop(0)
        await c.start(0)
        await c.ready(0)
        node = c.node(0)
        delivered: asyncio.Queue[Deliver] = asyncio.Queue()
        stream = node.open_watch_stream(delivered.put_nowait)
        stream.create(WatchSpec(b"k", start_revision=5))
        events: list[Any] = []
        created = False
        while len(events) < 24:
            deliver = await delivered.get()
            stream.taken(deliver.size_bytes)
            for item in deliver.items:
                created = created or isinstance(item, Created)
                if isinstance(item, Events):
                    events.extend(item.events)
            if len(events) == 22:
                await put(node, "k", "25")
                await put(node, "k", "26")
        assert created
        assert [event.revision for event in events] == list(range(5, 29))
        assert events[0].record.value == b"3"
        assert events[-1].record.value == b"26"
        stream.close()

    with_cluster(tmp_path, 1, test)


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        second = Member(c.config(0), lambda node: [], Crash(lambda error, code: None))
        with pytest.raises(ConfigError, match="address already in use"):
            second.bind()
        with pytest.raises(FatalError, match="is in use by"):
            await second.start()

    with_cluster(tmp_path, 1, test)


def test_an_empty_disk_for_a_member_that_ran_before_is_refused(tmp_path: Path) -> None:
    async def test(c: Cluster) -> None:
        lost = (await c.leader() + 1) % 3
        await c.stop(lost)
        await c.leader()
        (tmp_path / f"n{lost}").rename(tmp_path / "elsewhere")
        with pytest.raises(ConfigError, match="has already been bootstrapped"):
            await c.start(lost)

    with_cluster(tmp_path, 3, test)


class Refusal(logging.Handler):
    """Waits for a log line about a peer that is of another cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.changed = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "cluster ID mismatch" in str(getattr(record, "error", "")):
            self.seen.add(record.name)
            self.changed.set()

    async def until(self, names: set[str]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not names <= self.seen:
                self.changed.clear()
                await self.changed.wait()


def test_members_of_two_clusters_refuse_each_other(tmp_path: Path) -> None:
    async def run() -> None:
        refusal = Refusal()
        logging.getLogger("kvorum.server").addHandler(refusal)
        async with cluster(tmp_path / "a", 1, initial_cluster_token="a") as one:
            strange = Cluster(tmp_path / "b", 2, initial_cluster_token="b")
            # The second member of b is really the one of a.
            strange._peer_ports[1] = one._peer_ports[0]
            await strange.start(0)
            try:
                # Said on both sides: by who refuses, and by who is refused.
                await refusal.until({"kvorum.server.exchange", "kvorum.server.link"})
                assert strange.node(0).leader == 0
                assert await put(one.node(0), "a", "1") == 2
            finally:
                await strange.stop_all()
                logging.getLogger("kvorum.server").removeHandler(refusal)

    asyncio.run(run())

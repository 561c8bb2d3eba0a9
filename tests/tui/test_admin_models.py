"""Who may touch what, what a change of the members means, who is defragmented when, which revision
is meant.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum_tui.model.access_matrix import (
    EVERYTHING,
    FULL,
    NONE,
    PART,
    AuthPicture,
    Grant,
    OwnRanges,
    columns,
    holders,
    merged,
    parse_range,
    prefix_range,
    range_text,
    range_words,
    reach,
    reaches_of,
    span,
    touch,
    who_can_touch,
)
from kvorum_tui.model.admin_cluster import (
    addition,
    alarms_in,
    defrag_plan,
    progress,
    promotion,
    removal,
    waits_for,
    why_not_step,
)
from kvorum_tui.model.admin_records import AddedMember, AlarmView, MemberFigures
from kvorum_tui.model.admin_space import compaction_lines, parse_choice, space_rows

PICTURE = AuthPicture(
    True,
    5,
    {"ann": ("dev", "ops"), "bob": ("dev",), "carl": (), "root": ("root",)},
    {
        "dev": (Grant("READ", b"/app/", b"/app0"), Grant("READWRITE", b"/app/dev")),
        "ops": (Grant("WRITE", b"/app/", b"/app0"), Grant("READWRITE", b"/ops/", b"/ops0")),
        "root": (),
    },
)


# --- ranges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranges", "key", "end", "how"),
    [
        ([(b"a", b"c"), (b"c", b"e")], b"a", b"e", FULL),  # neighbours cover together
        ([(b"a", b"c"), (b"d", b"e")], b"a", b"e", PART),
        ([(b"a", b"c")], b"c", b"", NONE),  # the end is not within
        ([(b"a", b"")], b"a", b"", FULL),
        ([(b"a", b"")], b"a", b"b", PART),
        ([(b"a", b"")], b"a\0", b"", NONE),
        ([EVERYTHING], b"x", b"\0", FULL),
        ([EVERYTHING], *EVERYTHING, FULL),
        ([(b"b", b"\0")], *EVERYTHING, PART),
        ([(b"b", b"\0")], b"c", b"\0", FULL),
        ([(b"c", b"a")], b"b", b"", NONE),  # a reversed range holds nothing
        ([], b"a", b"", NONE),
    ],
)
def test_reach(ranges: list[tuple[bytes, bytes]], key: bytes, end: bytes, how: str) -> None:
    assert reach(ranges, key, end) == how


letters = st.binary(min_size=1, max_size=2)
some_range = st.tuples(letters, st.one_of(st.just(b""), st.just(b"\0"), letters))


@given(st.lists(some_range, max_size=5), letters)
def test_the_union_holds_a_key_exactly_when_one_range_does(
    ranges: list[tuple[bytes, bytes]], key: bytes
) -> None:
    def within(each: tuple[bytes, bytes]) -> bool:
        start, stop = span(*each)
        return start <= key and (stop is None or key < stop)

    assert (reach(ranges, key, b"") == FULL) is any(within(each) for each in ranges)
    union = merged(ranges)
    assert all(a[1] is not None and a[1] < b[0] for a, b in itertools.pairwise(union))


@given(st.binary(min_size=1, max_size=4), st.binary(max_size=3))
def test_a_prefix_holds_exactly_the_keys_that_begin_with_it(prefix: bytes, rest: bytes) -> None:
    assert reach([prefix_range(prefix)], prefix + rest, b"") == FULL
    if not rest.startswith(prefix):
        assert reach([prefix_range(prefix)], rest or b"\0", b"") == (
            FULL if (rest or b"\0").startswith(prefix) else NONE
        )


@pytest.mark.parametrize(
    ("text", "found", "in_words"),
    [
        ("/a", (b"/a", b""), "exactly /a"),
        ("/a/*", (b"/a/", b"/a0"), "prefix /a/"),
        ("*", EVERYTHING, "every key"),
        ("a .. c", (b"a", b"c"), "a up to (without) c"),
        ("b ..", (b"b", b"\0"), "from b on"),
        ("\\xff*", (b"\xff", b"\0"), "from \\xff on"),
    ],
)
def test_ranges_as_they_are_typed_and_said(
    text: str, found: tuple[bytes, bytes], in_words: str
) -> None:
    assert parse_range(text) == found
    assert range_words(*found) == in_words
    assert parse_range(range_text(*found)) == found


@pytest.mark.parametrize("text", ["", "  ", "c .. a"])
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_range(text)


# --- who ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "keys", "shown"),
    [
        ("ann", "/app/*", "RW"),
        ("bob", "/app/*", "Rw"),
        ("bob", "/app/dev", "RW"),
        ("bob", "/ops/x", "·"),
        ("bob", "*", "rw"),
        ("carl", "*", "·"),
        ("root", "*", "RW"),
    ],
)
def test_what_a_user_may_do(user: str, keys: str, shown: str) -> None:
    assert touch(PICTURE, user, *parse_range(keys)).letters == shown


def test_who_can_touch_a_key_and_through_which_role() -> None:
    found = who_can_touch(PICTURE, *parse_range("/app/web"))
    assert [(each.user, each.letters) for each in found] == [
        ("ann", "RW"),
        ("root", "RW"),
        ("bob", "R"),
        ("carl", "·"),
    ]
    assert found[0].via == (("dev", "read prefix /app/"), ("ops", "write prefix /app/"))
    assert found[2].via == (("dev", "read prefix /app/"),)


def test_the_other_way_round() -> None:
    assert reaches_of(PICTURE, "bob") == [
        ("R", "prefix /app/", "dev"),
        ("RW", "exactly /app/dev", "dev"),
    ]
    assert reaches_of(PICTURE, "root") == [("RW", "every key", "root")]
    assert holders(PICTURE, "dev") == ["ann", "bob"]
    assert columns(PICTURE) == [(b"/app/", b"/app0"), (b"/app/dev", b""), (b"/ops/", b"/ops0")]


def test_own_ranges_say_what_is_missing() -> None:
    own = OwnRanges(
        "bob", ("dev",), (("dev", Grant("READ", b"/app/", b"/app0")),), everything=False
    )
    assert own.may("READ", b"/app/x")
    assert own.missing("READ", b"/app/x") == ""
    assert own.missing("WRITE", b"/app/x") == (
        "bob has no write permission for exactly /app/x (may write nothing)"
    )
    assert "dev: prefix /app/" in own.missing("READ", b"/b/", b"/b0")
    assert "bob has the role dev" in own.missing_root()
    assert own.ranges() == [(b"/app/", b"/app0")]
    assert OwnRanges().missing("WRITE", b"x") == ""
    assert OwnRanges().ranges() == [EVERYTHING]
    assert OwnRanges("x", everything=False, known=False).missing_root() == ""


# --- members --------------------------------------------------------------------------------------


def members(*kinds: str) -> list[MemberFigures]:
    """``L`` leads, ``F`` follows, ``N`` learns, ``x`` does not answer; in their order n1, n2, …"""
    lead = next((n + 1 for n, kind in enumerate(kinds) if kind == "L"), 0)
    return [
        MemberFigures(
            n + 1,
            f"n{n + 1}",
            f"http://n{n + 1}",
            learner=kind == "N",
            error="gone" if kind == "x" else "",
            leader=0 if kind == "x" else lead,
            db_bytes=100 * (n + 1),
            in_use_bytes=40,
            index=1_000,
            applied=1_000,
            term=3,
        )
        for n, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ("kinds", "which", "kept", "words"),
    [
        ("LFF", 2, True, "2 voters, 2 up, 2 needed: survives no further loss"),
        ("LFx", 3, True, "2 voters, 2 up, 2 needed"),
        ("LFx", 2, False, "2 voters, 1 up, 2 needed: NO QUORUM, 1 too few"),
        ("LFFFF", 2, True, "4 voters, 4 up, 3 needed: survives the loss of 1"),
        ("L", 1, False, "the cluster would end"),
        ("LFFN", 4, True, "a learner has no vote"),
        ("LFF", 1, True, "it leads now"),
    ],
)
def test_what_removing_a_member_means(kinds: str, which: int, kept: bool, words: str) -> None:
    figures = members(*kinds)
    effect = removal(figures, figures[which - 1])
    assert effect.kept is kept
    assert any(words in line for line in effect.lines)


@pytest.mark.parametrize(
    ("kinds", "learner", "kept"),
    [
        ("LFF", False, True),
        ("L", False, False),
        ("LF", False, True),
        ("LFx", False, False),
        ("L", True, True),
        ("LFx", True, True),
    ],
)
def test_what_adding_a_member_means(kinds: str, learner: bool, kept: bool) -> None:
    assert addition(members(*kinds), learner).kept is kept


def test_a_learners_progress_and_promotion() -> None:
    figures = members("L", "F", "F", "N")
    assert promotion(figures, figures[3]).kept
    behind = replace(figures[3], applied=899)
    share, text = progress(behind, figures)
    assert share == pytest.approx(0.899)
    assert "101 entries behind: not ready" in text
    assert "can be promoted" in progress(replace(behind, applied=900), figures)[1]


def test_alarms_are_read_from_statuses() -> None:
    figures = members("L", "F")
    figures[0] = replace(figures[0], errors=("memberID:2 alarm:NOSPACE", "etcdserver: no leader"))
    figures[1] = replace(
        figures[1], errors=("memberID:2 alarm:NOSPACE", "memberID:1 alarm:CORRUPT")
    )
    assert alarms_in(figures) == [AlarmView(1, "CORRUPT"), AlarmView(2, "NOSPACE")]


def test_a_new_members_environment_is_etcdctls() -> None:
    cluster = (("n1", "http://a:1"), ("", "http://b:2"), ("", "http://c:3"))
    added = AddedMember(0xBEEF, ("http://b:2", "http://c:3"), cluster)
    assert added.environment("n4") == [
        'ETCD_NAME="n4"',
        'ETCD_INITIAL_CLUSTER="n1=http://a:1,n4=http://b:2,n4=http://c:3"',
        'ETCD_INITIAL_ADVERTISE_PEER_URLS="http://b:2,http://c:3"',
        'ETCD_INITIAL_CLUSTER_STATE="existing"',
    ]
    assert added.command("n 4", "kvorum").startswith("kvorum serve '--name=n 4' ")


# --- one at a time --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "order"),
    [
        ("LFF", ["n3", "n2", "n1"]),  # most to gain first, the leader last
        ("FLF", ["n3", "n1", "n2"]),
        ("FLN", []),  # of two voters none may stand still
        ("FLFN", ["n4", "n3", "n1", "n2"]),  # learners before all
        ("FFFFLx", ["n4", "n3", "n2", "n1", "n5"]),
        ("LFx", []),
        ("FxF", []),  # no leader
        ("L", ["n1"]),
    ],
)
def test_who_has_a_turn_and_when(kinds: str, order: list[str]) -> None:
    plan = defrag_plan(members(*kinds), hand_over=True)
    assert [step.name for step in plan.steps] == order
    assert bool(plan.refusal) is not bool(order)
    for number, step in enumerate(plan.steps):
        assert step.leads is (number == len(plan.steps) - 1)
        assert (step.hand_to != 0) is (step.leads and len(plan.steps) > 1)


def test_a_learner_alone_may_have_its_turn_where_no_voter_may() -> None:
    figures = members("L", "F", "N")
    assert [step.name for step in defrag_plan(figures, False, only=[3]).steps] == ["n3"]
    assert defrag_plan(figures, False, only=[2]).refusal


def test_one_voter_is_warned_of_only_where_members_fall_silent() -> None:
    assert "answers nothing" in defrag_plan(members("L"), False).notes[0]
    assert defrag_plan(members("L"), False, serves=True).notes == ()


def test_a_plan_says_who_is_left_out_and_what_it_should_bring() -> None:
    plan = defrag_plan(members(*"FFFFLx"), hand_over=False)
    assert plan.notes == ("n6 is left out: gone",)
    assert plan.free_bytes == 100 + 200 + 300 + 400 + 500 - 5 * 40
    assert plan.steps[-1].hand_to == 0


def test_a_step_is_judged_again_before_it_is_taken() -> None:
    figures = members("L", "F", "F")
    step = defrag_plan(figures, False).steps[0]
    assert why_not_step(figures, step) == ""
    assert "2 of 3 voters are up" in why_not_step(members("L", "x", "F"), step)
    assert "does not answer" in why_not_step(members("L", "F", "x"), step)
    assert "no member any more" in why_not_step(members("L", "F"), step)


def test_what_is_waited_for_after_a_turn() -> None:
    figures = members("L", "F", "F")
    step = defrag_plan(figures, False).steps[0]
    assert waits_for(figures, step) == ""
    assert "does not answer" in waits_for(members("L", "F", "x"), step)
    figures[2] = replace(figures[2], leader=0)
    assert "knows no leader" in waits_for(figures, step)
    figures[2] = replace(figures[2], leader=1, applied=800)
    assert "200 entries behind" in waits_for(figures, step)


# --- compaction -----------------------------------------------------------------------------------

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "revision", "wrong"),
    [
        ("now", 5_000, ""),
        ("4,000", 4_000, ""),
        ("keep 1000", 4_000, ""),
        ("keep last 1_000", 0, "keep 1000"),
        ("-1000", 4_000, ""),
        ("5001", 0, "the newest revision is 5,000"),
        ("100", 0, "nothing before 100"),
        ("keep 9000", 0, "revision -4,000"),
        ("soon", 0, "keep 1000"),
    ],
)
def test_which_revision_is_meant(text: str, revision: int, wrong: str) -> None:
    choice = parse_choice(text, 5_000, 100, NOW, "2023-11-14")
    assert (choice.revision, choice.at_s) == (revision, 0.0)
    assert wrong in choice.wrong if wrong else not choice.wrong


@pytest.mark.parametrize(
    ("text", "ago"), [("2 h ago", 7_200), ("30min", 1_800), ("1d", 86_400), ("45 s", 45)]
)
def test_times_ago(text: str, ago: float) -> None:
    assert parse_choice(text, 5_000, 100, NOW, "2023-11-14").at_s == NOW - ago


def test_times_of_a_clock() -> None:
    plain = parse_choice("14:30", 9, 0, NOW, "2023-11-14").at_s
    assert plain == parse_choice("2023-11-14 14:30:00", 9, 0, NOW, "1999-01-01").at_s
    assert parse_choice("2023-11-15 14:30", 9, 0, NOW, "1999-01-01").at_s - plain == 86_400


def test_what_a_compaction_takes_is_said() -> None:
    lines = [text for text, _ in compaction_lines(900, 1_000, 100, [("watch /a", 500)])]
    assert "800 revisions before 900" in lines[0]
    assert "all 101 revisions" in lines[1]
    assert any("watch /a at revision 500 will have a gap" in line for line in lines)
    above = [text for text, _ in compaction_lines(900, 1_000, -1, [("watch /a", 950)])]
    assert any("none is below" in line for line in above)


def test_space_by_member() -> None:
    figures = members("L", "x")
    figures[0] = replace(figures[0], quota_bytes=200)
    assert space_rows(figures) == [
        ("n1", "100 B", "40 B", "60%", "50% of 200 B"),
        ("n2", "", "", "", "gone"),
    ]

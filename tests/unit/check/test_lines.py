"""Lines of a history: back and forth, and what is said of wrong ones."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum.check import records as r
from kvorum.check.lines import LineError, decode_line, encode_line, read_history
from unit.check.reference import make

HEAD = '{"run":{"format":1}}'
OP = '{"op":{"id":1,"client":1,"called":5,"request":{"put":{"key":"a"}},%s}}'


@pytest.mark.parametrize("seed", range(5))
def test_a_history_survives_being_written(seed: int) -> None:
    history = make(Random(seed), 100, compact=True)
    assert read_history(map(encode_line, history.lines())) == history


@settings(max_examples=200, deadline=None)
@given(st.binary(), st.binary(), st.integers(-(1 << 63), (1 << 63) - 1), st.text(), st.booleans())
def test_any_bytes_numbers_and_texts_survive(
    key: bytes, value: bytes, number: int, text: str, flag: bool
) -> None:
    kv = r.Kv(key, value, number, number, number, number)
    lines: list[r.Line] = [
        r.Operation(
            number,
            1,
            number,
            r.Txn(
                (r.Compare("VALUE", "LESS", key, value, number, value),),
                (r.Txn((), (r.Range(key, value, number, number, flag, flag, flag),)),),
                (r.Delete(key, value, flag), r.Put(key, value, number, flag, flag, flag)),
            ),
            number,
            r.TxnAnswer(
                flag,
                (
                    r.RangeAnswer((kv, kv), number, flag),
                    r.DeleteAnswer(number, (kv,)),
                    r.PutAnswer(kv if flag else None),
                ),
            ),
            number,
            number,
            text,
        ),
        r.Seen(number, number, number, (r.Event("PUT", kv, kv), r.Event("DELETE", kv))),
        r.Fault(text, number, number, text, text),
    ]
    for line in lines:
        assert decode_line(encode_line(line)) == line


def test_every_kind_of_line_has_one_form() -> None:
    """The format is stable: these lines are read, and written, for ever."""
    kv = r.Kv(b"k", b"v", 2, 3, 2)
    forms: dict[str, r.Line] = {
        '{"run":{"format":1,"name":"x","members":["n1"]}}': r.Run("x", members=("n1",)),
        '{"state":{"revision":3,"kvs":[["k","v",2,3,2]]}}': r.State(3, (kv,)),
        '{"op":{"id":1,"client":2,"called":3,"request":{"range":{"key":"k"}},"returned":4,'
        '"answer":{"range":{"kvs":[["k","v",2,3,2]],"total":1}},"revision":3,"member":"n1"}}': (
            r.Operation(1, 2, 3, r.Range(b"k"), 4, r.RangeAnswer((kv,), 1), revision=3, member="n1")
        ),
        '{"op":{"id":1,"client":2,"called":3,"request":{"grant":{"ttl_s":5}},"unknown":true}}': (
            r.Operation(1, 2, 3, r.Grant(5), unknown=True)
        ),
        '{"watch":{"id":1,"client":2,"called":3,"key":"a","end":{"base64":"/w=="},"start":4}}': (
            r.Watch(1, 2, 3, b"a", b"\xff", 4)
        ),
        '{"seen":{"watch":1,"at":2,"revision":3,"events":[{"kind":"DELETE","kv":["k","",0,3],'
        '"prev":["k"]}]}}': r.Seen(1, 2, 3, (r.Event("DELETE", r.Kv(b"k", mod=3), r.Kv(b"k")),)),
        '{"expiry":{"lease":7,"at":2,"member":"n1"}}': r.Expiry(7, 2, "n1"),
        '{"hold":{"lock":"l","client":1,"asked":1,"since":2,"until":-1,"revision":3}}': r.Hold(
            b"l", 1, 1, 2, r.NEVER, 3
        ),
        '{"fault":{"kind":"sever","at":1,"until":5,"target":"n1"}}': r.Fault("sever", 1, 5, "n1"),
        '{"dump":{"member":"n1","first":2,"last":3}}': r.Dump("n1", 2, 3),
        '{"applied":{"member":"n1","revision":3,"events":[{"kind":"PUT","kv":["k","v",2,3,2]}]}}': (
            r.Applied("n1", 3, (r.Event("PUT", kv),))
        ),
        '{"digest":{"member":"n1","revision":3,"value":255}}': r.Digest("n1", 3, 255),
        '{"quiet":{"at":9,"revision":3}}': r.Quiet(9, 3),
    }
    for text, line in forms.items():
        assert encode_line(line) == text
        assert decode_line(text) == line


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], "line 1: run: the history is empty"),
        (["[]"], "line 1: must be an object with one kind as its only field"),
        (["{"], "line 1: not JSON: Expecting property name enclosed in double quotes at column 2"),
        (['{"run":{"format":2}}'], "line 1: run.format: must be 1, not 2"),
        ([HEAD, HEAD], "line 2: run: only the first line, and that one always, is the run's head"),
        ([OP % '"x":1'], "line 1: op.x: no such field"),
        (
            [HEAD, OP % '"returned":"1"'],
            "line 2: op.returned: must be a whole number, not a string",
        ),
        (
            [HEAD, OP % '"returned":1.5'],
            "line 2: op.returned: must be a whole number, not a fraction",
        ),
        ([HEAD, OP % '"returned":4'], "line 2: op.returned: is before it was called"),
        (
            [HEAD, OP % '"returned":6,"answer":{"range":{}}'],
            "line 2: op.answer: is not an answer to this kind of request",
        ),
        (
            [HEAD, OP % '"returned":6,"answer":{"put":{}},"error":"x"'],
            "line 2: op: has both an answer and an error",
        ),
        ([HEAD, *[OP % '"unknown":true'] * 2], "line 3: op.id: 1 stands above already"),
        ([HEAD, '{"seen":{"watch":4,"at":1}}'], "line 2: seen.watch: no watch 4 stands above"),
        (
            [HEAD, '{"state":{"revision":1,"kvs":[["a"],["b","c",null]]}}'],
            "line 2: state.kvs[1][2]: must be a whole number, not null",
        ),
        (
            [HEAD, '{"watch":{"id":1,"client":1,"called":1,"key":{"base64":"?"}}}'],
            "line 2: watch.key.base64: is not base64",
        ),
        (
            [HEAD, '{"watch":{"id":1,"client":1,"called":1,"key":"\\ud800"}}'],
            "line 2: watch.key: half a surrogate pair is no text",
        ),
        ([HEAD, '{"expiry":{"lease":1}}'], "line 2: expiry.at: is missing"),
        (["[" * 100_000], "line 1: not JSON: nested too deeply"),
        ([HEAD, '{"op":1,"quiet":2}'], "line 2: must be an object with one kind as its only field"),
        ([HEAD, '{"quiet":[]}'], "line 2: quiet: must be an object, not a list"),
        ([HEAD, OP % '"unknown":1'], "line 2: op.unknown: must be true or false, not a number"),
        ([HEAD, OP % '"error":true'], "line 2: op.error: must be a string, not a flag"),
        (
            [HEAD, '{"watch":{"id":1,"client":1,"called":1,"key":{"base64":1}}}'],
            'line 2: watch.key: must be a string or {"base64": "..."}, not an object',
        ),
        (
            [HEAD, '{"state":{"revision":1,"kvs":[[]]}}'],
            "line 2: state.kvs[0]: must be a list of key, value, create, mod, version, lease",
        ),
        (
            [HEAD, '{"state":{"revision":1,"kvs":{}}}'],
            "line 2: state.kvs: must be a list, not an object",
        ),
        (
            [HEAD, '{"seen":{"watch":1,"at":2,"events":[{"kind":"EAT","kv":["k"]}]}}'],
            "line 2: seen.events[0].kind: must be one of PUT, DELETE",
        ),
        (
            [HEAD, '{"sleep":{}}'],
            "line 2: sleep: no such kind; there are run, state, op, watch, "
            "seen, expiry, hold, fault, dump, applied, digest, quiet",
        ),
        (
            [HEAD, '{"hold":{"lock":"","client":1,"asked":3,"since":2,"until":4,"revision":1}}'],
            "line 2: hold: asked, since and until must follow one another",
        ),
    ],
)
def test_a_wrong_line_is_named(lines: list[str], problem: str) -> None:
    with pytest.raises(LineError) as caught:
        read_history(lines)
    assert str(caught.value) == problem

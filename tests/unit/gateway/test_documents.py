"""Objects are cut out of a body wherever its pieces begin and end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvorum.api.gateway.documents import Objects
from kvorum.api.gateway.forms import FormError

LIMIT_BYTES = 1000
TEXTS = st.text(alphabet='a"\\{}[]: é', max_size=6)
OBJECTS = st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS, max_size=2) | st.integers(), max_size=3)


def cut(pieces: list[bytes]) -> list[bytes]:
    objects, found = Objects(LIMIT_BYTES), []
    for piece in pieces:
        objects.feed(piece)
        while (one := objects.take()) is not None:
            found.append(one)
    objects.end()
    return found


@given(
    st.lists(OBJECTS, max_size=4),
    st.sampled_from(["", " ", "\n", "\r\n\t"]),
    st.integers(1, 9),
    st.booleans(),
)
def test_objects_are_found_however_the_bytes_arrive(
    values: list[object], space: str, size: int, ascii_only: bool
) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii_only) for value in values]
    body = (space + space.join(texts) + space).encode()
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert [one.decode() for one in cut(pieces)] == texts


@pytest.mark.parametrize("body", [b"x", b"[]", b'"{}"', b"}", b"null", b" 5"])
def test_what_is_no_object_is_refused_at_once(body: bytes) -> None:
    with pytest.raises(FormError, match="a JSON object is expected"):
        cut([body])


def test_objects_before_the_wrong_one_are_found() -> None:
    objects = Objects(LIMIT_BYTES)
    objects.feed(b"{} x")
    assert objects.take() == b"{}"
    with pytest.raises(FormError):
        objects.take()


def test_an_object_that_breaks_off_is_refused() -> None:
    with pytest.raises(FormError, match="ends inside"):
        cut([b'{"a":"}'])


@pytest.mark.parametrize("pieces", [[b'{"a":"' + b"x" * 995 + b'"}'], [b'{"a":"', b"x" * 995]])
def test_an_object_is_bounded(pieces: list[bytes]) -> None:
    with pytest.raises(FormError, match="larger than 1000 bytes"):
        cut(pieces)
    assert len(cut([b'{"a":"' + b"x" * 992 + b'"}'])) == 1
    # Several objects together may be larger.
    assert len(cut([(b'{"a":"' + b"x" * 900 + b'"}') * 3])) == 3

"""Values made readable: the right form by itself, forms within forms, and back byte for byte."""

from __future__ import annotations

import base64
import gzip
import json
import random
import struct
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, struct_pb2
from kvorum_tui.model.decoders import MAX_VIEW_BYTES, Decoders, NotThis, decode, editing, wire
from kvorum_tui.model.decoders.msgpack import pack, unpack
from kvorum_tui.model.decoders.plugins import Plugin, found
from kvorum_tui.model.decoders.schema import Schema
from kvorum_tui.model.decoders.texts import squeezed

JSON = b'{"port": 80, "tags": ["a"]}'
POD = (
    b"k8s\x00"
    + wire.put(1, wire.LEN, wire.put(1, wire.LEN, b"v1") + wire.put(2, wire.LEN, b"Pod"))
    + wire.put(
        2,
        wire.LEN,
        wire.put(
            1,
            wire.LEN,
            wire.put(1, wire.LEN, b"web-0")
            + wire.put(3, wire.LEN, b"shop")
            + wire.put(11, wire.LEN, wire.put(1, wire.LEN, b"app") + wire.put(2, wire.LEN, b"web")),
        )
        + wire.put(2, wire.LEN, wire.put(10, wire.LEN, b"node-7")),
    )
)


@pytest.mark.parametrize(
    ("data", "title", "line"),
    [
        (b"", "empty", ""),
        (JSON, "json", '  "port": 80,'),
        (b"a: 1\nb:\n  - x\n", "yaml", "b:"),
        (b'a = "x"\n[t]\nb = 2\n', "toml", 'a = "x"'),
        (b"plain words", "text", "plain words"),
        (b"80", "text", "80"),
        (b"\x00\xff\xfe", "hex", "000000  00 ff fe"),
        (gzip.compress(JSON, mtime=0), "gzip › json", '  "port": 80,'),
        (base64.b64encode(JSON), "base64 › json", '  "port": 80,'),
        (
            base64.urlsafe_b64encode(gzip.compress(JSON, mtime=0)),
            "base64 › gzip › json",
            '  "port": 80,',
        ),
        (b"da39a3ee5e6b4b0d3255bfef95601890afd80709", "text", "da39"),
        (pack({"a": 1, "b": [True, None]}), "msgpack", '  "a": 1,'),
        (wire.put(1, wire.LEN, b"hello") + wire.put(2, wire.VARINT, 300), "protobuf", "2: 300"),
        (POD, "kubernetes › Pod", '  name: "web-0"'),
        (b"k8s:enc:aescbc:v1:key1:\x00\x01", "kubernetes", "encrypted at rest (aescbc:v1:key1)"),
        ((12_345).to_bytes(8, "big"), "hex", "000000"),
    ],
)
def test_the_form_is_found_by_itself(data: bytes, title: str, line: str) -> None:
    decoded = decode(data)
    assert decoded.title == title
    assert any(line in shown for shown in decoded.lines) or not line
    assert all(c.isprintable() for shown in decoded.lines for c in shown)


def test_kubernetes_metadata_have_names_and_specs_numbers() -> None:
    text = "\n".join(decode(POD).lines)
    assert text.startswith("apiVersion: v1\nkind: Pod\nmetadata {\n")
    assert '  namespace: "shop"' in text
    assert '  labels {\n    key: "app"\n    value: "web"\n  }' in text
    assert 'spec {\n  10: "node-7"\n}' in text


@pytest.mark.parametrize(
    "data",
    [
        JSON,
        b'{"a":1,"b":[1.50,2e3,12345678901234567890]}',
        b'{"a": 1, "b": "x, y: z"}',
        b"a: 1\nb: 2",
        b"x = 1\n",
        b"text \t with\r\nlines",
        bytes(range(256)),
        base64.b64encode(JSON) + b"\n",
        base64.urlsafe_b64encode(b'{"k": "\xc3\xbf\xc3\xbf>>>"}').rstrip(b"="),
        pack({"a": [1, -1, 2**40, "ü", 1.5], "b": {"$bytes": "00ff"}}),
    ],
)
def test_what_is_not_changed_comes_back_byte_for_byte(data: bytes) -> None:
    form = editing(data)
    assert not form.why_not
    assert form.encode(form.text) == data


def test_gzip_is_edited_by_what_is_inside() -> None:
    form = editing(gzip.compress(b'{"port":80}'))
    changed = form.encode(form.text.replace("80", "81"))
    assert gzip.decompress(changed) == b'{"port":81}'
    assert changed == form.encode(form.text.replace("80", "81"))
    with pytest.raises(ValueError, match="Expecting"):
        form.encode("{")


@pytest.mark.parametrize(
    ("data", "text", "why"),
    [
        (JSON, '{"port": }', "Expecting value"),
        (b"a: 1\nb: 2", "a: [1", "expected"),
        (b"a = 1", "a = ", "Invalid"),
        (b"\x00\xff", "0g", "non-hexadecimal"),
        (pack([1]), "[1", "Expecting"),
    ],
)
def test_a_wrong_text_is_refused_with_the_reason(data: bytes, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        editing(data).encode(text)


def test_what_would_change_by_itself_is_not_edited() -> None:
    long_form = b"\x81\xa1a\xcc\x01"  # 1 in two bytes where one would do
    assert decode(long_form).title == "msgpack"
    assert "longer forms" in editing(long_form).why_not
    assert "not edited" in editing(POD).why_not
    with pytest.raises(NotThis):
        editing(POD).encode("x")


def test_laying_json_out_changes_blanks_only() -> None:
    text = b'{"a":{},"b":[ ],"c":[1.50,{"x":"{,:}\\u00fc"}],"a":null}'
    assert decode(text).lines == (
        "{",
        '  "a": {},',
        '  "b": [],',
        '  "c": [',
        "    1.50,",
        "    {",
        '      "x": "{,:}\\u00fc"',
        "    }",
        "  ],",
        '  "a": null',
        "}",
    )


def test_squeezing_json_leaves_strings_and_numbers_alone() -> None:
    text = '{\n  "a b": [1.0, 2],\n  "c\\" : ,": "x : y"\n}'
    assert squeezed(text) == '{"a b":[1.0,2],"c\\" : ,":"x : y"}'
    assert squeezed(text, ", ", ": ") == '{"a b": [1.0, 2], "c\\" : ,": "x : y"}'


def _anything(rng: random.Random, depth: int = 0) -> Any:
    kinds: list[Any] = [
        None,
        rng.random() < 0.5,
        rng.randrange(-(2 ** rng.randrange(1, 63)), 2 ** rng.randrange(1, 64)),
        rng.random(),
        "é" * rng.randrange(0, 40),
        {"$bytes": rng.randbytes(rng.randrange(300)).hex()},
        {"$ext": [rng.randrange(-128, 128), rng.randbytes(rng.choice((1, 3, 16))).hex()]},
    ]
    if depth < 3:
        kinds.append([_anything(rng, depth + 1) for _ in range(rng.randrange(20))])
        kinds.append({f"k{n}": _anything(rng, depth + 1) for n in range(rng.randrange(20))})
        kinds.append({"$map": [[1, _anything(rng, depth + 1)], ["x", 2]]})
    return rng.choice(kinds)


@pytest.mark.parametrize("seed", range(40))
def test_msgpack_round_trip(seed: int) -> None:
    value = _anything(random.Random(seed))
    assert unpack(pack(value)) == value
    broken = pack([value])[:-1]
    with pytest.raises(ValueError):
        unpack(broken)


def test_random_bytes_never_break_a_form() -> None:
    rng = random.Random(5)
    forms = Decoders()
    for _ in range(400):
        data = rng.randbytes(rng.randrange(1, 60))
        if rng.random() < 0.5:
            data = rng.choice((b"\x1f\x8b\x08", b"k8s\x00", b"{", b"\x82", b"\x0a")) + data
        shown = forms.decode(data)
        assert shown.lines
        for fit in forms.fitting(data):
            assert forms.decode(data, fit.name).kind == fit.name


# --- protobuf with a descriptor -------------------------------------------------------------------


def descriptors() -> bytes:
    """struct.proto and descriptor.proto, as protoc writes them."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (struct_pb2, descriptor_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    return files.SerializeToString()


def test_a_message_by_its_descriptor_and_back() -> None:
    schema = Schema()
    assert schema.add(descriptors()) > 20
    made = struct_pb2.Struct()
    made.update({"a": 1.5, "b": [True, "x"]})
    data = made.SerializeToString(deterministic=True)
    value = schema.decode("google.protobuf.Struct", data)
    assert value == {
        "fields": {
            "a": {"number_value": 1.5},
            "b": {
                "list_value": {"values": [{"bool_value": True}, {"string_value": "x"}]},
            },
        }
    }
    assert schema.encode("google.protobuf.Struct", value) == data
    # A descriptor describes itself: enums, repeated messages, nested types, packed or not.
    own = descriptor_pb2.DESCRIPTOR.serialized_pb
    told = schema.decode("google.protobuf.FileDescriptorProto", own)
    assert told["package"] == "google.protobuf"
    assert told["message_type"][0]["field"][0]["type"] == "TYPE_MESSAGE"
    parsed = descriptor_pb2.FileDescriptorProto.FromString(
        schema.encode("google.protobuf.FileDescriptorProto", told)
    )
    assert parsed == descriptor_pb2.FileDescriptorProto.FromString(own)


def test_a_type_is_chosen_offered_and_edited() -> None:
    forms = Decoders()
    forms.schema.add(descriptors())
    made = struct_pb2.Value(string_value="hello")
    data = made.SerializeToString()
    name = "protobuf:google.protobuf.Value"
    assert name in [fit.name for fit in forms.fitting(data)]
    shown = forms.decode(data, name)
    assert shown.title == "protobuf › google.protobuf.Value"
    form = forms.editing(data, name)
    assert json.loads(form.text) == {"string_value": "hello"}
    made.string_value = "bye"
    assert form.encode('{"string_value": "bye"}') == made.SerializeToString()
    with pytest.raises(ValueError, match="no field"):
        form.encode('{"nonsense": 1}')
    other = forms.decode(b"\xff\xff", name)
    assert other.kind == "hex"
    assert "not google.protobuf.Value" in other.note


def test_all_scalar_types_like_googles_own() -> None:
    """Every scalar type, packed and not, zigzag and fixed, compared with protobuf itself."""
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    message = file.message_type.add(name="All")
    kinds = [k for k in range(1, 19) if k not in (10, 11, 14)]
    for number, kind in enumerate(kinds, 1):
        for label, extra in ((1, 0), (3, 100)):
            message.field.add(
                name=f"f{kind}_{label}", number=number + extra, type=kind, label=label
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.All"))
    values = {1: -1.5, 2: 0.25, 8: True, 9: "tö", 12: b"\x00\xff"}
    made = cls()
    for kind in kinds:
        value = values.get(kind, -7 if kind in (3, 5, 15, 16, 17, 18) else 7)
        setattr(made, f"f{kind}_1", value)
        getattr(made, f"f{kind}_3").extend([value, value])
    data = made.SerializeToString(deterministic=True)
    schema = Schema()
    schema.add(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
    told = schema.decode("t.All", data)
    assert told["f18_1"] == -7
    assert told["f15_3"] == [-7, -7]
    assert told["f12_1"] == {"$bytes": "00ff"}
    assert schema.encode("t.All", told) == data


def test_what_is_no_descriptor_set_is_refused() -> None:
    for data in (b"", b"nonsense", struct.pack("<q", 9)):
        with pytest.raises(ValueError):
            Schema().add(data)


# --- bounds and plugins ---------------------------------------------------------------------------


def test_large_values_are_cut_unless_all_is_asked_for() -> None:
    forms = Decoders()
    big = json.dumps([{"n": n} for n in range(20_000)]).encode()
    quick = forms.decode(big)
    assert quick.kind == "text"
    assert quick.cut == len(big) - MAX_VIEW_BYTES
    deep = forms.decode(big, deep=True)
    assert deep.kind == "json"
    assert deep.cut > 0
    assert sum(map(len, deep.lines)) <= MAX_VIEW_BYTES
    whole = forms.decode(big, deep=True, whole=True)
    assert whole.cut == 0
    assert json.loads("".join(whole.lines)) == json.loads(big)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * (64 * 1024 * 1024))
    assert decode(bomb[:60_000]).kind == "hex"


class Upside:
    """A decoder as another package would bring it."""

    name = "upside"
    about = "turned round"

    def fits(self, data: bytes) -> bool:
        return data.startswith(b"UP:")

    def show(self, data: bytes) -> str:
        return data[3:].decode()[::-1]

    def encode(self, text: str, like: bytes) -> bytes:
        return b"UP:" + text[::-1].encode()


class Broken:
    """One that fails on every value."""

    name = "broken"

    def fits(self, data: bytes) -> bool:
        raise RuntimeError("out of order")

    def show(self, data: bytes) -> str:
        return ""


def test_plugins_come_first_and_a_broken_one_harms_nobody() -> None:
    here = __name__
    entries = [
        EntryPoint("upside", f"{here}:Upside", "kvorum.decoders"),
        EntryPoint("broken", f"{here}:Broken", "kvorum.decoders"),
        EntryPoint("missing", "no_such_module:Thing", "kvorum.decoders"),
    ]
    plugins = found(entries)
    assert [isinstance(plugin, Plugin) for plugin in plugins] == [True] * 3
    forms = Decoders(plugins)
    assert forms.decode(b"UP:olleh").lines == ("hello",)
    assert forms.decode(JSON).title == "json"
    told = forms.problems()
    assert len(told) == 2
    assert any("out of order" in text for text in told)
    assert any("no_such_module" in text for text in told)
    assert forms.problems() == []
    form = forms.editing(b"UP:olleh")
    assert form.text == "hello"
    assert form.encode("hullo") == b"UP:olluh"
    assert forms.fitting(b"UP:olleh")[0].about == "turned round"

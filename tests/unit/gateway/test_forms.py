"""etcd's JSON forms: by table, and by random messages against google.protobuf's own JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from betterproto2 import Message
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from kvorum.api.gateway.documents import first_value
from kvorum.api.gateway.forms import FormError, from_json, to_json
from kvorum.api.gateway.replies import dump
from kvorum.api.gateway.routes import ROUTES
from kvorum_proto import etcdserverpb as pb
from kvorum_proto import mvccpb, v3electionpb
from kvorum_proto.authpb import Permission, PermissionType
from kvorum_proto.codec import encode
from kvorum_proto.jsonnames import full_name
from kvorum_proto.services import METHODS
from unit.proto.samples import CLASSES, TWINS, random_message

MESSAGES_A_CLASS = 40
# Every class that the gateway reads or writes.
SPOKEN = sorted(
    {full_name(METHODS[path].request) for path in ROUTES.values()}
    | {full_name(METHODS[path].response) for path in ROUTES.values()}
)


def reads(cls: type[Message], text: str) -> Message:
    return from_json(cls, first_value(text.encode()))


# --- out ------------------------------------------------------------------------------------------

OUT: list[tuple[Message, dict[str, Any]]] = [
    (pb.PutResponse(), {}),
    (
        pb.ResponseHeader(cluster_id=(1 << 64) - 1, member_id=1, revision=12, raft_term=3),
        {
            "cluster_id": "18446744073709551615",
            "member_id": "1",
            "revision": "12",
            "raft_term": "3",
        },
    ),
    # Defaults are left out, set messages are kept.
    (pb.RangeResponse(header=pb.ResponseHeader(), count=0, more=False), {"header": {}}),
    (pb.TxnResponse(succeeded=True), {"succeeded": True}),
    (
        pb.RangeResponse(kvs=[mvccpb.KeyValue(key=b"\xff\xfe", value=b"", lease=-1)], count=1),
        {"kvs": [{"key": "//4=", "lease": "-1"}], "count": "1"},
    ),
    (mvccpb.Event(type=mvccpb.EventType.DELETE), {"type": "DELETE"}),
    (mvccpb.Event(type=mvccpb.EventType(9)), {"type": 9}),
    (pb.HashResponse(hash=4294967295), {"hash": 4294967295}),
    (pb.Compare(create_revision=0), {"create_revision": "0"}),
    (pb.RequestOp(request_put=pb.PutRequest()), {"request_put": {}}),
    (
        pb.LeaseTimeToLiveResponse(id=7, ttl=-1, granted_ttl=9, keys=[b"a", b""]),
        {"ID": "7", "TTL": "-1", "grantedTTL": "9", "keys": ["YQ==", ""]},
    ),
    (
        pb.Member(id=1, name="n", peer_urls=["p"], client_urls=["c"], is_learner=True),
        {"ID": "1", "name": "n", "peerURLs": ["p"], "clientURLs": ["c"], "isLearner": True},
    ),
    (
        pb.StatusResponse(db_size=1, raft_index=2, db_size_in_use=3, errors=["e"]),
        {"dbSize": "1", "raftIndex": "2", "dbSizeInUse": "3", "errors": ["e"]},
    ),
    (
        pb.AlarmResponse(alarms=[pb.AlarmMember(member_id=5, alarm=pb.AlarmType.NOSPACE)]),
        {"alarms": [{"memberID": "5", "alarm": "NOSPACE"}]},
    ),
    (
        pb.AuthRoleGetResponse(perm=[Permission(perm_type=PermissionType.READWRITE, key=b"k")]),
        {"perm": [{"permType": "READWRITE", "key": "aw=="}]},
    ),
]


@pytest.mark.parametrize(("message", "document"), OUT, ids=lambda x: type(x).__name__)
def test_messages_have_the_forms_of_etcd(message: Message, document: dict[str, Any]) -> None:
    assert to_json(message) == document


def test_documents_are_compact_text() -> None:
    document = to_json(pb.AuthUserGetResponse(roles=["rôle", "b"]))
    assert dump(document) == '{"roles":["rôle","b"]}'.encode()


# --- in -------------------------------------------------------------------------------------------

IN: list[tuple[str, Message]] = [
    ("", pb.RangeRequest()),
    ("null", pb.RangeRequest()),
    (" {} trailing", pb.RangeRequest()),
    ('{"key":"YQ=="}', pb.RangeRequest(key=b"a")),
    # Both names, unknown ones passed over, null for unset.
    ('{"range_end":"YQ==","nope":{"x":[1]}}', pb.RangeRequest(range_end=b"a")),
    ('{"rangeEnd":"YQ==","key":null}', pb.RangeRequest(range_end=b"a")),
    # Numbers and strings.
    ('{"limit":5}', pb.RangeRequest(limit=5)),
    ('{"limit":"5"}', pb.RangeRequest(limit=5)),
    ('{"limit":-9223372036854775808}', pb.RangeRequest(limit=-(1 << 63))),
    ('{"limit":"9223372036854775807"}', pb.RangeRequest(limit=(1 << 63) - 1)),
    ('{"limit":9007199254740993.0}', pb.RangeRequest(limit=9007199254740993)),
    ('{"limit":"1.5e1"}', pb.RangeRequest(limit=15)),
    ('{"limit":-0.0}', pb.RangeRequest()),
    ('{"targetID":"18446744073709551615"}', pb.MoveLeaderRequest(target_id=(1 << 64) - 1)),
    ('{"targetID":1}', pb.MoveLeaderRequest(target_id=1)),
    # Bytes: either alphabet, with and without padding, line breaks.
    ('{"key":"//4="}', pb.RangeRequest(key=b"\xff\xfe")),
    ('{"key":"__4"}', pb.RangeRequest(key=b"\xff\xfe")),
    ('{"key":"__4="}', pb.RangeRequest(key=b"\xff\xfe")),
    ('{"key":"//4"}', pb.RangeRequest(key=b"\xff\xfe")),
    ('{"key":"Y\\nQ=="}', pb.RangeRequest(key=b"a")),
    ('{"key":""}', pb.RangeRequest()),
    # Enums by name and number, also unknown numbers.
    ('{"sort_order":"DESCEND"}', pb.RangeRequest(sort_order=pb.SortOrder.DESCEND)),
    ('{"sortOrder":2}', pb.RangeRequest(sort_order=pb.SortOrder.DESCEND)),
    ('{"sort_order":77}', pb.RangeRequest(sort_order=pb.SortOrder(77))),
    (
        '{"create_request":{"filters":["NODELETE",0]}}',
        pb.WatchRequest(
            create_request=pb.WatchCreateRequest(
                filters=[pb.FilterType.NODELETE, pb.FilterType.NOPUT]
            )
        ),
    ),
    ('{"progress_request":{}}', pb.WatchRequest(progress_request=pb.WatchProgressRequest())),
    ('{"create_revision":"0"}', pb.Compare(create_revision=0)),
    # null in a oneof leaves it to the other member.
    (
        '{"create_request":null,"cancel_request":{}}',
        pb.WatchRequest(cancel_request=pb.WatchCancelRequest()),
    ),
    ('{"TTL":30,"ID":0}', pb.LeaseGrantRequest(ttl=30)),
    ('{"leader":{"rev":"4"}}', v3electionpb.ResignRequest(leader=v3electionpb.LeaderKey(rev=4))),
    ('{"name":"\\u00fc\\ud83d\\ude00"}', pb.AuthUserGetRequest(name="ü😀")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), IN, ids=[text for text, _ in IN])
def test_requests_are_read(text: str, message: Message) -> None:
    assert reads(type(message), text) == message


REFUSED: list[tuple[type[Message], str, str]] = [
    (pb.RangeRequest, "[]", "a JSON object is expected, not an array"),
    (pb.RangeRequest, '"x"', "a JSON object is expected, not a string"),
    (pb.RangeRequest, "true", "a JSON object is expected, not a boolean"),
    (pb.RangeRequest, '{"key":', "the body is no JSON"),
    (pb.RangeRequest, "\ufeff{}", "the body is no JSON"),
    (pb.RangeRequest, '{"limit":NaN}', "NaN is no JSON"),
    (pb.RangeRequest, '{"key":5}', "key: bytes are expected"),
    (pb.RangeRequest, '{"key":"Y"}', "illegal base64 data at input byte 4"),
    (pb.RangeRequest, '{"key":"a b="}', "illegal base64 data at input byte 1"),
    (pb.RangeRequest, '{"key":"+_=="}', "illegal base64 data at input byte 0"),
    (pb.RangeRequest, '{"key":"YQ="}', "illegal base64 data"),
    (pb.RangeRequest, '{"key":"YQ==YQ=="}', "illegal base64 data at input byte 4"),
    (pb.RangeRequest, '{"limit":1.5}', "limit: the number is not whole"),
    (pb.RangeRequest, '{"limit":" 1"}', "limit: the string is no number"),
    (pb.RangeRequest, '{"limit":"1_0"}', "limit: the string is no number"),
    (pb.RangeRequest, '{"limit":""}', "limit: the string is no number"),
    (pb.RangeRequest, '{"limit":true}', "limit: a number is expected, not a boolean"),
    (pb.RangeRequest, '{"limit":9223372036854775808}', "limit: 9223372036854775808 is out of"),
    (pb.RangeRequest, '{"limit":1e999999999}', "limit: the number is out of range"),
    (pb.RangeRequest, '{"limit":"-1e999999999"}', "limit: the number is out of range"),
    (pb.RangeRequest, '{"limit":1e99999999999999999999}', "the body is no JSON"),
    (pb.RangeRequest, '{"limit":' + "9" * 5000 + "}", "the body is no JSON"),
    (pb.MoveLeaderRequest, '{"targetID":-1}', "targetID: -1 is out of range"),
    (pb.RangeRequest, '{"sort_order":"NOPE"}', "sort_order: unknown value 'NOPE'"),
    (pb.RangeRequest, '{"sort_order":"1"}', "sort_order: unknown value '1'"),
    (pb.RangeRequest, '{"sort_order":2147483648}', "sort_order: 2147483648 is out of range"),
    (pb.RangeRequest, '{"serializable":"true"}', "serializable: a boolean is expected"),
    (pb.RangeRequest, '{"serializable":1}', "serializable: a boolean is expected"),
    (pb.RangeRequest, '{"range_end":"","rangeEnd":""}', "rangeEnd: the field is given twice"),
    (pb.AuthUserGetRequest, '{"name":"\\ud800"}', "half of a surrogate pair"),
    (pb.AuthUserGetRequest, '{"name":{}}', "name: a string is expected, not an object"),
    (pb.MemberAddRequest, '{"peerURLs":"x"}', "peerURLs: an array is expected, not a string"),
    (pb.MemberAddRequest, '{"peerURLs":[null]}', "peerURLs: a string is expected, not null"),
    (pb.TxnRequest, '{"compare":[5]}', "compare: a JSON object is expected, not a number"),
    (pb.Compare, '{"version":1,"lease":1}', "lease: another member of target_union"),
    (pb.TxnRequest, '{"a":' + "[" * 200_000, "nested too deep"),
]


@pytest.mark.parametrize(
    ("cls", "text", "complaint"), REFUSED, ids=[text[:40] for _, text, _ in REFUSED]
)
def test_what_is_no_form_is_refused(cls: type[Message], text: str, complaint: str) -> None:
    with pytest.raises(FormError) as caught:
        reads(cls, text)
    assert complaint in str(caught.value)


def test_a_body_that_is_no_text_is_refused() -> None:
    with pytest.raises(FormError, match="not UTF-8 at byte 1"):
        first_value(b'"\xff"')


def nested(levels: int) -> str:
    """A transaction in a transaction in ..."""
    return '{"success":[{"request_txn":' * levels + "{}" + "}]}" * levels


def test_nesting_is_bounded_as_in_the_codec() -> None:
    assert len(encode(reads(pb.TxnRequest, nested(49)))) > 49
    with pytest.raises(FormError, match="nested too deep"):
        reads(pb.TxnRequest, nested(51))


# --- random messages ------------------------------------------------------------------------------


def assert_google_agrees(name: str, message: Message) -> None:
    """Our text is a message of google's, equal to ours; google's text is one of ours."""
    cls, twin_cls = CLASSES[name], TWINS[name]
    twin = twin_cls.FromString(encode(message))
    ours = dump(to_json(message)).decode()
    assert json_format.Parse(ours, twin_cls()) == twin
    theirs = json_format.MessageToJson(twin, preserving_proto_field_name=True)
    assert json.loads(theirs) == json.loads(ours)
    assert reads(cls, ours) == message
    assert reads(cls, theirs) == message
    assert reads(cls, json_format.MessageToJson(twin)) == message


@pytest.mark.parametrize("name", SPOKEN)
def test_random_messages_agree_with_google_protobuf(name: str) -> None:
    rng = Random(name)
    for _ in range(MESSAGES_A_CLASS):
        assert_google_agrees(name, random_message(rng, CLASSES[name]))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SPOKEN), st.randoms(use_true_random=False))
def test_messages_of_hypothesis_agree_with_google_protobuf(name: str, rng: Random) -> None:
    assert_google_agrees(name, random_message(rng, CLASSES[name], depth=2))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["key", "create_request", "success", "limit", "ID", "compare", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SPOKEN), JSON_VALUES)
def test_any_json_is_a_message_or_refused(name: str, value: object) -> None:
    text = json.dumps(value)
    try:
        message = reads(CLASSES[name], text)
    except FormError:
        return
    assert reads(CLASSES[name], dump(to_json(message)).decode()) == message
    encode(message)

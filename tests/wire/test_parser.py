"""Parsing by shape: what each JSON value becomes, and what is refused with its place."""

import base64
import string
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from botocore.model import ServiceModel
from hypothesis import given
from hypothesis import strategies as st

from openrek.contract.errors import SerializationException
from openrek.contract.model import operation_names, service_model
from openrek.wire.parser import Parser

SHAPES = {
    "Input": {
        "type": "structure",
        "members": {
            "Text": {"shape": "Text"},
            "Blob": {"shape": "Blob"},
            "Flag": {"shape": "Flag"},
            "Int": {"shape": "Int"},
            "Long": {"shape": "Long"},
            "Float": {"shape": "Float"},
            "Double": {"shape": "Double"},
            "Time": {"shape": "Time"},
            "List": {"shape": "List"},
            "Map": {"shape": "Map"},
            "Part": {"shape": "Part"},
        },
    },
    "Part": {"type": "structure", "members": {"Ints": {"shape": "Ints"}, "S3Name": {"shape": "Text"}}},
    "Text": {"type": "string"},
    "Blob": {"type": "blob"},
    "Flag": {"type": "boolean"},
    "Int": {"type": "integer"},
    "Long": {"type": "long"},
    "Float": {"type": "float"},
    "Double": {"type": "double"},
    "Time": {"type": "timestamp"},
    "List": {"type": "list", "member": {"shape": "Part"}},
    "Ints": {"type": "list", "member": {"shape": "Int"}},
    "Map": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Int"}},
}
MODEL = ServiceModel(
    {
        "metadata": {"protocol": "json"},
        "operations": {"Do": {"name": "Do", "input": {"shape": "Input"}}, "Nothing": {"name": "Nothing"}},
        "shapes": SHAPES,
    },
    service_name="test",
)

parser = Parser(MODEL)


def parse(value: Any) -> dict[str, Any]:
    return parser.parse("Do", value if isinstance(value, bytes) else orjson.dumps(value))


@pytest.mark.parametrize(
    ("sent", "parsed"),
    [
        ({}, {}),
        ({"Text": "é\u0000"}, {"Text": "é\u0000"}),
        ({"Text": None, "Part": {"Ints": None}}, {"Part": {}}),
        ({"Unknown": {"deep": [1]}, "text": 1}, {}),
        ({"Blob": "AAEC"}, {"Blob": b"\x00\x01\x02"}),
        ({"Blob": ""}, {"Blob": b""}),
        ({"Flag": False}, {"Flag": False}),
        ({"Int": 2**31 - 1, "Long": -(2**63)}, {"Int": 2**31 - 1, "Long": -(2**63)}),
        ({"Int": 5.0}, {"Int": 5}),
        ({"Float": 1, "Double": 1e300}, {"Float": 1.0, "Double": 1e300}),
        ({"List": [{"Ints": [1, None]}, {}, None]}, {"List": [{"Ints": [1, None]}, {}, None]}),
        ({"Map": {"a": 1, "": None}}, {"Map": {"a": 1, "": None}}),
    ],
)
def test_values(sent: dict[str, Any], parsed: dict[str, Any]) -> None:
    result = parse(sent)
    assert result == parsed
    assert {name: type(value) for name, value in result.items()} == {n: type(v) for n, v in parsed.items()}


def test_an_absent_body_is_an_empty_object() -> None:
    assert parse(b"") == {}
    assert parser.parse("Nothing", b'{"a":1}') == {}


@pytest.mark.parametrize(
    "sent",
    [
        1533422155.042,
        "2018-08-04T22:35:55.042Z",
        "2018-08-05T00:35:55.042+02:00",
        "2018-08-04T22:35:55.042",
    ],
)
def test_times(sent: Any) -> None:
    assert parse({"Time": sent}) == {"Time": datetime(2018, 8, 4, 22, 35, 55, 42_000, UTC)}


def test_a_time_in_rfc_822() -> None:
    assert parse({"Time": "Sat, 04 Aug 2018 22:35:55 GMT"}) == {"Time": datetime(2018, 8, 4, 22, 35, 55, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("sent", "place", "expected"),
    [
        ({"Text": 1}, "text", "a string, not the number 1"),
        ({"Text": ["x"]}, "text", "a string, not a list"),
        ({"Blob": 5}, "blob", "a base64 string, not the number 5"),
        ({"Flag": "true"}, "flag", "true or false, not the string 'true'"),
        ({"Flag": 1}, "flag", "true or false, not the number 1"),
        ({"Int": True}, "int", "a whole number of 32 bits, not true"),
        ({"Int": "1"}, "int", "a whole number of 32 bits, not the string '1'"),
        ({"Int": 1.5}, "int", "a whole number of 32 bits, not the number 1.5"),
        ({"Int": 2**31}, "int", "a whole number of 32 bits"),
        ({"Long": 2**63}, "long", "a whole number of 64 bits"),
        ({"Float": "1"}, "float", "a 32-bit number, not the string '1'"),
        ({"Float": False}, "float", "a 32-bit number, not false"),
        ({"Float": 1e39}, "float", "a 32-bit number, not the number 1e+39"),
        ({"Time": "soon"}, "time", "a time in epoch seconds, not the string 'soon'"),
        ({"Time": 1e300}, "time", "a time in epoch seconds"),
        ({"Time": True}, "time", "a time in epoch seconds, not true"),
        ({"Part": []}, "part", "an object, not a list"),
        ({"List": {}}, "list", "a list, not an object"),
        ({"Map": [1]}, "map", "an object, not a list"),
        ({"Map": {"a": 1, "b": "x" * 41}}, "map.b.member", "not a string of 41 characters"),
        ({"List": [{}, {"Ints": [1, 2, {}]}]}, "list.2.member.ints.3.member", "not an object"),
        ({"Part": {"S3Name": 0}}, "part.s3Name", "a string, not the number 0"),
    ],
)
def test_wrong_types_are_named_with_their_place(sent: Any, place: str, expected: str) -> None:
    with pytest.raises(SerializationException) as caught:
        parse(sent)
    assert caught.value.message.startswith(f"Value at '{place}' must be ")
    assert expected in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nothing",
        b"\xff\xfe",
        b'{"Text":"\xff"}',
        b'{"Text":"\\ud800"}',
        b'{"Float":NaN}',
        b'{"Float":1e999}',
        b'{"Float":-Infinity}',
        b'{"Long":' + b"9" * 100_000 + b"}",
        b"[" * 100_000,
        b'{"Unknown":' * 2000 + b"1" + b"}" * 2000,
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b"\x1f\x8b\x08\x00",
    ],
)
def test_no_json(body: bytes) -> None:
    with pytest.raises(SerializationException, match="not valid JSON"):
        parse(body)


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(SerializationException, match="'long' must be a whole number of 64 bits"):
        parse(b'{"Long":18446744073709551616}')


@pytest.mark.parametrize(
    ("body", "kind"), [(b"[]", "a list"), (b"null", "null"), (b"1", "the number 1"), (b'"x"', "string")]
)
def test_the_body_must_be_an_object(body: bytes, kind: str) -> None:
    with pytest.raises(SerializationException, match=f"must be a JSON object, not .*{kind}"):
        parse(body)


@given(st.binary(max_size=100))
def test_base64_round_trip(data: bytes) -> None:
    assert parse({"Blob": base64.b64encode(data).decode()}) == {"Blob": data}


@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AAA=A", "AA==\n", "A\nAAA", "AA-_", "====", "AAAA====", "AA=", "é", "AAAA AAAA", "*"]
)
def test_bad_base64(text: str) -> None:
    with pytest.raises(SerializationException, match="Value at 'blob' must be a base64 string with padding"):
        parse({"Blob": text})


@given(st.text(string.ascii_letters + string.digits + "+/=-_ \n", max_size=12))
def test_what_is_accepted_as_base64_is_canonical_but_for_its_last_bits(text: str) -> None:
    """Whatever parses has the standard alphabet and padding."""
    try:
        data = parse({"Blob": text})["Blob"]
    except SerializationException:
        return
    assert len(text) % 4 == 0
    again = base64.b64encode(data).decode()
    assert len(again) == len(text)
    assert again.rstrip("=")[:-1] == text.rstrip("=")[:-1]


MEMBERS = ["Text", "Blob", "Flag", "Int", "Long", "Float", "Double", "Time", "List", "Map", "Part"]
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*MEMBERS, "Ints"]), inner),
    max_leaves=12,
)


@given(JSON)
def test_any_json_parses_or_is_refused(value: Any) -> None:
    with suppress(SerializationException):
        assert set(parse(value)) <= set(MEMBERS)


@given(st.binary(max_size=60), st.sampled_from(operation_names()))
def test_any_bytes_parse_or_are_refused(body: bytes, operation: str) -> None:
    real = Parser(service_model())
    with suppress(SerializationException):
        assert isinstance(real.parse(operation, body), dict)

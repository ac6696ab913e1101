"""SigV4 verification against botocore's signer, the reference."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrek.contract.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from openrek.wire.sigv4 import Claim, Signer, SigV4Verifier
from tests.wire.driver import KEY, REGION, URL, scope, secret_of, signed_headers

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TARGET = "RekognitionService.ListCollections"

Pairs = list[tuple[str, str]]


def verifier(now: datetime = NOW, **options: Any) -> SigV4Verifier:
    return SigV4Verifier(secret_of, region=REGION, service="rekognition", clock=lambda: now.timestamp(), **options)


def claim(headers: Pairs, *, url: str = URL, method: str = "POST", now: datetime = NOW, **options: Any) -> Claim:
    request = scope(headers, method, url)
    return verifier(now, **options).claim(method, request["raw_path"], request["query_string"], request["headers"])


def signed(body: bytes = b"{}", **options: Any) -> Pairs:
    return signed_headers(TARGET, body, **{"at": NOW, **options})


def replaced(headers: Pairs, name: str, value: str | None) -> Pairs:
    """The headers with one value changed, or without it."""
    others = [pair for pair in headers if pair[0].lower() != name.lower()]
    return others if value is None else [*others, (name, value)]


def authorization(headers: Pairs) -> str:
    return next(value for name, value in headers if name == "Authorization")


def test_a_request_signed_by_botocore_passes() -> None:
    accepted = claim(signed())
    assert accepted.verify(b"{}") == Signer(KEY, REGION)
    assert accepted.target == TARGET


# --- canonicalisation -------------------------------------------------------------------------------------------------

WORD = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)
HEADER_NAME = st.from_regex(r"X-[A-Za-z0-9-]{1,12}", fullmatch=True).filter(
    lambda name: not name.lower().startswith("x-amz")
)
HEADER_VALUE = st.lists(st.one_of(WORD, st.sampled_from([" ", "  ", "\t", "   "])), max_size=6).map("".join)
QUERY_PART = st.text(max_size=6)
SEGMENT = st.one_of(st.sampled_from([".", "..", ""]), st.text(max_size=5).map(lambda text: quote(text, safe="~")))


@given(
    extra=st.lists(st.tuples(HEADER_NAME, HEADER_VALUE), max_size=5),
    body=st.binary(max_size=64),
    shuffle=st.randoms(),
)
def test_any_headers(extra: Pairs, body: bytes, shuffle: Any) -> None:
    """Blanks trimmed and collapsed, repeated headers joined in order, whatever the order of the others."""
    headers = signed(body, extra=extra)
    order = sorted(range(len(headers)), key=lambda _: shuffle.random())
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        by_name.setdefault(name.lower(), []).append(value)
    mixed = [(headers[index][0], by_name[headers[index][0].lower()].pop(0)) for index in order]
    assert claim(mixed).verify(body).access_key_id == KEY


@given(query=st.lists(st.tuples(QUERY_PART, QUERY_PART), min_size=1, max_size=5))
def test_any_query(query: Pairs) -> None:
    """Sorted by name, then value, encoded by RFC 3986."""
    text = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
    url = f"{URL}?{text}"
    assert claim(signed(url=url), url=url).verify(b"{}").access_key_id == KEY


@given(segments=st.lists(SEGMENT, max_size=5))
def test_any_path(segments: list[str]) -> None:
    """Dot segments and empty ones removed, the rest encoded twice."""
    url = URL + "/".join(segments)
    assert claim(signed(url=url), url=url).verify(b"{}").access_key_id == KEY


def test_query_values_are_encoded_once_more_where_a_client_did_not() -> None:
    canonical = f"{URL}?a=x%2Fy&b=%2B"
    for sent in (f"{URL}?b=%2b&a=x/y", f"{URL}?b=+&a=x%2fy"):
        assert claim(signed(url=canonical), url=sent).verify(b"{}").access_key_id == KEY


@given(
    part=st.sampled_from(["method", "path", "query", "header", "target", "date", "body", "signature", "secret"]),
    body=st.binary(min_size=1, max_size=40),
    flip=st.integers(0, 39),
)
def test_any_change_is_noticed(part: str, body: bytes, flip: int) -> None:
    """Every part of a request is under the signature."""
    headers = signed(body, extra=[("X-Extra", "one")], **({"secret": "another"} if part == "secret" else {}))
    url, method = URL, "POST"
    match part:
        case "method":
            method = "PUT"
        case "path":
            url += "other"
        case "query":
            url += "?a=1"
        case "header":
            headers = replaced(headers, "X-Extra", "two")
        case "target":
            headers = replaced(headers, "X-Amz-Target", "RekognitionService.DeleteCollection")
        case "date":
            headers = replaced(headers, "X-Amz-Date", "20260301T120001Z")
        case "body":
            index = flip % len(body)
            body = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
        case "signature":
            value = authorization(headers)
            last = "0" if value[-1] != "0" else "1"
            headers = replaced(headers, "Authorization", value[:-1] + last)
    with pytest.raises(InvalidSignatureException) as caught:
        claim(headers, url=url, method=method).verify(body)
    assert caught.value.message.startswith(InvalidSignatureException.default_message)
    assert "The Canonical String for this request should have been" in caught.value.message


def test_the_date_header_may_stand_in_for_x_amz_date() -> None:
    headers = signed(extra=[("Date", "placeholder")])
    assert "date;" in authorization(headers)
    assert claim(headers).verify(b"{}").access_key_id == KEY


# --- the clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-300, -240, 0, 240, 300])
def test_a_signature_within_five_minutes_passes(seconds: int) -> None:
    assert claim(signed(at=NOW + timedelta(seconds=seconds))).verify(b"{}").access_key_id == KEY


def test_a_signature_of_six_minutes_ago_has_expired() -> None:
    with pytest.raises(InvalidSignatureException) as caught:
        claim(signed(at=NOW - timedelta(minutes=6)))
    assert caught.value.message == (
        "Signature expired: 20260301T115400Z is now earlier than 20260301T115500Z (20260301T120000Z - 5 min.)"
    )


def test_a_signature_of_the_future_is_not_yet_current() -> None:
    with pytest.raises(InvalidSignatureException) as caught:
        claim(signed(at=NOW + timedelta(minutes=6)))
    assert caught.value.message == (
        "Signature not yet current: 20260301T120600Z is still later than 20260301T120500Z (20260301T120000Z + 5 min.)"
    )


def test_the_skew_is_a_setting() -> None:
    headers = signed(at=NOW - timedelta(minutes=2))
    with pytest.raises(InvalidSignatureException, match=r"\(20260301T120000Z - 1 min\.\)"):
        claim(headers, max_skew=60.0)


# --- scope and keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"region": "eu-west-1"},
            "Credential should be scoped to a valid region, not 'eu-west-1'. This server answers",
        ),
        ({"region": "eu-west-1"}, "'us-east-1'"),
        ({"service": "s3"}, "Credential should be scoped to correct service: 'rekognition', not 's3'."),
    ],
)
def test_another_scope_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidSignatureException, match=re.escape(text)):
        claim(signed(**options))


def test_another_terminator_and_another_date_are_refused() -> None:
    headers = signed()
    value = authorization(headers)
    with pytest.raises(InvalidSignatureException, match="valid terminator: 'aws4_request', not 'aws3_request'"):
        claim(replaced(headers, "Authorization", value.replace("aws4_request", "aws3_request")))
    with pytest.raises(InvalidSignatureException, match="'20260228' != '20260301', from '20260301T120000Z'"):
        claim(replaced(headers, "Authorization", value.replace("/20260301/", "/20260228/")))


def test_an_unknown_key_is_not_recognised() -> None:
    with pytest.raises(UnrecognizedClientException) as caught:
        claim(signed(key="UNKNOWN"))
    assert caught.value.message == "The security token included in the request is invalid."


def test_session_tokens_are_refused_with_advice() -> None:
    with pytest.raises(UnrecognizedClientException, match="does not support session tokens"):
        claim(signed(extra=[("X-Amz-Security-Token", "token")]))


# --- form -------------------------------------------------------------------------------------------------------------

GOOD = f"Credential={KEY}/20260301/us-east-1/rekognition/aws4_request"
HEX = "0" * 64


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", "Unsupported AWS 'algorithm': ''"),
        ("Basic dXNlcjpwYXNz", "Unsupported AWS 'algorithm': 'Basic'"),
        ("AWS4-ECDSA-P256-SHA256 Credential=x", "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'"),
        ("AWS4-HMAC-SHA256", "'' not a valid key=value pair (missing equal-sign)"),
        (f"AWS4-HMAC-SHA256 {GOOD}, SignedHeaders", "'SignedHeaders' not a valid key=value pair"),
        (f"AWS4-HMAC-SHA256 {GOOD}", "requires 'Signature' parameter. Authorization header requires 'SignedHeaders'"),
        (f"AWS4-HMAC-SHA256 SignedHeaders=host, Signature={HEX}", "Authorization header requires 'Credential'"),
        (f"AWS4-HMAC-SHA256 {GOOD}, SignedHeaders=host, Signature=", "Authorization header requires 'Signature'"),
        (f"AWS4-HMAC-SHA256 {GOOD}, {GOOD}, Signature={HEX}", "Authorization header has 'Credential' more than once"),
        (f"AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature={HEX}", "got 'a/b/c'"),
        (f"AWS4-HMAC-SHA256 Credential=a/{GOOD}, SignedHeaders=host, Signature={HEX}", "5 slash-delimited elements"),
    ],
)
def test_a_malformed_header_says_what_is_wrong(value: str, text: str) -> None:
    with pytest.raises(IncompleteSignatureException, match=re.escape(text)):
        claim(replaced(signed(), "Authorization", value))


@pytest.mark.parametrize("date", ["", "yesterday", "20261301T000000Z", "20260301T120000", "2026-03-01T12:00:00Z"])
def test_a_date_that_is_none(date: str) -> None:
    with pytest.raises(IncompleteSignatureException, match="Date must be in ISO-8601 'basic format'"):
        claim(replaced(signed(), "X-Amz-Date", date))


@pytest.mark.parametrize("date", ["", "yesterday", "Sun, 99 Mar 2026 12:00:00 GMT"])
def test_a_date_header_that_is_none(date: str) -> None:
    with pytest.raises(IncompleteSignatureException, match="Date must be in ISO-8601 'basic format'"):
        claim(replaced(replaced(signed(), "X-Amz-Date", None), "Date", date))


def test_no_date_at_all() -> None:
    with pytest.raises(IncompleteSignatureException, match="requires existence of either a 'X-Amz-Date' or a 'Date'"):
        claim(replaced(signed(), "X-Amz-Date", None))


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        ("x-amz-date;x-amz-target", "'Host'"),
        ("host;x-amz-target", "'X-Amz-Date'"),
        ("host;x-amz-date", "'X-Amz-Target'"),
    ],
)
def test_headers_that_must_be_signed(kept: str, text: str) -> None:
    headers = signed()
    value = re.sub("SignedHeaders=[^,]*", f"SignedHeaders={kept}", authorization(headers))
    with pytest.raises(InvalidSignatureException, match=f"{text}.* must be a 'SignedHeader'"):
        claim(replaced(headers, "Authorization", value))


def test_parts_of_the_header_in_another_order_and_spacing() -> None:
    headers = signed()
    scheme, _, rest = authorization(headers).partition(" ")
    parts = rest.split(", ")
    for value in (f"{scheme} {','.join(parts)}", f"{scheme}   {' ,  '.join(reversed(parts))}"):
        assert claim(replaced(headers, "Authorization", value)).verify(b"{}").access_key_id == KEY


def test_no_authorization() -> None:
    with pytest.raises(MissingAuthenticationTokenException) as caught:
        claim(replaced(signed(), "Authorization", None))
    assert caught.value.message == "Missing Authentication Token"


def test_a_presigned_url_is_refused_with_advice() -> None:
    url = f"{URL}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00"
    with pytest.raises(MissingAuthenticationTokenException, match="presigned"):
        claim(replaced(signed(), "Authorization", None), url=url)


@given(value=st.text(st.characters(max_codepoint=0xFF), max_size=200))
def test_random_headers_never_crash(value: str) -> None:
    refused = (IncompleteSignatureException, InvalidSignatureException, UnrecognizedClientException)
    for prefix in ("", "AWS4-HMAC-SHA256 ", f"AWS4-HMAC-SHA256 {GOOD}, SignedHeaders=host;x-amz-date, Signature="):
        with pytest.raises(refused):
            claim(replaced(signed(), "Authorization", prefix + value)).verify(b"{}")


# --- payload hash -----------------------------------------------------------------------------------------------------


def test_a_declared_hash_must_be_the_bodys() -> None:
    from hashlib import sha256

    right = sha256(b"{}").hexdigest()
    assert claim(signed(extra=[("X-Amz-Content-SHA256", right)])).verify(b"{}").access_key_id == KEY
    wrong = signed(extra=[("X-Amz-Content-SHA256", sha256(b"[]").hexdigest())])
    with pytest.raises(InvalidSignatureException, match="does not match what was computed"):
        claim(wrong).verify(b"{}")


def test_an_unsigned_payload_needs_permission() -> None:
    headers = signed(extra=[("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")])
    with pytest.raises(InvalidSignatureException, match="'UNSIGNED-PAYLOAD'"):
        claim(headers)
    assert claim(headers, allow_unsigned_payload=True).verify(b"anything").access_key_id == KEY
    streaming = signed(extra=[("X-Amz-Content-SHA256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")])
    with pytest.raises(InvalidSignatureException, match="STREAMING"):
        claim(streaming, allow_unsigned_payload=True)

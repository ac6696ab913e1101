"""AWS Signature Version 4: who sent this request, and is it what they sent?

Source of the method: "AWS Signature Version 4 for API requests" (IAM User Guide); botocore's `SigV4Auth` is the
reference the tests compare with. Verification has two halves, so that nobody without a key gets a body read:

1. `SigV4Verifier.claim` looks at the headers alone: form, access key, scope, clock.
2. `Claim.verify` compares the signature once the body is there.

Stricter than the standard in one point: `x-amz-target` must be among the signed headers. The operation's name travels
in that header, and a captured signature over the body alone could be replayed for another operation.
"""

import binascii
import hmac
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from openrek.contract.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
UNSIGNED_PAYLOAD: Final = b"UNSIGNED-PAYLOAD"

_BASIC_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that a verified request was signed with."""

    access_key_id: str
    region: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A request whose headers name a known key and a fitting scope; whether the key's holder signed it is open until
    `verify` has seen the body. `target` is the value of X-Amz-Target, which is among the signed headers."""

    signer: Signer
    target: str | None
    _secret: str
    _timestamp: str
    _scope: str
    _head: bytes
    _signature: bytes
    _declared_hash: bytes | None

    def verify(self, body: bytes) -> Signer:
        """Compare the signature with the one we calculate over `body`, in constant time.

        Raises InvalidSignatureException with the canonical request that we signed, as AWS does, so that a client's
        author sees the difference.
        """
        payload_hash = self._declared_hash
        if payload_hash != UNSIGNED_PAYLOAD:
            computed = sha256(body).hexdigest().encode()
            if payload_hash is not None and payload_hash != computed:
                raise InvalidSignatureException(
                    "The provided 'x-amz-content-sha256' header does not match what was computed."
                )
            payload_hash = computed
        canonical = self._head + payload_hash
        to_sign = f"{ALGORITHM}\n{self._timestamp}\n{self._scope}\n{sha256(canonical).hexdigest()}"
        key = _signing_key(self._secret, self._scope)
        expected = binascii.hexlify(hmac.digest(key, to_sign.encode("latin-1"), "sha256"))
        if not hmac.compare_digest(expected, self._signature):
            raise InvalidSignatureException(
                f"{InvalidSignatureException.default_message} Consult the service documentation for details.\n\n"
                f"The Canonical String for this request should have been\n'{canonical.decode('latin-1')}'\n\n"
                f"The String-to-Sign should have been\n'{to_sign}'\n"
            )
        return self.signer


class SigV4Verifier:
    """Verifies requests for one service in one region.

    `secret_of` maps an access key id to its secret, or None for an unknown or revoked key; it is asked once a request.
    `max_skew` (seconds) bounds the age of a signature in both directions; `clock` returns epoch seconds.
    """

    def __init__(
        self,
        secret_of: Callable[[str], str | None],
        *,
        region: str,
        service: str,
        max_skew: float = 300.0,
        allow_unsigned_payload: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret_of = secret_of
        self._region = region
        self._service = service
        self._max_skew = max_skew
        self._allow_unsigned_payload = allow_unsigned_payload
        self._clock = clock

    def claim(self, method: str, path: bytes, query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Claim:
        """Check everything about a request that its headers alone decide.

        `path` is the raw, still percent-encoded path; `query` the raw query string; `headers` have lower-case names,
        as ASGI delivers them. Raises MissingAuthenticationTokenException, IncompleteSignatureException,
        UnrecognizedClientException or InvalidSignatureException.
        """
        values = _collect(headers)
        authorization = values.get(b"authorization")
        if authorization is None:
            raise _missing(query)
        credential, signed_headers, signature = _parse_authorization(authorization.decode("latin-1"))

        parts = credential.split("/")
        if len(parts) != 5:
            raise IncompleteSignatureException(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
                f"got '{credential}'"
            )
        access_key_id, scope_date = parts[0], parts[1]
        if b"x-amz-security-token" in values:
            raise UnrecognizedClientException(
                "The security token included in the request is invalid: this server does not support session tokens. "
                "Sign with a long-term access key (openrek keys create) and no X-Amz-Security-Token."
            )
        secret = self._secret_of(access_key_id)
        if secret is None:
            raise UnrecognizedClientException
        timestamp, date_header = _timestamp(values)
        self._check_scope(parts, timestamp)
        self._check_clock(timestamp)

        names = signed_headers.encode("latin-1").split(b";")
        _check_signed(names, date_header, b"x-amz-target" in values)
        head = b"\n".join(
            (
                method.encode("latin-1"),
                b"/" if path in (b"/", b"") else _canonical_path(path),
                _canonical_query(query) if query else b"",
                *[name + b":" + values.get(name, b"") for name in names],
                b"",
                signed_headers.encode("latin-1"),
                b"",
            )
        )
        target = values.get(b"x-amz-target")
        return Claim(
            Signer(access_key_id, self._region),
            None if target is None else target.decode("latin-1"),
            secret,
            timestamp,
            f"{scope_date}/{self._region}/{self._service}/{TERMINATOR}",
            head,
            signature.encode("latin-1"),
            self._declared_hash(values.get(b"x-amz-content-sha256")),
        )

    def _check_scope(self, parts: list[str], timestamp: str) -> None:
        _, date, region, service, terminator = parts
        problems = []
        if region != self._region:
            problems.append(
                f"Credential should be scoped to a valid region, not '{region}'. This server answers for "
                f"'{self._region}': set the client's region to it, or the server's (OPENREK_REGION)."
            )
        if service != self._service:
            problems.append(f"Credential should be scoped to correct service: '{self._service}', not '{service}'.")
        if terminator != TERMINATOR:
            problems.append(f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'.")
        if date != timestamp[:8]:
            problems.append(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                f"'{date}' != '{timestamp[:8]}', from '{timestamp}'."
            )
        if problems:
            raise InvalidSignatureException(" ".join(problems))

    def _check_clock(self, timestamp: str) -> None:
        signed_at = _epoch(timestamp)
        now = self._clock()
        if abs(now - signed_at) <= self._max_skew:
            return
        window = f"{self._max_skew / 60:g} min."
        if signed_at < now:
            raise InvalidSignatureException(
                f"Signature expired: {timestamp} is now earlier than {_basic(now - self._max_skew)} "
                f"({_basic(now)} - {window})"
            )
        raise InvalidSignatureException(
            f"Signature not yet current: {timestamp} is still later than {_basic(now + self._max_skew)} "
            f"({_basic(now)} + {window})"
        )

    def _declared_hash(self, value: bytes | None) -> bytes | None:
        if value is None or re.fullmatch(rb"[0-9a-f]{64}", value):
            return value
        if value == UNSIGNED_PAYLOAD and self._allow_unsigned_payload:
            return value
        raise InvalidSignatureException(
            f"The 'x-amz-content-sha256' header holds '{value.decode('latin-1')}'; this server wants the SHA-256 of "
            "the body in lower-case hex, or no such header."
        )


def _collect(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Canonical header values by name: trimmed, runs of blanks as one, several lines joined by commas."""
    values: dict[bytes, bytes] = {}
    for name, raw in headers:
        value = b" ".join(raw.split())
        values[name] = values[name] + b"," + value if name in values else value
    return values


def _missing(query: bytes) -> MissingAuthenticationTokenException:
    if b"X-Amz-Signature=" in query or b"X-Amz-Algorithm=" in query:
        return MissingAuthenticationTokenException(
            "Missing Authentication Token: this API does not accept presigned URLs (query-string authentication). "
            "Sign the request in the Authorization header."
        )
    return MissingAuthenticationTokenException()


def _parse_authorization(value: str) -> tuple[str, str, str]:
    """Credential, SignedHeaders and Signature of an Authorization header."""
    algorithm, _, rest = value.partition(" ")
    if algorithm != ALGORITHM:
        raise IncompleteSignatureException(
            f"Unsupported AWS 'algorithm': '{algorithm}'. This server wants Authorization: {ALGORITHM} "
            "Credential=..., SignedHeaders=..., Signature=..."
        )
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, text = part.strip().partition("=")
        if not equals:
            raise IncompleteSignatureException(
                f"'{part.strip()}' not a valid key=value pair (missing equal-sign) in Authorization header: '{value}'."
            )
        if name in fields:
            raise IncompleteSignatureException(f"Authorization header has '{name}' more than once.")
        fields[name] = text
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if not fields.get(name)]
    if missing:
        raise IncompleteSignatureException(
            " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
            + f" Authorization={algorithm}"
        )
    return fields["Credential"], fields["SignedHeaders"], fields["Signature"]


def _timestamp(values: dict[bytes, bytes]) -> tuple[str, bytes]:
    """The signature's date in ISO 8601 basic form, and the header it comes from. X-Amz-Date wins over Date."""
    for header in (b"x-amz-date", b"date"):
        raw = values.get(header)
        if raw is None:
            continue
        text = raw.decode("latin-1")
        if _BASIC_DATE.fullmatch(text):
            try:
                _epoch(text)
                return text, header
            except ValueError:
                pass
        elif header == b"date":
            try:
                return parsedate_to_datetime(text).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"), header
            except (ValueError, OverflowError):
                pass
        raise IncompleteSignatureException(f"Date must be in ISO-8601 'basic format'. Got '{text}'.")
    raise IncompleteSignatureException(
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
    )


def _check_signed(names: list[bytes], date_header: bytes, has_target: bool) -> None:
    if b"host" not in names:
        raise InvalidSignatureException("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    if date_header not in names:
        shown = "X-Amz-Date" if date_header == b"x-amz-date" else "Date"
        raise InvalidSignatureException(f"'{shown}' must be a 'SignedHeader' in the AWS Authorization.")
    if has_target and b"x-amz-target" not in names:
        raise InvalidSignatureException("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.")


def _canonical_path(raw: bytes) -> bytes:
    """Dot segments and empty segments removed, then encoded once more on top of the wire's encoding."""
    segments: list[bytes] = []
    for segment in raw.split(b"/"):
        if segment == b"..":
            if segments:
                segments.pop()
        elif segment not in (b"", b"."):
            segments.append(segment)
    path = b"/" + b"/".join(segments)
    if segments and raw.endswith(b"/"):
        path += b"/"
    return quote(path, safe="/~").encode()


def _canonical_query(raw: bytes) -> bytes:
    """Parameters encoded by RFC 3986, sorted by name, then value. A plus sign is a plus sign, not a blank."""
    pairs = []
    for pair in raw.split(b"&"):
        name, _, value = pair.partition(b"=")
        pairs.append((quote(unquote_to_bytes(name), safe="-_.~"), quote(unquote_to_bytes(value), safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs)).encode()


@lru_cache(maxsize=256)
def _signing_key(secret: str, scope: str) -> bytes:
    """The derived key, valid for one day, region and service."""
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key


@lru_cache(maxsize=64)
def _epoch(timestamp: str) -> float:
    """Epoch seconds of YYYYMMDDTHHMMSSZ; raises ValueError for a date that no calendar has."""
    return datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _basic(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y%m%dT%H%M%SZ")

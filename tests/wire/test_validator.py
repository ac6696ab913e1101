"""The grammar of validation messages, and what the generated tests do not reach."""

import re
from typing import Any

import orjson
import pytest

from openrek.contract.errors import ValidationException
from openrek.contract.model import service_model
from openrek.wire.parser import Parser
from openrek.wire.patterns import from_java, matcher
from openrek.wire.validator import Validator
from tests.wire.samples import keeps_pattern, raw_shapes

parser = Parser(service_model())


def message(operation: str, request: dict[str, Any], **limits: int) -> str:
    with pytest.raises(ValidationException) as caught:
        Validator(service_model(), limits).validate(operation, parser.parse(operation, orjson.dumps(request)))
    return caught.value.message


PICTURE = {"Bytes": "AAAA"}
DATASET = "arn:aws:rekognition:us-east-1:000000000000:project/x/dataset/train/1"
ATTRIBUTES = (
    "DEFAULT, ALL, AGE_RANGE, BEARD, EMOTIONS, EYE_DIRECTION, EYEGLASSES, EYES_OPEN, GENDER, MOUTH_OPEN, MUSTACHE, "
    "FACE_OCCLUDED, SMILE, SUNGLASSES"
)
NOT_NULL = "Member must not be null"
LONGER = "Member must have length greater than or equal to {}"
SHORTER = "Member must have length less than or equal to {}"
PATTERN = "Member must satisfy regular expression pattern: {}"
KEY_PATTERN = r"^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]*$"
FACE_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.mark.parametrize(
    ("operation", "request_", "violations"),
    [
        (
            "DetectLabels",
            {"Image": {"Bytes": ""}},
            [("'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]'", "image.bytes", LONGER.format(1))],
        ),
        (
            "DetectLabels",
            {"Image": PICTURE, "MaxLabels": -1, "MinConfidence": 101},
            [
                ("'-1'", "maxLabels", "Member must have value greater than or equal to 0"),
                ("'101.0'", "minConfidence", "Member must have value less than or equal to 100"),
            ],
        ),
        ("DescribeCollection", {}, [("null", "collectionId", NOT_NULL)]),
        (
            "DetectFaces",
            {"Image": PICTURE, "Attributes": ["ALL", "NONE"]},
            [("'NONE'", "attributes.2.member", f"Member must satisfy enum value set: [{ATTRIBUTES}]")],
        ),
        ("DeleteFaces", {"CollectionId": "ok", "FaceIds": []}, [("'[]'", "faceIds", LONGER.format(1))]),
        (
            "DeleteFaces",
            {"CollectionId": "ok", "FaceIds": ["x", None]},
            [("'x'", "faceIds.1.member", PATTERN.format(FACE_ID)), ("null", "faceIds.2.member", NOT_NULL)],
        ),
        (
            "DistributeDatasetEntries",
            {"Datasets": [{"Arn": DATASET}, {}]},
            [("null", "datasets.2.member.arn", NOT_NULL)],
        ),
        (
            "DistributeDatasetEntries",
            {"Datasets": [{"Arn": DATASET}]},
            [(f"'[{{Arn={DATASET}}}]'", "datasets", LONGER.format(2))],
        ),
        (
            "CreateCollection",
            {"CollectionId": "ok", "Tags": {"team": "a?", "aws:x": "b"}},
            [
                (
                    "'{team=a?, aws:x=b}'",
                    "tags",
                    f"Map keys must satisfy constraint: [{SHORTER.format(128)}, {LONGER.format(1)}, "
                    f"{PATTERN.format(KEY_PATTERN)}]",
                ),
                ("'a?'", "tags.team.member", PATTERN.format(r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$")),
            ],
        ),
        ("CreateCollection", {"CollectionId": "ok", "Tags": {"team": None}}, [("null", "tags.team.member", NOT_NULL)]),
    ],
)
def test_messages(operation: str, request_: dict[str, Any], violations: list[tuple[str, str, str]]) -> None:
    """The whole text, word by word."""
    items = "; ".join(
        f"Value {value} at '{path}' failed to satisfy constraint: {rule}" for value, path, rule in violations
    )
    plural = "s" if len(violations) > 1 else ""
    assert message(operation, request_) == f"{len(violations)} validation error{plural} detected: {items}"


def test_a_limit_may_be_lifted() -> None:
    picture = {"Image": {"Bytes": "A" * 40}}  # 30 bytes
    lifted = Validator(service_model(), {"ImageBlob": 30})
    lifted.validate("DetectLabels", parser.parse("DetectLabels", orjson.dumps(picture)))
    assert "lim=30 cap=30]' at 'image.bytes'" in message("DetectLabels", picture, ImageBlob=29)
    assert message("DetectLabels", picture, ImageBlob=29).endswith("less than or equal to 29")


def test_long_values_and_long_lists_are_cut() -> None:
    long = message("CreateCollection", {"CollectionId": "x" * 100_000})
    assert "xxx...' at 'collectionId'" in long
    assert len(long) < 1500
    many = message("DeleteFaces", {"CollectionId": "ok", "FaceIds": ["x"] * 4000})
    assert many.startswith("4000 validation errors detected: ")
    assert many.endswith("; and 3900 more")
    assert len(many) < 30_000


# --- patterns ---------------------------------------------------------------------------------------------------------

PATTERNS = sorted({shape["pattern"] for shape in raw_shapes().values() if "pattern" in shape})


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_reads_as_in_java(pattern: str) -> None:
    """Single characters and short strings of all kinds, judged by `re` as well."""
    matches = matcher(pattern)
    letters = [chr(code) for code in range(0x180)] + ["\u2028", "\u3000", "٣", "漢", "😀", "\u00a0", "ſ", "K"]
    probes = [prefix + letter + suffix for letter in letters for prefix, suffix in (("", ""), ("a", "a"), ("", "0"))]
    for probe in probes:
        if "." in re.sub(r"\[[^]]*\]|\\.", "", pattern) and re.search("[\r\u0085\u2028\u2029]", probe):
            continue  # where `re` and Java differ about the dot; see below
        assert matches(probe) == keeps_pattern(pattern, probe), (pattern, probe)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (".{1,}", "a\u2028", False),
        (".{1,}", "a\r", False),
        (".+", "a\u00a0", True),
        (r"\S*", "\u00a0\u3000", True),  # blanks, but not in Java's ASCII classes
        (r"\S*", "a b", False),
        (r"\d+", "٣", False),
        (r"[\d]+", "٣", False),
        (r"[\d]+", "3", True),
        (r"\w", "é", False),
        (r"\p{L}+", "éǅ漢", True),
        (r"[a-z]+", "abc\n", False),
        (r"^[a-z]+$", "abc\n", False),
        (r"\.", ".", True),
        (r"\.", "x", False),
        (r"[.]", "x", False),
        (r"a|b", "ab", False),
    ],
)
def test_java_dialect(pattern: str, text: str, matches: bool) -> None:
    assert matcher(pattern)(text) is matches


def test_what_cannot_be_translated_is_refused() -> None:
    with pytest.raises(ValueError, match="negated class"):
        from_java(r"[\S]")


def test_a_value_made_to_be_slow_is_not_waited_for() -> None:
    """The SNS pattern backtracks quadratically; the clock stops it."""
    import time

    pattern = r"(^arn:aws:sns:.*:\w{12}:.+$)"
    started = time.process_time()
    assert not matcher(pattern)("arn:aws:sns:" + ":aaaaaaaaaaaa:" * 20_000 + "\n")
    assert time.process_time() - started < 2
    assert matcher(pattern)("arn:aws:sns:" + "x" * 20_000 + ":000000000000:topic")

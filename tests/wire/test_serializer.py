"""Serialising by shape, read back by botocore's own parser where that is the judge."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st

from openrek.contract.model import operation_model, service_model
from openrek.wire.serializer import ResponseShapeError, Serializer
from tests.wire.test_parser import SHAPES

MODEL = ServiceModel(
    {
        "metadata": {"protocol": "json"},
        "operations": {"Do": {"name": "Do", "output": {"shape": "Input"}}, "Nothing": {"name": "Nothing"}},
        "shapes": SHAPES,
    },
    service_name="test",
)

serializer = Serializer(MODEL)


def written(response: dict[str, Any]) -> str:
    return serializer.serialize("Do", response).decode()


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({}, "{}"),
        ({"Text": "é", "Part": {}, "List": []}, '{"Text":"é","Part":{},"List":[]}'),
        ({"Text": None, "Int": 0}, '{"Int":0}'),
        ({"Float": 99.99885559082031}, '{"Float":99.998856}'),
        ({"Float": 0.1}, '{"Float":0.1}'),
        ({"Float": np.float64(0.25)}, '{"Float":0.25}'),
        ({"Float": np.float32(0.1)}, '{"Float":0.1}'),
        ({"Float": np.float16(0.5)}, '{"Float":0.5}'),
        ({"Float": 7}, '{"Float":7.0}'),
        ({"Double": 0.1}, '{"Double":0.1}'),
        ({"Double": np.float32(0.5)}, '{"Double":0.5}'),
        ({"Int": np.int64(3), "Long": np.uint8(4)}, '{"Int":3,"Long":4}'),
        ({"Flag": np.True_}, '{"Flag":true}'),
        ({"Text": np.str_("x")}, '{"Text":"x"}'),
        ({"Blob": b"\x00\x01"}, '{"Blob":"AAE="}'),
        ({"Blob": memoryview(b"\x00\x01")}, '{"Blob":"AAE="}'),
        ({"Time": datetime(2018, 8, 4, 22, 35, 55, 42_499, UTC)}, '{"Time":1533422155.042}'),
        ({"List": ({"Ints": (1, 2)},)}, '{"List":[{"Ints":[1,2]}]}'),
        ({"Map": {"a": 1}}, '{"Map":{"a":1}}'),
    ],
)
def test_values(response: dict[str, Any], text: str) -> None:
    assert written(response) == text


def test_an_operation_without_output_answers_an_empty_object() -> None:
    assert serializer.serialize("Nothing", {}) == b"{}"


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"Txet": "x"}, "response: Input has no member 'Txet'"),
        ({"List": [{}, {"Intz": []}]}, "List.1: Part has no member 'Intz'"),
        ({"Text": 1}, "Text: expected a string"),
        ({"Text": b"x"}, "Text: expected a string"),
        ({"Int": 1.0}, "Int: expected an integer"),
        ({"Int": True}, "Int: expected an integer"),
        ({"Float": True}, "Float: expected a number"),
        ({"Float": "1"}, "Float: expected a number"),
        ({"Float": math.nan}, "Float: expected a finite number"),
        ({"Float": math.inf}, "Float: expected a finite number"),
        ({"Float": np.float32("nan")}, "Float: expected a finite number"),
        ({"Float": 1e39}, "Float: expected a finite number"),
        ({"Double": -math.inf}, "Double: expected a finite number"),
        ({"Flag": 1}, "Flag: expected a boolean"),
        ({"Blob": "x"}, "Blob: expected bytes"),
        ({"Time": 5}, "Time: expected a datetime with a time zone"),
        ({"Time": datetime(2020, 1, 1)}, "Time: expected a datetime with a time zone"),
        ({"List": {}}, "List: expected a sequence"),
        ({"List": "ab"}, "List: expected a sequence"),
        ({"Part": {"Ints": [1, None]}}, "Part.Ints.1: expected an integer"),
        ({"Part": []}, "Part: expected a mapping"),
        ({"Map": [("a", 1)]}, "Map: expected a mapping"),
        ({"Map": {1: 1}}, "Map.1: expected a string"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(response: dict[str, Any], text: str) -> None:
    with pytest.raises(ResponseShapeError) as caught:
        written(response)
    assert str(caught.value).startswith(text)


@given(st.floats(width=64, allow_nan=False, min_value=-3.4e38, max_value=3.4e38))
def test_a_float_reads_back_as_the_nearest_32_bit_number(value: float) -> None:
    back = json.loads(written({"Float": value}))["Float"]
    assert np.float32(back) == np.float32(value)
    assert len(str(back).lstrip("-").replace(".", "").split("e")[0].strip("0")) <= 9


def test_human_loop_conditions_are_a_string_of_json() -> None:
    """botocore reads the member back into an object, as the model's jsonvalue says."""
    response = {"HumanLoopActivationOutput": {"HumanLoopActivationConditionsEvaluationResults": {"a": [1, "x"]}}}
    body = Serializer(service_model()).serialize("DetectModerationLabels", response)
    member = json.loads(body)["HumanLoopActivationOutput"]["HumanLoopActivationConditionsEvaluationResults"]
    assert member == '{"a":[1,"x"]}'


def test_botocore_reads_an_answer_back() -> None:
    model = operation_model("DescribeCollection")
    created = datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC)
    response = {"FaceCount": 3, "FaceModelVersion": "6.0", "CollectionARN": "arn:x", "CreationTimestamp": created}
    body = Serializer(service_model()).serialize("DescribeCollection", response)
    assert model.output_shape is not None
    parsed = create_parser("json").parse({"status_code": 200, "headers": {}, "body": body}, model.output_shape)
    assert parsed.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    assert abs((parsed.pop("CreationTimestamp") - created).total_seconds()) < 0.001
    assert parsed == {"FaceCount": 3, "FaceModelVersion": "6.0", "CollectionARN": "arn:x"}

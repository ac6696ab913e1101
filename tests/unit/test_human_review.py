"""What a moderated picture's HumanLoopConfig starts: the record of a review, without a network."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from openrek.contract.call import Call, Caller
from openrek.contract.errors import HumanLoopQuotaExceededException, InvalidParameterException
from openrek.service.human_review import activation, find_flow
from openrek.service.services import Services
from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.reviews import Owner, Reviews

HERE = Owner("000000000000", "us-east-1")
ARN = "arn:aws:sagemaker:us-east-1:000000000000:flow-definition/all"
LABELS: list[Any] = [{"Name": "Weapons", "Confidence": 55.0, "ParentName": "Violence", "TaxonomyLevel": 2}]
CALL = cast(Call, SimpleNamespace(caller=Caller("OREKAAAAAAAAAAAAAAAA", HERE.account_id, HERE.region)))


@pytest.fixture
def services(tmp_path: Path) -> Services:
    database = Database.open(f"sqlite:///{tmp_path / 'reviews.db'}")
    for flow in ("all", "more"):
        Reviews(database).put_flow(HERE, flow, None)
    return cast(Services, SimpleNamespace(database=database, settings=Settings(home=tmp_path, max_open_reviews=1)))


def review(services: Services, name: str, image: Any, data: bytes = b"picture", **more: Any) -> dict[str, Any]:
    config: Any = {"HumanLoopName": name, "FlowDefinitionArn": ARN, **more}
    return activation(config, find_flow(config, CALL, services), image, data, LABELS, CALL, services)


def test_a_picture_sent_inline_is_kept_for_the_reviewers(services: Services) -> None:
    output = review(services, "inline", {"Bytes": b"picture"})
    assert output["HumanLoopArn"].endswith(":human-loop/inline")
    assert output["HumanLoopActivationReasons"] == ["ConditionsEvaluation"]
    assert Reviews(services.database).image(HERE, "inline") == b"picture"


def test_of_a_picture_in_a_bucket_the_place_is_kept(services: Services) -> None:
    review(services, "bucket", {"S3Object": {"Bucket": "photos", "Name": "a.jpg", "Version": "3"}})
    assert Reviews(services.database).image(HERE, "bucket") is None
    (loop,) = Reviews(services.database).loops(HERE)
    shown = json.loads(loop.input)
    assert shown["image"] == {"s3Object": {"bucket": "photos", "name": "a.jpg", "version": "3"}}
    assert shown["moderationLabels"] == LABELS


@pytest.mark.parametrize(
    ("data", "change", "difference"),
    [
        (b"other", {}, "another picture"),
        (b"picture", {"FlowDefinitionArn": ARN.replace("/all", "/more")}, "another FlowDefinitionArn"),
        (b"picture", {"DataAttributes": {}}, "other DataAttributes"),
        (b"other", {"DataAttributes": {}}, "other DataAttributes and another picture"),
    ],
)
def test_the_same_input_goes_on_with_its_review_and_another_is_refused(
    services: Services, data: bytes, change: dict[str, Any], difference: str
) -> None:
    attributes = {"ContentClassifiers": ["FreeOfAdultContent"]}
    first = review(services, "one", {"Bytes": b"picture"}, DataAttributes=attributes)
    assert review(services, "one", {"Bytes": b"picture"}, DataAttributes=attributes) == first
    with pytest.raises(InvalidParameterException, match=f"the human loop one exists with {difference}$"):
        review(services, "one", {"Bytes": data}, data, **{"DataAttributes": attributes, **change})


def test_too_many_open_reviews_name_the_quota(services: Services) -> None:
    review(services, "first", {"Bytes": b"picture"})
    with pytest.raises(HumanLoopQuotaExceededException, match="OPENREK_MAX_OPEN_REVIEWS") as caught:
        review(services, "second", {"Bytes": b"other"}, b"other")
    assert caught.value.members["ResourceType"] == "HumanLoop"
    assert set(caught.value.members) >= {"ResourceType", "QuotaCode", "ServiceCode"}

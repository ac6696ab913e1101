"""DetectModerationLabels through an unmodified boto3 client: the acceptance checklist."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image, ImageDraw

from openrek.vision.moderation import NODES
from tests.acceptance.conftest import Server
from tests.acceptance.test_server import openrek

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

Answer = Mapping[str, Any]
ARN = "arn:aws:rekognition:us-east-1:000000000000:project/{}/version/first/1690556751958"
FLOWS = "arn:aws:sagemaker:us-east-1:000000000000:flow-definition/"


@pytest.fixture(scope="module")
def ask(rekognition: "RekognitionClient", photos: dict[str, Path]) -> Any:
    """detect_moderation_labels on a sample photo by its name, or on encoded bytes."""

    def detect(photo: str | bytes, **parameters: Any) -> Answer:
        data = photos[photo].read_bytes() if isinstance(photo, str) else photo
        return rekognition.detect_moderation_labels(Image={"Bytes": data}, **parameters)

    return detect


@pytest.fixture(scope="module")
def labelled(media: Path) -> Any:
    """A picture of the labelled sets beside the media, as PNG bytes. Skips where they are not."""

    def read(folder: str, name: str) -> bytes:
        archive = media.parent / "data" / folder / "images.zip"
        if not archive.is_file():
            pytest.skip("the labelled pictures are not here")
        with zipfile.ZipFile(archive) as file, Image.open(io.BytesIO(file.read(name))) as photo:
            return png(photo)

    return read


def png(photo: Image.Image) -> bytes:
    file = io.BytesIO()
    photo.convert("RGB").save(file, "PNG")
    return file.getvalue()


def cartoon() -> bytes:
    """Two round friends with big eyes on a meadow."""
    sheet = Image.new("RGB", (480, 360), (120, 200, 255))
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((0, 250, 480, 360), fill=(90, 190, 70), outline=(0, 0, 0), width=4)
    pen.ellipse((380, 20, 450, 90), fill=(255, 220, 40), outline=(0, 0, 0), width=4)
    for left, skin, shirt in ((70, (255, 200, 150), (220, 50, 60)), (270, (180, 140, 255), (255, 150, 30))):
        pen.ellipse((left + 15, 190, left + 115, 330), fill=shirt, outline=(0, 0, 0), width=4)
        pen.ellipse((left, 70, left + 130, 210), fill=skin, outline=(0, 0, 0), width=4)
        for eye in (left + 28, left + 70):
            pen.ellipse((eye, 105, eye + 36, 155), fill=(255, 255, 255), outline=(0, 0, 0), width=3)
            pen.ellipse((eye + 12, 122, eye + 26, 144), fill=(0, 0, 0))
        pen.arc((left + 40, 150, left + 90, 190), 10, 170, fill=(0, 0, 0), width=4)
    return png(sheet)


def names(answer: Answer) -> list[str]:
    return [label["Name"] for label in answer["ModerationLabels"]]


def code_of(caught: "pytest.ExceptionInfo[ClientError]") -> str:
    return caught.value.response["Error"]["Code"]


def refused(ask: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        ask("chelsea", **parameters)
    return code_of(caught)


# --- the checklist ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("photo", ["astronaut", "chelsea", "china", "coffee", "flower"])
def test_1_a_safe_image(ask: Any, photo: str) -> None:
    answer = ask(photo)
    assert answer["ModerationLabels"] == []
    assert answer["ContentTypes"] == []
    assert answer["ModerationModelVersion"]
    assert "HumanLoopActivationOutput" not in answer
    assert "ProjectVersion" not in answer


def test_2_smoking_comes_with_its_ancestors(ask: Any, labelled: Any) -> None:
    answer = ask(labelled("smoking-boxes", "00125.webp"))
    chain = {label["Name"]: (label["TaxonomyLevel"], label["ParentName"]) for label in answer["ModerationLabels"]}
    assert chain["Smoking"] == (3, "Drugs & Tobacco Paraphernalia & Use")
    assert chain["Drugs & Tobacco Paraphernalia & Use"] == (2, "Drugs & Tobacco")
    assert chain["Drugs & Tobacco"] == (1, "")


@pytest.mark.parametrize("photo", ["hopper", "rocket", "coffee"])
def test_3_to_6_the_shape_of_every_label(ask: Any, photo: str) -> None:
    answer = ask(photo, MinConfidence=0)
    assert answer["ModerationModelVersion"] == "7.0"
    found = {label["Name"]: label for label in answer["ModerationLabels"]}
    assert found
    assert set(found) <= set(NODES)
    for label in found.values():
        parent = found.get(label["ParentName"])
        if label["ParentName"] == "":
            assert label["TaxonomyLevel"] == 1
        else:
            assert parent is not None
            assert label["TaxonomyLevel"] == parent["TaxonomyLevel"] + 1
            assert parent["Confidence"] >= label["Confidence"]
    order = [(-label["Confidence"], -label["TaxonomyLevel"]) for label in answer["ModerationLabels"]]
    assert order == sorted(order)


def test_5_the_threshold_is_50_by_default_and_inclusive(ask: Any, labelled: Any) -> None:
    picture = labelled("weapon-boxes", "00126.webp")
    every = ask(picture, MinConfidence=0)["ModerationLabels"]
    assert min(label["Confidence"] for label in every) < 50 <= max(label["Confidence"] for label in every)
    assert ask(picture)["ModerationLabels"] == [label for label in every if label["Confidence"] >= 50]
    exact = every[len(every) // 2]["Confidence"]
    assert ask(picture, MinConfidence=exact)["ModerationLabels"][-1]["Confidence"] == exact
    assert ask(picture, MinConfidence=100)["ModerationLabels"] == []


def test_7_a_cartoon_is_animated_even_without_labels(ask: Any) -> None:
    answer = ask(cartoon(), MinConfidence=100)
    assert answer["ModerationLabels"] == []
    assert "Animated" in {kind["Name"] for kind in answer["ContentTypes"]}
    assert all(kind["Confidence"] >= 50 for kind in answer["ContentTypes"])
    assert {kind["Name"] for kind in answer["ContentTypes"]} <= {"Animated", "Illustrated"}


def test_8_adapters_that_do_not_exist(ask: Any) -> None:
    assert refused(ask, ProjectVersion=ARN.format("moderation")) == "ResourceNotFoundException"
    assert refused(ask, ProjectVersion="arn:aws:rekognition:us-east-1:1:collection/x") == "ValidationException"


def test_10_the_name_of_a_review_is_lower_case(ask: Any) -> None:
    config = {"HumanLoopName": "My_Loop", "FlowDefinitionArn": FLOWS + "any"}
    assert refused(ask, HumanLoopConfig=config) == "ValidationException"


def test_14_an_explosion_is_violence(ask: Any, labelled: Any) -> None:
    found = {label["Name"]: label for label in ask(labelled("fire-boxes", "00123.webp"))["ModerationLabels"]}
    assert found["Explosions and Blasts"]["ParentName"] == "Graphic Violence"
    assert found["Graphic Violence"]["ParentName"] == "Violence"
    assert "Visually Disturbing" not in found


# --- human review -----------------------------------------------------------------------------------------------------


def put_flow(server: Server, name: str, folder: Path, conditions: Any = None) -> str:
    options = []
    if conditions is not None:
        path = folder / f"{name}.json"
        path.write_text(json.dumps({"Conditions": conditions}))
        options = ["--conditions", str(path)]
    done = openrek("reviews", "put-flow", name, *options, OPENREK_HOME=str(server.home))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def above(confidence: float) -> dict[str, Any]:
    parameters = {"ModerationLabelName": "*", "ConfidenceGreaterThanEquals": confidence}
    return {"ConditionType": "ModerationLabelConfidenceCheck", "ConditionParameters": parameters}


def test_11_to_13_a_flow_that_never_matches(ask: Any, server: Server, tmp_path: Path) -> None:
    arn = put_flow(server, "never", tmp_path, [above(100)])
    answer = ask("chelsea", HumanLoopConfig={"HumanLoopName": "never-1", "FlowDefinitionArn": arn})
    output = answer["HumanLoopActivationOutput"]
    assert "HumanLoopArn" not in output
    results = output["HumanLoopActivationConditionsEvaluationResults"]
    assert isinstance(results, str)
    assert json.loads(results) == {"Conditions": [above(100) | {"EvaluationResult": False}]}


def test_a_review_is_recorded_once_and_its_name_belongs_to_its_picture(
    ask: Any, server: Server, tmp_path: Path
) -> None:
    arn = put_flow(server, "always", tmp_path)
    config = {
        "HumanLoopName": "always-1",
        "FlowDefinitionArn": arn,
        "DataAttributes": {"ContentClassifiers": ["FreeOfAdultContent"]},
    }
    first = ask("chelsea", HumanLoopConfig=config)["HumanLoopActivationOutput"]
    assert first["HumanLoopArn"] == "arn:aws:sagemaker:us-east-1:000000000000:human-loop/always-1"
    assert first["HumanLoopActivationReasons"]
    assert ask("chelsea", HumanLoopConfig=config)["HumanLoopActivationOutput"] == first
    with pytest.raises(ClientError) as caught:
        ask("coffee", HumanLoopConfig=config)
    assert code_of(caught) == "InvalidParameterException"
    listed = json.loads(openrek("reviews", "list", "--json", OPENREK_HOME=str(server.home)).stdout)
    assert [loop["name"] for loop in listed["loops"] if loop["flow"] == "always"] == ["always-1"]


@pytest.mark.parametrize(
    "arn",
    [
        FLOWS + "nobody-made-this",
        FLOWS.replace("us-east-1", "eu-west-1") + "always",
        FLOWS.replace("000000000000", "111111111111") + "always",
        "always",
    ],
)
def test_an_unknown_flow(ask: Any, arn: str) -> None:
    config = {"HumanLoopName": "x", "FlowDefinitionArn": arn}
    assert refused(ask, HumanLoopConfig=config) == "ResourceNotFoundException"


def test_conditions_that_are_none_are_refused(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "conditions.json"
    path.write_text(json.dumps({"Conditions": [{"And": [above(1)]}]}))
    done = openrek("reviews", "put-flow", "one", "--conditions", str(path), OPENREK_HOME=str(server.home))
    assert done.returncode == 1
    assert "at least two" in done.stderr


# --- the picture ------------------------------------------------------------------------------------------------------


def test_pictures_that_are_refused(ask: Any) -> None:
    small = png(Image.new("RGB", (79, 200)))
    for data, code in ((small, "InvalidParameterException"), (b"GIF89a nothing", "InvalidImageFormatException")):
        with pytest.raises(ClientError) as caught:
            ask(data)
        assert code_of(caught) == code


def test_a_picture_of_noise_is_no_error(ask: Any) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (300, 200, 3), np.uint8)
    assert ask(png(Image.fromarray(noise)))["ModerationModelVersion"] == "7.0"


# --- the blind spots, without a server --------------------------------------------------------------------------------


def test_the_command_says_what_it_cannot_see(photos: dict[str, Path], tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    done = openrek("detect", "moderation", str(photos["coffee"]), "--draw", str(drawn))
    assert done.returncode == 0, done.stderr
    assert "nothing unsafe of the kinds that can be seen" in done.stdout
    assert "cannot see: Explicit; " in done.stderr
    assert drawn.stat().st_size > 0
    as_json = openrek("detect", "moderation", str(photos["coffee"]), "--json", "--min-confidence", "0")
    assert json.loads(as_json.stdout)["ModerationModelVersion"] == "7.0"
    assert "cannot see: Explicit; " in as_json.stderr


def test_the_list_of_models_says_what_they_cannot_see() -> None:
    done = openrek("models", "list")
    assert "Moderation 7.0" in done.stdout
    assert "cannot see: Explicit; " in done.stdout

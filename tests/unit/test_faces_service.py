"""DetectFaces' rules that need no network: which attributes are computed, and how an answer is put together."""

from typing import Any

import numpy as np
import pytest

from openrek.contract.model import service_model
from openrek.service.face_attributes import MEMBERS, selected_attributes
from openrek.service.faces import compared_face, face_detail
from openrek.vision.faces import Faces
from openrek.vision.image import Picture


def shape(name: str) -> Any:
    return service_model().shape_for(name)


def test_the_table_of_attributes_is_the_models() -> None:
    assert set(MEMBERS) | {"DEFAULT", "ALL"} == set(shape("Attribute").enum)
    default = {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
    assert set(MEMBERS.values()) | default == set(shape("FaceDetail").members)


@pytest.mark.parametrize(
    ("asked", "computed"),
    [
        ([], ()),
        (["DEFAULT"], ()),
        (["DEFAULT", "FACE_OCCLUDED"], ("FACE_OCCLUDED",)),
        (["FACE_OCCLUDED"], ("FACE_OCCLUDED",)),
        (["SMILE", "SMILE", "BEARD"], ("SMILE", "BEARD")),
        (["ALL"], (*MEMBERS, "LANDMARKS")),
        (["DEFAULT", "SMILE", "ALL"], (*MEMBERS, "LANDMARKS")),
    ],
)
def test_selection(asked: list[str], computed: tuple[str, ...]) -> None:
    assert selected_attributes(asked) == computed


def one_face() -> tuple[Faces, Picture]:
    points = np.array([[30, 20], [50, 20], [32, 40], [48, 40], [-10, 30]], np.float32)
    faces = Faces(
        np.array([[-10, 5, 70, 45]], np.float32),
        np.array([0.75], np.float32),
        points[None],
        np.array([[1, -2, 3]], np.float32),
        np.array([40], np.float32),
        np.array([60], np.float32),
    )
    # the pixels are half of the original's: ratios are the same
    return faces, Picture(np.zeros((50, 100, 3), np.uint8), 200, 100)


def test_face_detail_in_ratios() -> None:
    faces, picture = one_face()
    detail: Any = face_detail(faces, 0, picture)
    assert detail["BoundingBox"] == pytest.approx({"Left": -0.1, "Top": 0.1, "Width": 0.8, "Height": 0.8})
    assert detail["Confidence"] == pytest.approx(75)
    assert [point["Type"] for point in detail["Landmarks"]] == [
        "eyeLeft",
        "eyeRight",
        "mouthLeft",
        "mouthRight",
        "nose",
    ]
    assert (detail["Landmarks"][4]["X"], detail["Landmarks"][4]["Y"]) == pytest.approx((-0.1, 0.6))
    assert detail["Pose"] == pytest.approx({"Roll": 1, "Yaw": -2, "Pitch": 3})
    assert detail["Quality"] == pytest.approx({"Brightness": 40, "Sharpness": 60})
    assert all(type(value) is float for value in detail["BoundingBox"].values())


def test_compared_face_has_the_members_of_its_shape() -> None:
    faces, picture = one_face()
    assert set(compared_face(faces, 0, picture)) == set(shape("ComparedFace").members) - {
        "Emotions",
        "Smile",
    }

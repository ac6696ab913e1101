"""The labelled sets: one reader each, all giving the same `Sample`.

A set is a folder with `images.zip` and `labels.csv`. A label that a set does not know stays None and takes no part in
the loss.
"""

import csv
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
BINARY = ("male", "smile", "eyeglasses", "sunglasses", "mouth_open", "beard", "mustache", "occluded")
ETHNICITIES = ("White", "Black", "Asian", "Indian", "other")
SETS = ("face-attributes", "age-gender", "emotion", "landmarks", "face-mask-crops", "face-mask-boxes")


@dataclass(frozen=True)
class Sample:
    """One face: its picture, where it lies in it, and what is known of it."""

    name: str
    identity: str
    """Pictures of one identity (a person, a photo, a file) never stand on both sides of a split."""
    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    binary: Mapping[str, bool] = field(default_factory=dict)
    age: int | None = None
    emotion: int | None = None
    ethnicity: int | None = None
    landmarks: NDArray[np.float32] | None = None
    """(68, 2) in pixels of the picture."""
    box: tuple[float, float, float, float] | None = None
    """xyxy, where the picture shows more than the face."""


def _rows(folder: Path) -> Iterator[tuple[dict[str, str], NDArray[np.uint8]]]:
    with zipfile.ZipFile(folder / "images.zip") as archive, open(folder / "labels.csv", newline="") as table:
        name, pixels = "", np.zeros((0, 0, 3), np.uint8)
        for row in csv.DictReader(table):
            if row["image"] != name:
                name = row["image"]
                decoded = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR)
                pixels = np.ascontiguousarray(decoded[:, :, ::-1])
            yield row, pixels


def _sunglasses() -> dict[str, bool]:
    """Which of the CelebA faces with glasses wear dark ones, by picture name.

    Lenses much darker than the cheeks (ratio under 0.55) were taken as dark, all others were looked at; lightly
    tinted or unclear ones are left out.
    """
    with open(Path(__file__).with_name("sunglasses.csv"), newline="") as table:
        return {row["image"]: row["sunglasses"] == "1" for row in csv.DictReader(table) if row["sunglasses"] != "-1"}


def _face_attributes(folder: Path) -> Iterator[Sample]:
    dark = _sunglasses()
    for row, pixels in _rows(folder):
        yes = {name for name, value in row.items() if value == "1"}
        glasses = {"sunglasses": dark[row["image"]]} if row["image"] in dark else {}
        if "Eyeglasses" not in yes:
            glasses = {"sunglasses": False}
        # Faces of this set are seldom hidden by anything but dark glasses.
        hidden = (
            {"occluded": True}
            if glasses.get("sunglasses")
            else {}
            if "Eyeglasses" in yes and not glasses
            else {"occluded": False}
        )
        yield Sample(
            name=row["image"],
            identity=row["identity"],
            pixels=pixels,
            binary={
                "male": "Male" in yes,
                "smile": "Smiling" in yes,
                "eyeglasses": "Eyeglasses" in yes,
                "mouth_open": "Mouth_Slightly_Open" in yes,
                "beard": "No_Beard" not in yes,
                "mustache": "Mustache" in yes,
                **glasses,
                **hidden,
            },
        )


def _age_gender(folder: Path) -> Iterator[Sample]:
    for row, pixels in _rows(folder):
        yield Sample(
            name=row["image"],
            identity=row["image"],
            pixels=pixels,
            binary={"male": row["gender"] == "0", "occluded": False},
            age=int(row["age"]),
            ethnicity=int(row["ethnicity"]),
        )


def _emotion(folder: Path) -> Iterator[Sample]:
    for row, pixels in _rows(folder):
        yield Sample(name=row["image"], identity=row["image"], pixels=pixels, emotion=EMOTIONS.index(row["emotion"]))


def _landmarks(folder: Path) -> Iterator[Sample]:
    for row, pixels in _rows(folder):
        points = np.array([[float(row[f"x{i}"]), float(row[f"y{i}"])] for i in range(68)], np.float32)
        identity = row["image"].split("_")[0]
        yield Sample(name=row["image"], identity=identity, pixels=pixels, landmarks=points, binary={"occluded": False})


def _mask_crops(folder: Path) -> Iterator[Sample]:
    for row, pixels in _rows(folder):
        yield Sample(
            name=row["image"],
            identity=row["image"],
            pixels=pixels,
            binary={"occluded": row["label"] == "with_mask"},
        )


def _mask_boxes(folder: Path, smallest: float = 20.0) -> Iterator[Sample]:
    """A mask worn below nose or mouth is neither a yes nor a no and is left out; so are faces under `smallest`
    pixels."""
    for number, (row, pixels) in enumerate(_rows(folder)):
        box = (float(row["left"]), float(row["top"]), float(row["right"]), float(row["bottom"]))
        side = max(box[2] - box[0], box[3] - box[1])
        if row["label"] == "mask_incorrect" or side < smallest:
            continue
        reach = round(side)
        left, top = max(0, int(box[0]) - reach), max(0, int(box[1]) - reach)
        around = pixels[top : int(box[3]) + reach, left : int(box[2]) + reach]
        yield Sample(
            name=f"{row['image']}#{number}",
            identity=row["image"],
            pixels=around,
            binary={"occluded": row["label"] == "with_mask"},
            box=(box[0] - left, box[1] - top, box[2] - left, box[3] - top),
        )


def read_set(data: Path, name: str) -> Iterator[Sample]:
    """All samples of the set `name` under `data`, in file order. Raises FileNotFoundError where the set is missing."""
    readers = {
        "face-attributes": _face_attributes,
        "age-gender": _age_gender,
        "emotion": _emotion,
        "landmarks": _landmarks,
        "face-mask-crops": _mask_crops,
        "face-mask-boxes": _mask_boxes,
    }
    return readers[name](data / name)


def read_eyes(data: Path) -> tuple[NDArray[np.uint8], NDArray[np.bool_], list[str]]:
    """The `eye-state` set: close-ups (N, 64, 64, 3) RGB, whether the eye is open (N,), and the names."""
    pictures, opened, names = [], [], []
    for row, pixels in _rows(data / "eye-state"):
        pictures.append(cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA))
        opened.append(row["state"] == "open")
        names.append(row["image"])
    return np.stack(pictures), np.array(opened), names

"""Answers of the API drawn on the picture they are about."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openrek.vision.draw import Mark, annotate
from openrek.vision.image import RELAXED_FORMATS, load_image

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]
LONGEST = 2400  # pixels; a larger photo is drawn at this size, which any screen shows whole


def annotated(photo: Path, *answers: Mapping[str, Any], max_pixels: int) -> "Image":
    """The photo, of at most `max_pixels`, with everything that the answers found in it. Raises ImageError when it
    cannot be read, OSError where it is gone."""
    picture = load_image(photo, formats=RELAXED_FORMATS, longest=LONGEST, max_pixels=max_pixels)
    size = (picture.width, picture.height)
    marks: list[Mark] = []
    legend: list[str] = []
    for answer in answers:
        marks += label_marks(answer.get("Labels", ()), size)
        legend += [f"{label['Name']} {label['Confidence']:.0f}%" for label in answer.get("ModerationLabels", ())]
        lines = [item for item in answer.get("TextDetections", ()) if item["Type"] == "LINE"]
        marks += text_marks(lines, size)
        marks += face_marks(answer.get("FaceDetails", ()), size)
        marks += face_marks(answer.get("UnrecognizedFaces", ()), size)
        marks += celebrity_marks(answer.get("CelebrityFaces", ()), size)
        marks += equipment_marks(answer.get("Persons", ()), size)
        legend += [f"{label['Name']} {label['Confidence']:.0f}%" for label in answer.get("Labels", ())]
        legend += [f"{number}  {line['DetectedText']}" for number, line in enumerate(lines, 1)]
    return annotate(picture, marks, legend=legend)


def label_marks(labels: Sequence[Mapping[str, Any]], size: Size) -> list[Mark]:
    """A box for every instance; of labels that share boxes, the most specific one is drawn."""
    parents = {parent["Name"] for label in labels for parent in label["Parents"]}
    return [
        Mark(
            box=_box(instance["BoundingBox"], size),
            text=f"{label['Name']} {instance['Confidence']:.0f}%",
            colour_key=label["Name"],
        )
        for label in labels
        if label["Name"] not in parents
        for instance in label["Instances"]
    ]


def face_marks(faces: Sequence[Mapping[str, Any]], size: Size) -> list[Mark]:
    """A box and the landmarks of every face."""
    return [
        Mark(
            box=_box(face["BoundingBox"], size),
            points=[(point["X"] * size[0], point["Y"] * size[1]) for point in face["Landmarks"]],
            text=f"face {face['Confidence']:.0f}%",
            colour_key="face",
        )
        for face in faces
    ]


def celebrity_marks(people: Sequence[Mapping[str, Any]], size: Size) -> list[Mark]:
    """A box around every face of someone in the gallery, with the name."""
    return [
        Mark(
            box=_box(person["Face"]["BoundingBox"], size),
            text=f"{person['Name']} {person['MatchConfidence']:.0f}%",
            colour_key=person["Id"],
        )
        for person in people
    ]


def equipment_marks(persons: Sequence[Mapping[str, Any]], size: Size) -> list[Mark]:
    """A box for every person and for every item, named by what it covers or fails to cover."""
    marks = []
    for person in persons:
        text = f"person {person['Id']}  {person['Confidence']:.0f}%"
        marks.append(Mark(box=_box(person["BoundingBox"], size), text=text, colour_key="person"))
        for part in person["BodyParts"]:
            for item in part["EquipmentDetections"]:
                name = item["Type"].lower().replace("_", " ") + (
                    "" if item["CoversBodyPart"]["Value"] else ", not worn"
                )
                box = _box(item["BoundingBox"], size)
                marks.append(Mark(box=box, text=f"{name} {item['Confidence']:.0f}%", colour_key=name))
    return marks


def text_marks(lines: Sequence[Mapping[str, Any]], size: Size) -> list[Mark]:
    """The outline of every line with its number in the legend: readings in place would hide the lines around them."""
    return [
        Mark(
            polygon=[(point["X"] * size[0], point["Y"] * size[1]) for point in line["Geometry"]["Polygon"]],
            text=str(number),
            colour_key="text",
        )
        for number, line in enumerate(lines, 1)
    ]


def _box(box: Mapping[str, float], size: Size) -> tuple[float, float, float, float]:
    left, top = box["Left"] * size[0], box["Top"] * size[1]
    return left, top, left + box["Width"] * size[0], top + box["Height"] * size[1]

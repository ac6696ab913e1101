"""Text in pictures: DetectText, and the answer's elements, which text in videos shares."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

from openrek.contract.call import Call
from openrek.contract.errors import InvalidParameterException
from openrek.service.images import decode_request_image, open_request_image
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.vision.geometry import corners, polygon_bounds, simple_polygons
from openrek.vision.image import Picture
from openrek.vision.text import LONGEST, Line, Quad, TextResult, Word, WordFilter, read_text

if TYPE_CHECKING:
    from types_boto3_rekognition.literals import TextTypesType
    from types_boto3_rekognition.type_defs import (
        DetectionFilterTypeDef,
        DetectTextRequestTypeDef,
        GeometryTypeDef,
        RegionOfInterestOutputTypeDef,
        RegionOfInterestTypeDef,
        TextDetectionTypeDef,
    )

TEXT_MODEL_VERSION: Final = "3.0"

MIN_POINTS: Final = 3
MAX_POINTS: Final = 10


@operation("DetectText")
def detect(request: "DetectTextRequestTypeDef", call: Call, services: Services) -> Response:
    """Up to 100 words and the lines they form; lines first, both in reading order."""
    filters = request.get("Filters", {})
    areas = region_polygons(filters.get("RegionsOfInterest", ()))
    encoded = open_request_image(request["Image"], services)
    picture = decode_request_image(encoded, longest=LONGEST)
    sides = np.array([picture.width, picture.height], np.float32)
    result = read_text(
        picture,
        services.runtime,
        words=word_filter(filters.get("WordFilter", {})),
        regions=[area * sides for area in areas] or None,
    )
    return {"TextDetections": text_detections(result, picture), "TextModelVersion": TEXT_MODEL_VERSION}


# --- parts of a request -----------------------------------------------------------------------------------------------


def word_filter(asked: "DetectionFilterTypeDef", default_confidence: float = 0.0) -> WordFilter:
    """The thresholds for words; `default_confidence` (0..100) holds where none is given (0 for pictures)."""
    return WordFilter(
        confidence=asked.get("MinConfidence", default_confidence) / 100,
        width=asked.get("MinBoundingBoxWidth", 0.0),
        height=asked.get("MinBoundingBoxHeight", 0.0),
    )


def region_polygons(regions: "Iterable[RegionOfInterestTypeDef | RegionOfInterestOutputTypeDef]") -> list[Quad]:
    """The outlines of the regions of interest, each float32 (P, 2), in ratios of the picture's sides.

    A region whose outline crosses itself has one for each part that it encloses. Raises InvalidParameterException,
    naming the region's place, where one is not exactly one of a box and a polygon, reaches outside the picture or has
    no area.
    """
    return [outline for number, region in enumerate(regions, 1) for outline in _region_polygons(region, number)]


def _region_polygons(region: "RegionOfInterestTypeDef | RegionOfInterestOutputTypeDef", number: int) -> list[Quad]:
    where = f"Request has invalid parameters: region of interest {number}"
    box, points = region.get("BoundingBox"), region.get("Polygon")
    if (box is None) == (points is None):
        raise InvalidParameterException(
            f"{where} must hold exactly one of BoundingBox and Polygon; it holds {'neither' if box is None else 'both'}"
        )
    if box is not None:
        missing = [name for name in ("Left", "Top", "Width", "Height") if name not in box]
        if missing:
            raise InvalidParameterException(f"{where}: its BoundingBox needs {', '.join(missing)}")
        left, top = box["Left"], box["Top"]
        outline: Quad = corners([[left, top, left + box["Width"], top + box["Height"]]])[0]
        if box["Width"] <= 0 or box["Height"] <= 0:
            raise InvalidParameterException(f"{where} has no area: its BoundingBox is {box['Width']} x {box['Height']}")
    else:
        assert points is not None
        if not MIN_POINTS <= len(points) <= MAX_POINTS:
            raise InvalidParameterException(
                f"{where}: its Polygon has {len(points)} points; {MIN_POINTS} to {MAX_POINTS} are accepted"
            )
        if any("X" not in point or "Y" not in point for point in points):
            raise InvalidParameterException(f"{where}: every point of its Polygon needs X and Y")
        outline = np.array([[point["X"], point["Y"]] for point in points], np.float32)
    tolerance = 1e-6  # 0.3 + 0.7 may exceed 1 in the client's arithmetic
    if not np.isfinite(outline).all() or outline.min() < -tolerance or outline.max() > 1 + tolerance:
        raise InvalidParameterException(f"{where} reaches outside the picture: its coordinates must lie within 0 and 1")
    polygons = simple_polygons(outline)
    if not polygons:
        raise InvalidParameterException(f"{where} has no area")
    return polygons


# --- parts of an answer -----------------------------------------------------------------------------------------------


def text_detections(result: TextResult, picture: Picture) -> "list[TextDetectionTypeDef]":
    """Lines, then words line by line; ids count from 0 without gaps."""
    lines = [_detection(line, "LINE", number, picture) for number, line in enumerate(result.lines)]
    words: list[TextDetectionTypeDef] = []
    for parent, line in enumerate(result.lines):
        for word in line.words:
            detection = _detection(word, "WORD", len(lines) + len(words), picture)
            detection["ParentId"] = parent
            words.append(detection)
    return [*lines, *words]


def _detection(item: Line | Word, kind: "TextTypesType", number: int, picture: Picture) -> "TextDetectionTypeDef":
    return {
        "DetectedText": item.text,
        "Type": kind,
        "Id": number,
        "Confidence": item.confidence * 100,
        "Geometry": geometry(item.quad, picture),
    }


def geometry(quad: Quad, picture: Picture) -> "GeometryTypeDef":
    """A turned rectangle and the box around it, in ratios of the picture's sides."""
    ratios = np.asarray(quad, np.float64) / (picture.width, picture.height)
    left, top, right, bottom = (float(value) for value in polygon_bounds(ratios))
    return {
        "BoundingBox": {"Width": right - left, "Height": bottom - top, "Left": left, "Top": top},
        "Polygon": [{"X": float(x), "Y": float(y)} for x, y in ratios],
    }

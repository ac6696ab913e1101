"""Labels of pictures: DetectLabels, and the filters and parts of an answer that labels in videos share."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Final

import numpy as np

from openrek.contract.call import Call
from openrek.contract.errors import InvalidParameterException
from openrek.service.images import decode_request_image, open_request_image
from openrek.service.operation import Response, operation
from openrek.service.services import Services
from openrek.vision.image import Picture
from openrek.vision.labels import (
    FACE_SEARCH_SIDE,
    PICTURE_SIDE,
    FoundLabel,
    ImageProperties,
    Instance,
    Label,
    RegionProperties,
    box_colours,
    detect_labels,
    image_properties,
)
from openrek.vision.labels.assemble import Box
from openrek.vision.labels.colours import DominantColour

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        DetectLabelsImageForegroundTypeDef,
        DetectLabelsImagePropertiesTypeDef,
        DetectLabelsRequestTypeDef,
        DominantColorTypeDef,
        GeneralLabelsSettingsTypeDef,
        InstanceTypeDef,
        LabelTypeDef,
    )

LABEL_MODEL_VERSION: Final = "3.0"
GENERAL_LABELS: Final = "GENERAL_LABELS"
IMAGE_PROPERTIES: Final = "IMAGE_PROPERTIES"

MIN_CONFIDENCE: Final = 55.0
INSTANCE_CONFIDENCE: Final = 30.0
MAX_LABELS: Final = 1000
MAX_DOMINANT_COLOURS: Final = 10
LONGEST_SIDE: Final = 10_000

Colours = Callable[[Box], Sequence[DominantColour]]
"""The dominant colours in a box of the picture."""


@operation("DetectLabels")
def detect(request: "DetectLabelsRequestTypeDef", call: Call, services: Services) -> Response:
    """What a picture shows (GENERAL_LABELS), its quality and colours (IMAGE_PROPERTIES), or both from one decoding."""
    features = wanted_features(request)
    settings = request.get("Settings", {})
    choice = LabelFilter.of(settings.get("GeneralLabels", {}))
    colours = settings.get("ImageProperties", {}).get("MaxDominantColors", MAX_DOMINANT_COLOURS)
    encoded = open_request_image(request["Image"], services, max_side=LONGEST_SIDE)
    picture = decode_request_image(encoded, longest=PICTURE_SIDE)

    with_properties = IMAGE_PROPERTIES in features
    labels: list[LabelTypeDef] = []
    if GENERAL_LABELS in features:
        labels = label_members(
            detect_labels(services.look(picture, face_search_side=FACE_SEARCH_SIDE)),
            picture,
            choice=choice,
            min_confidence=request.get("MinConfidence", MIN_CONFIDENCE),
            max_labels=request.get("MaxLabels", MAX_LABELS),
            instance_colours=colours if with_properties else None,
        )
    response: dict[str, object] = {"Labels": labels, "LabelModelVersion": LABEL_MODEL_VERSION}
    if with_properties:
        response["ImageProperties"] = property_members(image_properties(picture, max_colours=colours))
    return response


# --- parts of a request -----------------------------------------------------------------------------------------------


def wanted_features(request: "DetectLabelsRequestTypeDef") -> frozenset[str]:
    """The features asked for; raises InvalidParameterException for a setting of a feature that is not."""
    features = frozenset(request.get("Features") or (GENERAL_LABELS,))
    settings = request.get("Settings", {})
    owners = (
        ("MaxLabels", "MaxLabels" in request, GENERAL_LABELS),
        ("MinConfidence", "MinConfidence" in request, GENERAL_LABELS),
        ("Settings.GeneralLabels", "GeneralLabels" in settings, GENERAL_LABELS),
        ("Settings.ImageProperties", "ImageProperties" in settings, IMAGE_PROPERTIES),
    )
    for name, given, feature in owners:
        if given and feature not in features:
            raise InvalidParameterException(
                f"Request has invalid parameters: {name} is only valid when Features contains {feature}"
            )
    return features


@dataclass(frozen=True, slots=True)
class LabelFilter:
    """Which labels are kept, by exact names of labels and categories. Where any inclusion is given, a label needs one
    of them; an exclusion wins over it. Names that the taxonomy does not have match nothing."""

    labels: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    without_labels: frozenset[str] = frozenset()
    without_categories: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: "GeneralLabelsSettingsTypeDef") -> "LabelFilter":
        """Raises InvalidParameterException where one value is both included and excluded."""
        chosen = cls(
            frozenset(settings.get("LabelInclusionFilters", ())),
            frozenset(settings.get("LabelCategoryInclusionFilters", ())),
            frozenset(settings.get("LabelExclusionFilters", ())),
            frozenset(settings.get("LabelCategoryExclusionFilters", ())),
        )
        for kind, both in (
            ("Label", chosen.labels & chosen.without_labels),
            ("LabelCategory", chosen.categories & chosen.without_categories),
        ):
            if both:
                raise InvalidParameterException(
                    f"Request has invalid parameters: {kind}InclusionFilters and {kind}ExclusionFilters both hold "
                    f"{', '.join(repr(value) for value in sorted(both))}"
                )
        return chosen

    def keeps(self, label: Label) -> bool:
        if label.name in self.without_labels or label.category in self.without_categories:
            return False
        if not self.labels and not self.categories:
            return True
        return label.name in self.labels or label.category in self.categories


# --- parts of an answer -----------------------------------------------------------------------------------------------


def label_members(
    found: Iterable[FoundLabel],
    picture: Picture,
    *,
    choice: LabelFilter,
    min_confidence: float = MIN_CONFIDENCE,
    max_labels: int = MAX_LABELS,
    instance_colours: int | None = None,
) -> "list[LabelTypeDef]":
    """The labels that pass, best first, ties by name: at most `max_labels`, never more than MAX_LABELS.

    min_confidence: 0..100, inclusive, of labels, compared with confidences as they are sent. An instance's confidence
    is in its box's place, so instances are sent from INSTANCE_CONFIDENCE on, or from min_confidence where that is less;
    a label that tags are sure of may have none. instance_colours: how many dominant colours each instance carries; None
    for no such member. Labels are cut after filtering, ancestors included.
    """
    colours: Colours | None = None
    if instance_colours is not None:  # looked for once a box: a label and its ancestors share theirs
        colours = cache(partial(box_colours, picture, max_colours=instance_colours))
    # the threshold in the same precision: a client may send back a confidence that it read
    threshold = float(np.float32(min_confidence))
    passing = [
        (confidence, each)
        for each in found
        if choice.keeps(each.label) and (confidence := percent(each.confidence)) >= threshold
    ]
    passing.sort(key=lambda item: (-item[0], item[1].label.name))
    return [
        {
            "Name": each.label.name,
            "Confidence": confidence,
            "Instances": [
                _instance(instance, picture, colours)
                for instance in each.instances
                if percent(instance.confidence) >= min(threshold, INSTANCE_CONFIDENCE)
            ],
            "Parents": [{"Name": name} for name in each.label.ancestors],
            "Aliases": [{"Name": name} for name in each.label.aliases],
            "Categories": [{"Name": each.label.category}],
        }
        for confidence, each in passing[: min(max_labels, MAX_LABELS)]
    ]


def percent(probability: float) -> float:
    """0..1 as 0..100 in the precision of the wire, so that order and thresholds hold for what a client reads."""
    return float(np.float32(min(max(probability, 0.0), 1.0) * 100))


def _instance(instance: Instance, picture: Picture, colours: Colours | None) -> "InstanceTypeDef":
    left, top, right, bottom = instance.box
    member: InstanceTypeDef = {
        "BoundingBox": {
            "Width": (right - left) / picture.width,
            "Height": (bottom - top) / picture.height,
            "Left": left / picture.width,
            "Top": top / picture.height,
        },
        "Confidence": percent(instance.confidence),
    }
    if colours is not None:
        member["DominantColors"] = colour_members(colours(instance.box))
    return member


def property_members(properties: ImageProperties) -> "DetectLabelsImagePropertiesTypeDef":
    """Quality and colours of the picture and, where it has a subject, of foreground and background."""
    whole = properties.image
    members: DetectLabelsImagePropertiesTypeDef = {
        "Quality": {
            "Brightness": whole.quality.brightness,
            "Sharpness": whole.quality.sharpness,
            "Contrast": whole.quality.contrast,
        },
        "DominantColors": colour_members(whole.dominant_colours),
    }
    if properties.foreground is not None:
        members["Foreground"] = _region(properties.foreground)
    if properties.background is not None:
        members["Background"] = _region(properties.background)
    return members


def _region(region: RegionProperties) -> "DetectLabelsImageForegroundTypeDef":
    return {
        "Quality": {"Brightness": region.quality.brightness, "Sharpness": region.quality.sharpness},
        "DominantColors": colour_members(region.dominant_colours),
    }


def colour_members(colours: Sequence[DominantColour]) -> "list[DominantColorTypeDef]":
    return [
        {
            "Red": each.colour.rgb[0],
            "Green": each.colour.rgb[1],
            "Blue": each.colour.rgb[2],
            "HexCode": each.colour.hex,
            "CSSColor": each.colour.css,
            "SimplifiedColor": each.colour.simplified,
            "PixelPercent": each.percent,
        }
        for each in colours
    ]

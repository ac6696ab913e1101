"""What is said of the people in a picture."""

from dataclasses import dataclass
from enum import StrEnum

Box = tuple[float, float, float, float]


class PartName(StrEnum):
    """Body parts; left and right are the person's own."""

    FACE = "FACE"
    LEFT_HAND = "LEFT_HAND"
    RIGHT_HAND = "RIGHT_HAND"
    HEAD = "HEAD"


class Cover(StrEnum):
    """Kinds of equipment by what they cover."""

    FACE_COVER = "FACE_COVER"
    HAND_COVER = "HAND_COVER"
    HEAD_COVER = "HEAD_COVER"


@dataclass(frozen=True, slots=True)
class Equipment:
    """One item. box: xyxy in pixels of the picture. confidence: 0.5..1, that it is such an item. covers: whether it is
    on the body part, with confidence `covers_confidence` 0.5..1."""

    cover: Cover
    box: Box
    confidence: float
    covers: bool
    covers_confidence: float


@dataclass(frozen=True, slots=True)
class BodyPart:
    """A visible body part, with confidence 0.5..1; without equipment it is bare."""

    name: PartName
    confidence: float
    equipment: tuple[Equipment, ...] = ()


@dataclass(frozen=True, slots=True)
class ProtectedPerson:
    """A person. box: xyxy in pixels of the picture; confidence: 0.5..1; parts: in the order of PartName."""

    box: Box
    confidence: float
    parts: tuple[BodyPart, ...]

"""Moderation: unsafe content named by the taxonomy 7.0, whether a picture is drawn, and what nobody looked for.

`moderate(look)` answers all three. What the installed models cannot see is part of every answer (`Moderation.blind`):
no label does not mean that a picture is safe.
"""

from openrek.vision.moderation.detect import (
    PICTURE_SIDE,
    ContentType,
    Moderation,
    ModerationLabel,
    blind_spots,
    moderate,
)
from openrek.vision.moderation.taxonomy import LEAVES, NODES, V6_TO_V7, VERSION, Node, ancestors

__all__ = [
    "LEAVES",
    "NODES",
    "PICTURE_SIDE",
    "V6_TO_V7",
    "VERSION",
    "ContentType",
    "Moderation",
    "ModerationLabel",
    "Node",
    "ancestors",
    "blind_spots",
    "moderate",
]

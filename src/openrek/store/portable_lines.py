"""What the lines of exported files (collections, galleries of celebrities) have in common: JSON Lines, checked by
pydantic, in which face vectors stand as base64."""

import base64
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer


class Line(BaseModel):
    """A line of an exported file; a member that it does not know makes it invalid."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _decoded(value: object) -> object:
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


Vector = Annotated[bytes, BeforeValidator(_decoded), PlainSerializer(_encoded, when_used="json")]
"""Bytes of a face vector, base64 in the file."""

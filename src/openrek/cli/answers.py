"""Answers of the API as lines of JSON."""

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openrek.wire.serializer import Serializer


def answer_line(operation: str, answer: Mapping[str, Any], **beside: str) -> str:
    """One line: what stands beside the answer (the files), then its members, with numbers as the server writes them."""
    members = json.loads(_serializer().serialize(operation, answer))
    return json.dumps({**beside, **members}, ensure_ascii=False)


@cache
def _serializer() -> "Serializer":
    from openrek.contract.model import service_model
    from openrek.wire.serializer import Serializer

    return Serializer(service_model())

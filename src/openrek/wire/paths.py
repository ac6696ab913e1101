"""How messages name a place in a request: `image.s3Object.bucket`, `faceIds.1.member`, `tags.colour.member`."""

from typing import Final

LONGEST_SHOWN: Final = 1024


def camel(name: str) -> str:
    """A member's name with its first letter in lower case, as AWS's messages write it."""
    return name[:1].lower() + name[1:]


def shorten(text: str) -> str:
    """`text`, cut after 1024 characters: a message repeats what was wrong, not a whole upload."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."

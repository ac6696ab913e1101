"""The service model's patterns, written in Java's dialect, as Python matchers.

What differs from the `regex` package: `\\d`, `\\w` and `\\s` mean ASCII characters in Java, and the dot stops at every
line terminator. Java's character class `[...]`, `\\p{L}` and `\\uXXXX` read the same in both. A pattern holds for the
whole value, whether it is anchored or not.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

import regex

_OUTSIDE: Final = {
    ".": r"[^\n\r\u0085\u2028\u2029]",
    r"\d": "[0-9]",
    r"\D": "[^0-9]",
    r"\w": "[a-zA-Z_0-9]",
    r"\W": "[^a-zA-Z_0-9]",
    r"\s": r"[ \t\n\x0B\f\r]",
    r"\S": r"[^ \t\n\x0B\f\r]",
}
_INSIDE: Final = {r"\d": "0-9", r"\w": "a-zA-Z_0-9", r"\s": r" \t\n\x0B\f\r"}
_TOKEN = regex.compile(r"\\.|.", regex.DOTALL)

# values up to this length are matched without a clock; beyond it a pattern that backtracks may take quadratic time
SHORT: Final = 512
PATIENCE: Final = 0.2


@cache
def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a whole string matches a Java `pattern`.

    A long value that takes more than 0.2 s to match counts as not matching: only a value made to be slow does.
    """
    compiled = regex.compile(from_java(pattern), regex.VERSION0)
    fullmatch = compiled.fullmatch

    def matches(value: str) -> bool:
        if len(value) <= SHORT:
            return fullmatch(value) is not None
        try:
            return fullmatch(value, timeout=PATIENCE) is not None
        except TimeoutError:
            return False

    return matches


def from_java(pattern: str) -> str:
    """The same pattern in the dialect of the `regex` package."""
    out: list[str] = []
    inside = False
    for token in _TOKEN.findall(pattern):
        if inside and token in (r"\D", r"\W", r"\S"):
            raise ValueError(f"a negated class inside a character class is not translated: {pattern}")
        out.append((_INSIDE if inside else _OUTSIDE).get(token, token))
        if token == "[":
            inside = True
        elif token == "]":
            inside = False
    return "".join(out)

"""What was read in texture, icons and ornaments, and is no text.

The floors are measured on photos without text (see the card of the recogniser).
"""

import unicodedata
from collections.abc import Iterable, Sequence

from openrek.vision.text.result import Word

LINE_FLOOR = 0.25  # least mean confidence of a line's words
WORD_FLOOR = 0.1
LONE_FLOOR = 0.8  # of a line of one character

IDEOGRAPHS = ((0x2E80, 0x31FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))


def is_ideograph(character: str) -> bool:
    """Whether a character belongs to a script that is written without spaces: Han, Kana, Bopomofo."""
    code = ord(character)
    return (
        0x2E80 <= code <= 0x31FF or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x3FFFF
    )


def sift(pieces: Iterable[Sequence[Word]]) -> list[list[Word]]:
    """Leave out the words of a picture that are no text; pieces are runs of words that were found as one."""
    lines = [[word for word in piece if word.confidence >= WORD_FLOOR and _spoken(word.text)] for piece in pieces]
    lines = [line for line in lines if line and sum(word.confidence for word in line) >= LINE_FLOOR * len(line)]
    ideographic = any(sum(map(is_ideograph, word.text)) > 1 for line in lines for word in line)
    kept = []
    for line in lines:
        # a lone ideograph in a picture without others is an icon: a walking person reads as 大, a frame as 口
        words = line if ideographic else [word for word in line if not is_ideograph(word.text[0])]
        letters = sum(len(word.text) for word in words)
        if letters > 1 or (letters == 1 and words[0].confidence >= LONE_FLOOR and words[0].text.isalnum()):
            kept.append(words)
    return [line for line in kept if any(character.isalnum() for word in line for character in word.text)]


def _spoken(text: str) -> bool:
    """Letters, digits, or plain punctuation; not arrows, bullets, dingbats and emoji alone."""
    return any(character.isascii() or unicodedata.category(character)[0] in "LNMP" for character in text)

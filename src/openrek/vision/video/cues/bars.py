"""Colour bars: SMPTE ECR 1, SMPTE RP 219, EBU and their like, by structure.

Every standard shows the same six saturated colours as upright stripes of equal width, in the order of falling luma:
yellow, cyan, green, magenta, red, blue, after white or grey and before black. That order is no rainbow, so gradients of
hue do not pass. What stands below the stripes, beside them (pillarbox, RP 219's grey), or over them (counters, clocks,
text) takes pixels away but leaves each column its colour; scrolling turns the order round its circle.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FIRST_SAMPLES = 48
"""Columns that are looked at in every frame."""
SAMPLES = (144, 40)
"""Columns and rows that are looked at where there may be bars."""

_COLOURS = 6
_NEUTRAL, _OTHER = 6, 7

_HUES = (172.5, -74.0, -129.5, 50.0, 105.5, -7.5)
"""Angle atan2(Cr, Cb) in degrees of yellow, cyan, green, magenta, red, blue: the mean of BT.601's and BT.709's."""
_HUE_SLACK = 24.0
_LEAST_CHROMA = 30.0
"""Of 128. 75 % bars have 84 to 100; faded copies less."""
_MOST_NEUTRAL = 14.0

_LEAST_COLOURED = 0.2
"""Share of the picture that is coloured: bars cover at least 0.58 x 0.64 of it (RP 219), less what is burnt in."""
_LEAST_OF_EACH = 0.015
"""Share of the picture that each of the six colours has; a seventh of the above, less what is burnt in or cut off."""
_COLUMN_SHARE, _COLUMN_PURITY = 0.33, 0.6
_UNEVEN = 1.7
"""The widest whole stripe is at most this much wider than the narrowest."""
_LEAST_WIDTH = 0.3
"""Of the frame, all six stripes together."""


def _classes() -> NDArray[np.uint8]:
    """(64, 64) class of (Cb >> 2, Cr >> 2): index into the six colours, _NEUTRAL or _OTHER."""
    middle = np.arange(64) * 4 + 2 - 128.0
    blue, red = np.meshgrid(middle, middle, indexing="ij")
    chroma, hue = np.hypot(blue, red), np.degrees(np.arctan2(red, blue))
    apart = np.abs((hue[..., None] - np.array(_HUES) + 180) % 360 - 180)
    coloured = (apart.min(-1) <= _HUE_SLACK) & (chroma >= _LEAST_CHROMA)
    return np.where(coloured, apart.argmin(-1), np.where(chroma <= _MOST_NEUTRAL, _NEUTRAL, _OTHER)).astype(np.uint8)


_CLASS_OF = _classes().ravel()
"""By `Cb >> 2 << 6 | Cr >> 2`."""

_SECTORS = 12
_NEIGHBOUR = np.arange(_SECTORS) - 1
_VIVID = 50.0
"""Chroma (of 128) of a colour that cameras seldom see over most of a picture."""


def _sectors() -> NDArray[np.uint8]:
    """(64, 64) hue sector 1..12 of (Cb >> 2, Cr >> 2); 0 where the chroma is weaker than vivid."""
    middle = np.arange(64) * 4 + 2 - 128.0
    blue, red = np.meshgrid(middle, middle, indexing="ij")
    sector = ((np.degrees(np.arctan2(red, blue)) % 360) * _SECTORS / 360).astype(np.int64) % _SECTORS + 1
    return np.where(np.hypot(blue, red) >= _VIVID, sector, 0).astype(np.uint8)


_KINDS = _OTHER + 1
_KIND_OF = _sectors().ravel() * _KINDS + _CLASS_OF
"""Sector and class at once."""


def first_looks(blue: NDArray[np.uint8], red: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Of each of n frames, whether it may show bars at all, and the share of it in one vivid hue (of 60 degrees), 0..1.

    blue, red: (n, rows, columns) Cb and Cr, some hundred samples of each frame (`FIRST_SAMPLES`).
    """
    count = len(blue)
    kinds = _KIND_OF.take(_places(blue, red).reshape(count, -1), mode="clip")
    size, most = kinds.shape[1], (_SECTORS + 1) * _KINDS
    places = kinds + (np.arange(count) * most).astype(np.uint16)[:, None]
    counts = np.bincount(places.ravel(), minlength=count * most).reshape(count, _SECTORS + 1, _KINDS)
    shares = counts[:, 1:].sum(axis=2)
    vivid = (shares + shares[:, _NEIGHBOUR]).max(axis=1) / size
    colours = counts[..., :_COLOURS].sum(axis=1)
    enough = colours.sum(axis=1) >= _LEAST_COLOURED * size
    return enough & (colours.min(axis=1) >= _LEAST_OF_EACH * size), vivid


def _places(blue: NDArray[np.uint8], red: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Where to look samples up in the tables."""
    return np.asarray((blue.astype(np.uint16) & 0xFC) << 4 | red >> 2, np.uint16)


def bars_likeness(blue: NDArray[np.uint8], red: NDArray[np.uint8]) -> float:
    """How surely a frame shows colour bars, 0..1; 0 where the structure is not there.

    blue, red: (rows, columns) Cb and Cr of the upright frame, a few thousand samples (`SAMPLES`).
    """
    rows, columns = blue.shape
    classes = _CLASS_OF.take(_places(blue, red), mode="clip")
    places = classes + np.arange(columns) * (_OTHER + 1)
    counts = np.bincount(places.ravel(), minlength=columns * (_OTHER + 1)).reshape(columns, -1)[:, :_COLOURS].T
    most = counts.max(axis=0)
    of_colours = counts.sum(axis=0)
    clear = (most >= _COLUMN_SHARE * rows) & (most >= _COLUMN_PURITY * of_colours)
    stripes = _stripes(np.where(clear, counts.argmax(axis=0), -1))
    if not _is_standard(stripes, columns):
        return 0.0
    inside = np.zeros(columns, bool)
    for _, start, end in stripes:
        inside[start:end] = True
    # purity of the columns, and evenness of the widths, say how sure it is
    purity = float(most[inside].sum() / max(1, of_colours[inside].sum()))
    return min(1.0, max(0.0, (purity - _COLUMN_PURITY) / (0.97 - _COLUMN_PURITY)))


def _stripes(colours: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(colour, start, end) of the runs of one colour at least two columns wide, those split by a thin gap joined."""
    edges = [0, *(np.flatnonzero(np.diff(colours)) + 1).tolist(), len(colours)]
    stripes: list[tuple[int, int, int]] = []
    for start, end in pairwise(edges):
        colour = int(colours[start])
        if colour < 0 or end - start < 2:
            continue
        if stripes and stripes[-1][0] == colour and start - stripes[-1][2] <= 2:
            stripes[-1] = (colour, stripes[-1][1], end)
        else:
            stripes.append((colour, start, end))
    return stripes


def _is_standard(stripes: list[tuple[int, int, int]], columns: int) -> bool:
    """Whether the stripes are the six colours in their circular order (either direction), of even width."""
    order = [colour for colour, _, _ in stripes]
    if not _COLOURS <= len(order) <= _COLOURS + 2:
        return False
    steps = [(after - before) % _COLOURS for before, after in pairwise(order)]
    if set(steps) not in ({1}, {_COLOURS - 1}):
        return False
    # a stripe cut by the edge, or the reverse strip below the bars, makes the ends narrower
    widths = [end - start for _, start, end in stripes]
    whole = sorted(widths[1:-1])
    even = max(widths) <= _UNEVEN * whole[len(whole) // 2] and whole[-1] <= _UNEVEN * whole[0]
    return even and sum(widths) >= _LEAST_WIDTH * columns

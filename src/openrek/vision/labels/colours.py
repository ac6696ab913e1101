"""Dominant colours, quantised to the named colours of CSS Color Module Level 4.

Names come from Pillow's table. Of two names for one colour the API's choice is kept: `grey` inside a longer name
(darkslategrey, dimgrey), plain `gray` for #808080, and `cyan` and `magenta` rather than `aqua` and `fuchsia`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

WORKING_SIDE = 160
"""Longest side in pixels at which colours are counted."""

MIN_SHARE = 0.1
"""Colours of a smaller share are left out, unless none is larger."""

SAME_COLOUR = 13.0
"""Names closer than this (CIE 1994 colour difference) may be one colour of the picture, split by the palette."""

_SIMPLIFIED = {
    "black": "black",
    "white": "white snow honeydew mintcream azure aliceblue ghostwhite whitesmoke seashell beige oldlace floralwhite "
    "ivory antiquewhite linen lavenderblush mistyrose",
    "grey": "gainsboro lightgrey silver darkgrey gray dimgrey lightslategrey slategrey darkslategrey",
    "red": "red darkred firebrick crimson indianred lightcoral salmon darksalmon",
    "orange": "orange darkorange coral tomato orangered lightsalmon sandybrown peachpuff papayawhip moccasin",
    "yellow": "yellow gold lightyellow lemonchiffon lightgoldenrodyellow palegoldenrod goldenrod khaki darkkhaki "
    "cornsilk",
    "green": "green lime limegreen lawngreen chartreuse greenyellow yellowgreen springgreen mediumspringgreen "
    "lightgreen palegreen darkseagreen mediumseagreen seagreen forestgreen darkgreen olive olivedrab darkolivegreen "
    "mediumaquamarine",
    "cyan": "cyan lightcyan paleturquoise aquamarine turquoise mediumturquoise darkturquoise cadetblue darkcyan teal "
    "lightseagreen",
    "blue": "blue mediumblue darkblue navy midnightblue royalblue cornflowerblue dodgerblue deepskyblue skyblue "
    "lightskyblue lightblue powderblue steelblue lightsteelblue slateblue mediumslateblue darkslateblue",
    "purple": "purple rebeccapurple indigo blueviolet darkviolet darkorchid darkmagenta mediumorchid mediumpurple "
    "orchid violet plum thistle lavender magenta",
    "pink": "pink lightpink hotpink deeppink palevioletred mediumvioletred",
    "brown": "brown maroon saddlebrown sienna chocolate peru darkgoldenrod rosybrown tan burlywood wheat "
    "navajowhite bisque blanchedalmond",
}
_TWINS = frozenset({"aqua", "fuchsia", "grey"})


@dataclass(frozen=True, slots=True)
class Colour:
    """A named colour: `css` its CSS name, `simplified` one of twelve plain names, `rgb` its exact value."""

    css: str
    simplified: str
    rgb: tuple[int, int, int]

    @property
    def hex(self) -> str:
        """`#rrggbb`, lower case."""
        return "#{:02x}{:02x}{:02x}".format(*self.rgb)


@dataclass(frozen=True, slots=True)
class DominantColour:
    """A colour and the percentage (0..100) of the region's pixels that it stands for."""

    colour: Colour
    percent: float


@cache
def palette() -> tuple[Colour, ...]:
    """The 139 different colours that CSS names, in the order of their names."""
    simplified = {name: plain for plain, names in _SIMPLIFIED.items() for name in names.split()}
    return tuple(Colour(name, simplified[name], ImageColor.getrgb(name)[:3]) for name in sorted(_names()))


def _names() -> Iterator[str]:
    for name in ImageColor.colormap:
        if name not in _TWINS and (name == "gray" or "gray" not in name):
            yield name


@cache
def _palette_lab() -> NDArray[np.float32]:
    """CIELAB of the palette (P, 3)."""
    return np.asarray(to_lab(np.array([[colour.rgb for colour in palette()]], np.uint8))[0], np.float32)


@cache
def _differences() -> NDArray[np.float32]:
    """CIE 1994 colour difference of each two palette colours (P, P), symmetric by the geometric mean of chromas."""
    lab = _palette_lab()
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    lightness = lab[:, None, 0] - lab[None, :, 0]
    saturation = chroma[:, None] - chroma[None]
    hue = np.maximum(((lab[:, None, 1:] - lab[None, :, 1:]) ** 2).sum(axis=2) - saturation**2, 0)
    mean = np.sqrt(chroma[:, None] * chroma[None])
    squared = lightness**2 + (saturation / (1 + 0.045 * mean)) ** 2 + hue / (1 + 0.015 * mean) ** 2
    return np.asarray(np.sqrt(squared), np.float32)


def to_lab(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """CIELAB (D65; L 0..100) of sRGB pixels (H, W, 3)."""
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)


def nearest_names(lab: NDArray[np.float32]) -> NDArray[np.intp]:
    """Index into `palette()` of the colour nearest in CIELAB: (..., 3) -> (...)."""
    names = _palette_lab()
    points = lab.reshape(-1, 3)
    # the squared distance without the point's own square, which is the same for every name
    offsets = points @ (-2 * names.T) + (names**2).sum(axis=1)
    return np.asarray(offsets.argmin(axis=1).reshape(lab.shape[:-1]), np.intp)


def dominant_colours(
    names: NDArray[np.intp], mask: NDArray[np.bool_] | None = None, *, limit: int = 10
) -> list[DominantColour]:
    """Colours of a region by the share of pixels they stand for, largest first (equal shares: by name).

    names: palette indices of the region's pixels, as from `nearest_names`; mask: those that count, of the same shape.
    A shaded surface is spread over several neighbouring names; the rarer of two names of like colour is counted to the
    more frequent one. At most `limit` colours are returned, each of at least `MIN_SHARE`, or the single largest when
    none reaches that; [] for an empty region or limit 0.
    """
    counts = np.bincount((names if mask is None else names[mask]).ravel(), minlength=len(palette())).astype(np.int64)
    total = int(counts.sum())
    if total == 0 or limit == 0:
        return []
    _gather(counts)
    order = np.argsort(-counts, kind="stable")
    passing = [int(i) for i in order if counts[i] >= MIN_SHARE * total] or [int(order[0])]
    return [DominantColour(palette()[i], 100 * int(counts[i]) / total) for i in passing[:limit]]


def _gather(counts: NDArray[np.int64]) -> None:
    """Move each name's count, from the rarest on, to the nearest more frequent name of like colour."""
    differences = _differences()
    by_frequency = np.argsort(-counts, kind="stable")
    present = by_frequency[counts[by_frequency] > 0]
    for position in range(len(present) - 1, 0, -1):
        name, others = present[position], present[:position]
        closest = others[int(differences[name, others].argmin())]
        if differences[name, closest] <= SAME_COLOUR:
            counts[closest] += counts[name]
            counts[name] = 0

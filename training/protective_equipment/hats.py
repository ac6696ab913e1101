"""Hard hats and helmets put on bare heads, for the network to learn from.

The labelled hats are small, the bare heads mostly large portraits. A hat on such a portrait is either one of the
labelled ones, moved there, or drawn: a shaded dome with ridges and a brim, a vented helmet of a cyclist, a shell around
the face. Every head comes bare too, so neither sharpness nor background tells them apart.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.protective_equipment.samples import Box, Head, Pixels

Floats = NDArray[np.float32]

COLOURS = (
    (242, 242, 238),
    (245, 200, 30),
    (240, 130, 30),
    (205, 40, 35),
    (35, 85, 175),
    (40, 130, 70),
    (60, 60, 64),
    (235, 235, 90),
)
KINDS = {"moved": 0.45, "hard hat": 0.37, "cyclist": 0.09, "shell": 0.09}


def donors(heads: list[Head]) -> list[Head]:
    """Those whose hard hat is seen whole and large enough to be moved."""

    def fits(box: Box | None) -> bool:
        return box is not None and box[3] - box[1] >= 12 and 0.5 <= (box[3] - box[1]) / (box[2] - box[0]) <= 1.05

    return [head for head in heads if fits(head.hat_box)]


def covered(head: Head, hats: list[Head], generator: np.random.Generator) -> Head:
    """A bare head with a hat on it: one of `hats` (heads with hard hats), or a drawn one."""
    kind = str(generator.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "moved":
        return _moved(head, hats[int(generator.integers(len(hats)))], generator)
    return _drawn(head, kind, generator)


def recoloured(head: Head, generator: np.random.Generator) -> Head:
    """A head whose hard hat has another colour, or is white."""
    if head.hat_box is None:
        return head
    x0, y0, x1, y1 = _pixels(head.hat_box, head.patch)
    patch = head.patch.copy()
    region = patch[y0:y1, x0:x1]
    x, y = _grid(head.hat_box, region.shape, (x0, y0))
    patch[y0:y1, x0:x1] = _mixed(region, _tinted(region, generator), _dome(x, y))
    return replace(head, patch=patch)


def _moved(head: Head, donor: Head, generator: np.random.Generator) -> Head:
    left, top, right, bottom = head.head
    width, height = right - left, bottom - top
    assert donor.hat_box is not None
    x0, y0, x1, y1 = _pixels(donor.hat_box, donor.patch)
    hat = np.ascontiguousarray(donor.patch[y0:y1, x0:x1])
    if generator.random() < 0.5:
        hat = np.ascontiguousarray(hat[:, ::-1])
    if generator.random() < 0.5:
        hat = _tinted(hat, generator)
    wide = width * float(generator.uniform(1.0, 1.3))
    middle = (left + right) / 2 + float(generator.normal(0, 0.05)) * width
    low = top + float(generator.uniform(0.36, 0.5)) * height
    high = wide * hat.shape[0] / hat.shape[1] * float(generator.uniform(0.85, 1.15))
    high = max(high, low - top)  # no hair above it
    box = (middle - wide / 2, low - high, middle + wide / 2, low)
    patch = _room(head.patch, box)
    down = patch.shape[0] - head.patch.shape[0]
    placed = (box[0], box[1] + down, box[2], box[3] + down)
    a0, b0, a1, b1 = _pixels(placed, patch)
    x, y = _grid(placed, (b1 - b0, a1 - a0), (a0, b0))
    columns, rows = (x + 1) / 2 * hat.shape[1] - 0.5, y * hat.shape[0] - 0.5
    there = cv2.remap(
        hat, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    region = patch[b0:b1, a0:a1]
    there = _lit_like(there, patch)
    patch[b0:b1, a0:a1] = _mixed(region, there, _dome(x, y))
    return _worn(head, patch, down, placed, placed)


def _drawn(head: Head, kind: str, generator: np.random.Generator) -> Head:
    left, top, right, bottom = head.head
    width, height = right - left, bottom - top
    wide = width * float(generator.uniform(1.0, 1.25))
    middle = (left + right) / 2 + float(generator.normal(0, 0.05)) * width
    crown = top - float(generator.uniform(0.02, 0.18)) * height
    low = top + float(generator.uniform(0.24, 0.4)) * height
    if kind == "shell":
        low = top + float(generator.uniform(0.8, 1.05)) * height
    reach = 0.3 * wide  # brims lean out
    patch = _room(head.patch, (middle - wide / 2, crown - 2, middle + wide / 2, low))
    down = patch.shape[0] - head.patch.shape[0]
    box = (middle - wide / 2, crown + down, middle + wide / 2, low + down)
    around = (box[0] - reach, box[1] - 2, box[2] + reach, box[3] + 0.25 * height)
    x0, y0, x1, y1 = _pixels(around, patch)
    region = patch[y0:y1, x0:x1]
    x, y = _grid(box, region.shape, (x0, y0))  # -1..1 across, 0..1 from crown to rim
    soft = 2.0 / wide
    colour = np.array(COLOURS[int(generator.integers(len(COLOURS)))], np.float32)
    colour = np.clip(colour + generator.normal(0, 14, 3).astype(np.float32), 0, 255)
    layers = _shell(x, y, soft, colour, generator) if kind == "shell" else _cap(x, y, soft, colour, kind, generator)
    out = region
    for shade, alpha in layers:
        out = _mixed(out, _lit_like(shade, patch) if shade.any() else shade, alpha)
    patch[y0:y1, x0:x1] = out
    return _worn(head, patch, down, box, None)


def _cap(
    x: Floats, y: Floats, soft: float, colour: Floats, kind: str, generator: np.random.Generator
) -> list[tuple[Pixels, Floats]]:
    """A dome with its brim, above the shadow that it casts on the forehead."""
    sag = float(generator.uniform(-0.05, 0.25))  # the rim seen from below or from above
    rim = 1 - sag * (1 - np.clip(x, -1, 1) ** 2)
    power = float(generator.uniform(2.0, 2.8))
    inside = 1 - (np.abs(x) ** power + np.clip((rim - y) / np.maximum(rim, 0.1), 0, None) ** 2)
    dome = _step(inside, 3 * soft) * _step(rim + 0.04 - y, soft)
    shade = _shaded(x, (rim - y) / np.maximum(rim, 0.1), colour, generator)
    if kind == "cyclist":
        for place in np.linspace(-0.7, 0.7, int(generator.integers(3, 7))):
            curve = place * np.sqrt(np.clip(1 - (1 - y) ** 2, 0.05, 1))
            vent = np.exp(-(((x - curve) / 0.07) ** 2)) * ((y > 0.15) & (y < 0.8))
            shade = shade * (1 - 0.75 * vent[..., None])
    else:
        count = int(generator.integers(1, 4))
        for place in generator.uniform(-0.3, 0.3) + 0.27 * (np.arange(count) - (count - 1) / 2):
            curve = place * np.sqrt(np.clip(1 - (1 - y) ** 2, 0.05, 1))
            line = np.exp(-(((x - curve) / 0.05) ** 2)) - np.exp(-(((x - curve - 0.08) / 0.05) ** 2))
            shade = shade + generator.uniform(8, 35) * line[..., None]
        if generator.random() < 0.3:  # a sign on the front
            sign = ((x - generator.uniform(-0.2, 0.2)) / 0.16) ** 2 + ((y - 0.55) / 0.14) ** 2 < 1
            shade = np.where(sign[..., None], generator.uniform(0, 255, 3), shade)
    layers = []
    shadow = 0.45 * _step(rim + 0.3 - y, 0.15) * _step(y - rim + 0.1, soft) * _step(1 - np.abs(x), 0.1)
    layers.append((np.zeros((*x.shape, 3), np.uint8), (shadow * generator.uniform(0.2, 1)).astype(np.float32)))
    if generator.random() < 0.25:  # straps
        strap = np.exp(-(((np.abs(x) - 0.72 + 0.25 * (y - 1)) / 0.035) ** 2)) * (y > 0.95)
        layers.append((np.full((*x.shape, 3), 25, np.uint8), np.asarray(0.8 * strap, np.float32)))
    layers.append((np.clip(shade, 0, 255).astype(np.uint8), dome))
    if kind != "cyclist" and generator.random() < 0.85:
        lean = float(generator.choice([0.0, generator.uniform(-0.35, 0.35)]))
        thick, wide = float(generator.uniform(0.05, 0.14)), float(generator.uniform(0.95, 1.12))
        arc = rim - 0.02 + float(generator.uniform(-0.04, 0.08))
        brim = _step(1 - (np.abs(x - lean) / wide) ** 4, 4 * soft) * _step(thick - np.abs(y - arc), soft)
        under = np.broadcast_to(colour * generator.uniform(0.55, 1.1), (*x.shape, 3))
        under = under * (1.12 - 0.5 * np.clip((y - arc) / thick, -1, 1)[..., None])
        layers.append((np.clip(under, 0, 255).astype(np.uint8), brim))
    return layers


def _shell(
    x: Floats, y: Floats, soft: float, colour: Floats, generator: np.random.Generator
) -> list[tuple[Pixels, Floats]]:
    """A helmet that goes around the face, open in front."""
    up = 1 - 2 * y
    outside = 1 - (np.abs(x) ** 2.4 + np.abs(up) ** 2.4)
    wide, high = float(generator.uniform(0.6, 0.78)), float(generator.uniform(0.55, 0.8))
    side = float(generator.uniform(-0.15, 0.15))
    opening = 1 - (np.abs((x - side) / wide) ** 3 + np.abs((up + generator.uniform(0.15, 0.3)) / high) ** 3)
    alpha = _step(outside, 3 * soft) * (1 - _step(opening, 4 * soft))
    shade = _shaded(x, np.clip(up, -1, 1), colour, generator)
    return [(np.clip(shade, 0, 255).astype(np.uint8), np.asarray(alpha, np.float32))]


def _shaded(x: Floats, up: Floats, colour: Floats, generator: np.random.Generator) -> Floats:
    """A ball under a lamp: light from one side, a glint, a tone of sky."""
    depth = np.sqrt(np.clip(1 - x**2 - up**2, 0, 1))
    light = generator.normal((0, 0.7, 0.7), 0.6)
    light = light / np.linalg.norm(light)
    ambient = float(generator.uniform(0.35, 0.75))
    facing = np.clip(light[0] * x + light[1] * up + light[2] * depth, 0, 1)
    glint = facing ** float(generator.uniform(12, 60)) * float(generator.uniform(0, 140))
    return np.asarray(colour * (ambient + (1.05 - ambient) * facing)[..., None] + glint[..., None], np.float32)


def _worn(head: Head, patch: Pixels, down: int, hat: Box, box: Box | None) -> Head:
    """The head as it is now: its top is the hat's."""
    left, top, right, bottom = head.head
    taller: Box = (min(left, hat[0]), min(top + down, hat[1]), max(right, hat[2]), bottom + down)
    mask = head.mask_box
    lower = None if mask is None else (mask[0], mask[1] + down, mask[2], mask[3] + down)
    return replace(head, patch=patch, head=taller, hat_box=box, mask_box=lower, hat=1)


def _room(patch: Pixels, box: Box) -> Pixels:
    """A copy of the patch, with its first row repeated where the box would stick out above."""
    lines = max(0, int(np.ceil(-box[1])))
    return np.ascontiguousarray(np.concatenate([np.repeat(patch[:1], lines, axis=0), patch]))


def _pixels(box: Box, patch: Pixels) -> tuple[int, int, int, int]:
    """The pixels that a box touches, at least one."""
    height, width = patch.shape[:2]
    x0, y0 = min(max(0, int(box[0])), width - 1), min(max(0, int(box[1])), height - 1)
    return x0, y0, min(width, max(x0 + 1, int(np.ceil(box[2])))), min(height, max(y0 + 1, int(np.ceil(box[3]))))


def _grid(box: Box, shape: tuple[int, ...], origin: tuple[int, int]) -> tuple[Floats, Floats]:
    """Of each pixel's middle the place in a box: -1..1 across, 0..1 down."""
    left, top, right, bottom = box
    x = (np.arange(shape[1], dtype=np.float32) + 0.5 + origin[0] - left) / (right - left) * 2 - 1
    y = (np.arange(shape[0], dtype=np.float32) + 0.5 + origin[1] - top) / (bottom - top)
    across, along = np.meshgrid(x, y)
    return across.astype(np.float32), along.astype(np.float32)


def _dome(x: Floats, y: Floats) -> Floats:
    """How much of a hat's box is hat: round above, straight at the sides."""
    inside = 1 - (np.abs(x) ** 2.4 + np.clip((0.7 - y) / 0.7, 0, None) ** 2.2)
    return _step(inside, 0.25) * _step(1 - y, 0.12)


def _step(distance: Floats, width: float) -> Floats:
    return np.asarray(np.clip(distance / max(width, 1e-3) + 0.5, 0, 1), np.float32)


def _tinted(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    hsv = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2HSV).astype(np.float32)
    if generator.random() < 0.35:  # white
        hsv[..., 1] *= 0.15
        hsv[..., 2] = 255 * (hsv[..., 2] / 255) ** 0.6
    else:
        hsv[..., 0] = (hsv[..., 0] + generator.uniform(0, 180)) % 180
    return np.asarray(cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


def _lit_like(hat: Pixels, patch: Pixels) -> Pixels:
    """As bright as its surroundings allow: a hat of a sunny day is dim in a dark room."""
    factor = 0.55 + 0.45 * float(np.quantile(patch, 0.9)) / 255
    return np.asarray(np.clip(hat * factor, 0, 255), np.uint8)


def _mixed(below: Pixels, above: Pixels, alpha: Floats) -> Pixels:
    share = alpha[..., None]
    return np.asarray(np.clip(below * (1 - share) + above * share, 0, 255), np.uint8)

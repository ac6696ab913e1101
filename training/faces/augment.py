"""What happens to a training crop: moved, recoloured, worn down, and now and then partly hidden.

All functions take and give crops as (H, W, 3) uint8 RGB and draw from one `numpy.random.Generator`.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision.faces.align import SIZE, TEMPLATE
from training.faces.prepare import MARGIN, SIDE
from training.faces.sources import BINARY

Crop = NDArray[np.uint8]
Random = np.random.Generator

# The 68 points of the mirrored face.
MIRRORED = np.array(
    [
        *(*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)),
        *(*range(45, 41, -1), 47, 46, *range(39, 35, -1), 41, 40),
        *(*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65),
    ]
)
_EYES = tuple(BINARY.index(name) for name in ("eyeglasses", "sunglasses"))
_MOUTH = tuple(BINARY.index(name) for name in ("smile", "mouth_open", "beard", "mustache"))
_OCCLUDED, _SUNGLASSES, _EYEGLASSES = (BINARY.index(name) for name in ("occluded", "sunglasses", "eyeglasses"))


@dataclass(frozen=True)
class Face:
    """A crop and what is known of it; -1 (NaN for points) is unknown."""

    crop: Crop
    binary: NDArray[np.int8]
    age: int
    emotion: int
    landmarks: NDArray[np.float32]
    frame: NDArray[np.float32]
    """(4, 2) the corners of the picture in the crop; beyond them the crop is made up."""
    marked: bool = True
    """Whether the points are a label, rather than taught."""
    covered: tuple[bool, bool] = (False, False)
    """Whether something hides the eyes; nose or mouth."""


def _chance(random: Random, share: float) -> bool:
    return bool(random.random() < share)


def move(face: Face, random: Random, strength: float = 1.0) -> Face:
    """Mirror, turn, scale and shift, and cut the margin off; the points go along.

    At strength 1 about as much as a detector's five points are off: 6 degrees, 6 %, 2.5 pixels (standard deviations).
    """
    angle, scale = random.normal(0, 0.105 * strength), float(np.exp(random.normal(0, 0.06 * strength)))
    shift = random.normal(0, 2.5 * strength, 2)
    mirrored = _chance(random, 0.5)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    if mirrored:
        turn = turn @ np.array([[-1.0, 0.0], [0.0, 1.0]])
    middle = (SIDE - 1) / 2
    offset = np.array([(SIZE - 1) / 2] * 2) + shift - turn @ np.array([middle, middle])
    matrix = np.concatenate([turn, offset[:, None]], axis=1).astype(np.float32)
    crop = cv2.warpAffine(face.crop, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    points = face.landmarks @ matrix[:, :2].T + matrix[:, 2]
    frame = face.frame @ matrix[:, :2].T + matrix[:, 2]
    return replace(face, crop=crop, landmarks=points[MIRRORED] if mirrored else points, frame=frame)


def plain(face: Face) -> Face:
    """The crop as the service cuts it: black beyond the picture."""
    inner = slice(MARGIN, MARGIN + SIZE)
    frame = face.frame - MARGIN
    crop = face.crop[inner, inner] * _polygon(frame).astype(np.uint8)[..., None]
    return replace(face, crop=crop, landmarks=face.landmarks - MARGIN, frame=frame)


def surround(face: Face, other: Face, random: Random) -> Face:
    """What lies beyond the picture's border: black as in the service, part of another picture, one colour, or the
    mirrored crop.

    A third of the time the border is where another picture has its own.
    """
    frame = other.frame - MARGIN if _chance(random, 0.33) else face.frame
    inside = _polygon(frame)[..., None]
    if inside.all():
        return face
    kind = random.choice(["black", "other", "colour", "mirrored"], p=[0.4, 0.2, 0.1, 0.3])
    if kind == "mirrored":
        return face
    beyond = np.zeros_like(face.crop)
    if kind == "other":
        beyond = np.rot90(_inner(other.crop), int(random.integers(4)))
    elif kind == "colour":
        beyond = np.broadcast_to(random.integers(0, 256, 3), face.crop.shape).astype(np.uint8)
    shape = 1 - inside[..., 0]
    return _mark_covered(replace(face, crop=np.where(inside > 0, face.crop, beyond).astype(np.uint8)), shape)


def _inner(crop: Crop) -> Crop:
    return crop[MARGIN : MARGIN + SIZE, MARGIN : MARGIN + SIZE]


def recolour(crop: Crop, random: Random) -> Crop:
    """Brightness, contrast, the colour of the light and saturation, which are one linear map of the colours; then
    gamma."""
    matrix, offset = np.eye(3), np.zeros(3)
    if _chance(random, 0.8):
        gain, contrast = np.exp(random.normal(0, 0.2)), np.exp(random.normal(0, 0.18))
        middle = gain * float(crop.mean())
        matrix *= gain * contrast
        offset += middle * (1 - contrast) + random.normal(0, 8)
    if _chance(random, 0.4):
        light = np.exp(random.normal(0, 0.1, 3))
        matrix, offset = light[:, None] * matrix, light * offset
    saturation = 0.0 if _chance(random, 0.15) else float(np.exp(random.normal(0, 0.25)))
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile([0.299, 0.587, 0.114], (3, 1))
    whole = np.concatenate([mix @ matrix, (mix @ offset)[:, None]], axis=1)
    crop = cv2.transform(crop, whole)
    if _chance(random, 0.3):
        curve = 255 * (np.arange(256) / 255) ** float(np.exp(random.normal(0, 0.3)))
        crop = cv2.LUT(crop, curve.astype(np.uint8))
    return np.asarray(crop, np.uint8)


def wear(crop: Crop, random: Random, least: int = 26) -> Crop:
    """Lost sharpness: blur, shrinking (to `least` pixels and more) and enlarging, noise, JPEG."""
    height, width = crop.shape[:2]
    if _chance(random, 0.2):
        crop = cv2.GaussianBlur(crop, (0, 0), random.uniform(0.4, 1.8))
    if _chance(random, 0.35):
        side = int(random.uniform(least, 100))
        how = random.choice([cv2.INTER_AREA, cv2.INTER_LINEAR])
        small = cv2.resize(crop, (side, side), interpolation=int(how))
        crop = cv2.resize(small, (width, height), interpolation=int(random.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    if _chance(random, 0.15):
        noise = random.standard_normal((height, width), np.float32) * random.uniform(2, 12)
        crop = cv2.add(crop, cv2.merge([noise] * 3), dtype=cv2.CV_8U)
    if _chance(random, 0.3):
        quality = int(random.uniform(15, 85))
        encoded = cv2.imencode(".jpg", crop[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        crop = np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[:, :, ::-1])
    return crop


def _blend(crop: Crop, shape: NDArray[np.float32], paint: NDArray[np.float32]) -> Crop:
    """`paint` (H, W, 3) over the crop where `shape` (H, W) 0..1 says."""
    softened = cv2.GaussianBlur(shape, (0, 0), 0.7)[..., None]
    return (crop * (1 - softened) + paint * softened).clip(0, 255).astype(np.uint8)


def _paint(random: Random, crop: Crop, other: Crop) -> NDArray[np.float32]:
    """The surface of something before the face: one colour with folds and shading, or a piece of another picture."""
    if _chance(random, 0.3):
        return np.rot90(other, int(random.integers(1, 4))).astype(np.float32)
    skin = crop[58:74, 36:76].reshape(-1, 3).mean(axis=0)
    colours = ([235, 238, 240], [120, 170, 210], [30, 30, 34], random.uniform(0, 255, 3), skin)
    colour = np.asarray(colours[int(random.choice(5, p=[0.2, 0.15, 0.2, 0.2, 0.25]))], np.float32)
    rough = cv2.resize(random.normal(0, 14, (7, 7)).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    slope = np.linspace(-1, 1, SIZE, dtype=np.float32)[:, None] * random.normal(0, 18)
    return colour + (rough + slope)[..., None]


def _polygon(points: NDArray[np.float32]) -> NDArray[np.float32]:
    shape = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillPoly(shape, [points.round().astype(np.int32)], 1.0)
    return shape


def _mask(random: Random) -> NDArray[np.float32]:
    """A face mask from the bridge of the nose (or just above the lip's height) to under the chin."""
    top = random.uniform(48, 60)
    outline = [[56, top], [74, top + 5], [96, top + 6], [95, 84], [80, 104], [56, 111], [32, 104], [17, 84]]
    outline += [[16, top + 6], [38, top + 5]]
    return _polygon(np.array(outline, np.float32) + random.normal(0, 2, (10, 2)).astype(np.float32))


def _glasses(random: Random) -> NDArray[np.float32]:
    shape = np.zeros((SIZE, SIZE), np.float32)
    width, height = random.uniform(10.5, 15), random.uniform(7.5, 12)
    for x, y in TEMPLATE[:2]:
        middle = (float(x + np.sign(x - 56) * 1.0), float(y + random.uniform(0, 3)))
        if _chance(random, 0.5):
            cv2.ellipse(shape, (middle, (2 * width, 2 * height), 0.0), 1.0, -1)
        else:
            low, high = np.subtract(middle, (width, height)), np.add(middle, (width, height))
            cv2.rectangle(shape, low.astype(int).tolist(), high.astype(int).tolist(), 1.0, -1)
    cv2.line(shape, (44, 40), (68, 40), 1.0, int(random.integers(1, 4)))
    cv2.line(shape, (10, 40), (102, 40), 1.0, 2)
    return shape


def _blob(random: Random, middle: NDArray[np.float32], reach: tuple[float, float]) -> NDArray[np.float32]:
    """A hand, a phone, a cup: a few fingers, a turned rectangle or an ellipse around `middle`."""
    shape = np.zeros((SIZE, SIZE), np.float32)
    angle, sides = random.uniform(0, 180), random.uniform(reach[0], reach[1], 2)
    kind = random.integers(3)
    place = (float(middle[0]), float(middle[1]))
    if kind == 0:
        cv2.ellipse(shape, (place, sides.tolist(), angle), 1.0, -1)
    elif kind == 1:
        return _polygon(cv2.boxPoints((place, sides.tolist(), angle)))
    else:
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-along[1], along[0]])
        for finger in range(4):
            foot = middle + across * (finger - 1.5) * sides[0] / 4 - along * random.uniform(0.3, 0.6) * sides[1]
            tip = foot + along * sides[1] * random.uniform(0.8, 1.3)
            ends = [tuple(map(int, point)) for point in (foot, tip)]
            cv2.line(shape, ends[0], ends[1], 1.0, max(4, int(sides[0] / 4.2)), cv2.LINE_AA)
    return shape


def hide(face: Face, other: Crop, random: Random) -> Face:
    """Put something before the face, or move part of it out of the picture; labels that cannot be seen any more
    become unknown.

    `other` is a crop of another face, for texture. Eyes, nose or mouth covered is "occluded"; a patch on cheek or
    forehead is not.
    """
    kind = random.choice(
        ["mask", "glasses", "eyes", "mouth", "nose", "beside", "frame"], p=[0.22, 0.16, 0.12, 0.16, 0.06, 0.14, 0.14]
    )
    paint = _paint(random, face.crop, other)
    if kind == "mask":
        shape = _mask(random)
    elif kind == "glasses":
        shape = _glasses(random)
        dark = random.uniform(5, 60) + random.normal(0, 6, 3).astype(np.float32)
        paint = np.broadcast_to(dark, face.crop.shape) + face.crop * np.float32(random.uniform(0, 0.15))
    elif kind == "frame":
        shape = _outside(random)
        paint = np.zeros(face.crop.shape, np.float32)
    else:
        places = {"eyes": TEMPLATE[int(random.integers(2))], "mouth": TEMPLATE[2:4].mean(axis=0), "nose": TEMPLATE[4]}
        beside = np.array([[10, 20], [102, 20], [56, 4], [6, 90], [106, 90]], np.float32)[int(random.integers(5))]
        middle = places.get(str(kind), beside) + random.normal(0, 3, 2)
        shape = _blob(random, middle.astype(np.float32), (20, 34) if kind == "beside" else (22, 60))
    face = _mark_covered(replace(face, crop=_blend(face.crop, shape, paint.astype(np.float32))), shape)
    if kind == "glasses":
        binary = face.binary.copy()
        binary[[_SUNGLASSES, _EYEGLASSES]] = 1
        return replace(face, binary=binary)
    return face


def _mark_covered(face: Face, shape: NDArray[np.float32]) -> Face:
    """The labels after `shape` (H, W) has covered part of the face."""
    covered = _covered(shape)
    binary, emotion = face.binary.copy(), face.emotion
    if covered.any():
        binary[_OCCLUDED] = 1
    if covered[:2].any():
        binary[list(_EYES)] = -1
        emotion = -1
    if covered[2:].any():
        binary[list(_MOUTH)] = -1
        emotion = -1
    hidden = (face.covered[0] or bool(covered[:2].any()), face.covered[1] or bool(covered[2:].any()))
    return replace(face, binary=binary, emotion=emotion, covered=hidden)


def _covered(shape: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each of left eye, right eye, nose, mouth is hidden: at least 45 % of its surroundings."""
    places = np.stack([TEMPLATE[0], TEMPLATE[1], TEMPLATE[4], TEMPLATE[2:4].mean(axis=0)])
    reach = np.array([[7, 4], [7, 4], [6, 6], [11, 5]])
    parts = []
    for (x, y), (wide, high) in zip(places.round().astype(int), reach, strict=True):
        parts.append(shape[y - high : y + high, x - wide : x + wide].mean())
    return np.array(parts) > 0.45


def _outside(random: Random) -> NDArray[np.float32]:
    """The part beyond a border of the picture, from a little to half of the crop."""
    shape = np.zeros((SIZE, SIZE), np.float32)
    depth = random.uniform(0.05, 0.6)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    angle = random.integers(4) * np.pi / 2 + random.normal(0, 0.15)
    along = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.5
    shape[along < depth] = 1.0
    return shape


def train(
    face: Face, other: Face, random: Random, hidden: float, strength: float, least: int = 26, worn: float = 1.0
) -> Face:
    """One training view; `hidden` is the share of faces that something is put before, `worn` of those that may be
    worn down; `least`: see `wear`."""
    face = surround(move(face, random, strength), other, random)
    if _chance(random, hidden):
        face = hide(face, _inner(other.crop), random)
    crop = recolour(face.crop, random)
    return replace(face, crop=wear(crop, random, least) if _chance(random, worn) else crop)

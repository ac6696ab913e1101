"""Finding faces: propose on the whole picture, look again at each proposal, keep what both looks support.

1. The picture is searched at a longest side of 960 pixels, where a face of 2 % of it is still 20 pixels high, and twice
   more at a fraction of that, which is cheap and better for large faces; a margin there helps with faces that fill the
   picture or are cut by its border.
2. Each proposal is cut out of the picture's own pixels at one size and searched again, in four orientations where
   the first look leaves doubt about which way is up. This gives better points for small faces, finds faces lying on
   their side or upside down, and tells faces from patterns that looked like one at one scale only.
3. The two scores together give the probability of a face (`CERTAINTY`, fitted on labelled photos; see the card).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from openrek.vision import geometry
from openrek.vision.faces import centerface
from openrek.vision.faces.centerface import MODEL, STRIDE, Candidates, Floats
from openrek.vision.faces.pose import head_pose
from openrek.vision.faces.result import Faces
from openrek.vision.image import Picture
from openrek.vision.quality import brightness, sharpness
from openrek.vision.runtime import Model, Runtime

PICTURE_SIDE = 1920
"""Longest side at which a picture should be decoded: more shows no further faces, less costs small ones."""

SEARCH_SIDE = 960
_LEVELS = ((1.0, 0, 0.0), (0.4, 64, 0.06), (0.2, 64, 0.25))
"""Share of the search side, pixels of margin, and the least face, as a share of the longest side, that a level answers
for."""
_MAX_ENLARGEMENT = 2.5
_PROPOSAL_SCORE = 0.2
_MAX_PROPOSALS = 400
SAME_FACE = 0.4  # IoU

_LOOK_SIDE = 128
_LOOK_FACE = 0.45  # share of the cut-out that the face fills
_LOOK_REACH = 0.15  # how far from the middle a face is still the one proposed
_LOOK_BATCH = 32
_UPRIGHT_SCORE = 0.6  # an upright first look above this needs no other orientation
_UPRIGHT_ROLL = 35.0
_UPRIGHT_BONUS = 0.1  # most faces are upright: another orientation must look better by more than this


@dataclass(frozen=True, slots=True)
class Certainty:
    """Logistic model: P(face) = 1 / (1 + exp(-(bias + first * logit(s1) + second * logit(s2))))."""

    bias: float
    first: float
    second: float

    def __call__(self, first: Floats, second: Floats) -> Floats:
        x = self.bias + self.first * logit(first) + self.second * logit(second)
        return np.asarray(1 / (1 + np.exp(-x)), np.float32)


CERTAINTY = Certainty(bias=2.72, first=2.39, second=0.93)
MIN_CONFIDENCE = 0.8


def detect_faces(
    picture: Picture,
    runtime: Runtime,
    *,
    max_faces: int = 100,
    min_confidence: float = MIN_CONFIDENCE,
    search_side: int = SEARCH_SIDE,
) -> Faces:
    """All faces of a picture: the `max_faces` largest, by area descending, then confidence.

    min_confidence: 0..1, the least probability of a face that is reported.
    search_side: longest side in pixels at which the first look is taken; less is faster and misses small faces.
    Raises ModelUnavailableError where the detector's file cannot be had.
    """
    model = runtime.model(MODEL)
    pixels = picture.pixels
    proposals = propose(pixels, model, search_side)
    seen = look_again(pixels, proposals, model)
    confidences = CERTAINTY(proposals.scores, seen.scores)
    index = np.nonzero(confidences >= min_confidence)[0]
    index = index[geometry.nms(seen.boxes[index], confidences[index], SAME_FACE)]
    order = np.lexsort((-confidences[index], -geometry.area(seen.boxes[index])))
    index = index[order[:max_faces]]
    boxes, landmarks = seen.boxes[index], seen.landmarks[index]
    regions = [_region(pixels, box) for box in boxes]
    return Faces(
        boxes=boxes,
        confidences=confidences[index],
        landmarks=landmarks,
        pose=head_pose(landmarks),
        brightness=np.array([brightness(region) for region in regions], np.float32),
        sharpness=np.array([sharpness(region) for region in regions], np.float32),
    )


# --- first look -------------------------------------------------------------------------------------------------------


def propose(pixels: NDArray[np.uint8], model: Model, search_side: int = SEARCH_SIDE) -> Candidates:
    """Candidates of the whole picture (H, W, 3), best first, in its pixels, each face once."""
    longest = max(pixels.shape[:2])
    parts: list[Candidates] = []
    for share, margin, least in _LEVELS:
        found = _search(pixels, model, round(min(share * search_side, _MAX_ENLARGEMENT * longest)), margin)
        parts.append(found.select(found.boxes[:, 3] - found.boxes[:, 1] >= least * longest))
    found = Candidates.join(parts)
    return found.select(geometry.nms(found.boxes, found.scores, SAME_FACE, limit=_MAX_PROPOSALS))


def _search(pixels: NDArray[np.uint8], model: Model, longest: int, margin: int) -> Candidates:
    """Run the network on the picture brought to this longest side, without distortion, on a black ground."""
    height, width = pixels.shape[:2]
    factor = longest / max(height, width)
    small = cv2.resize(
        pixels,
        (max(1, round(width * factor)), max(1, round(height * factor))),
        interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR,
    )
    rows, columns = small.shape[:2]
    canvas = np.zeros((1, _multiple(rows + 2 * margin), _multiple(columns + 2 * margin), 3), np.uint8)
    canvas[0, margin : margin + rows, margin : margin + columns] = small
    found = centerface.peaks(centerface.run(model, canvas), _PROPOSAL_SCORE)
    return found.moved(1 / factor, -margin / factor, -margin / factor)


def _multiple(side: int) -> int:
    return -(-side // STRIDE) * STRIDE


# --- second look ------------------------------------------------------------------------------------------------------


def look_again(pixels: NDArray[np.uint8], proposals: Candidates, model: Model) -> Candidates:
    """Search the surroundings of each proposal at one size, and the right way up: N candidates, in order.

    The result's scores are those of the second look; boxes and landmarks come from the surer look, or from the second
    where it was turned. Boxes enclose the face as it lies in the picture; landmarks are in the order of a face the
    right way up.
    """
    count = len(proposals)
    if not count:
        return proposals
    rolls = head_pose(proposals.landmarks)[:, 0]
    doubtful = np.nonzero((proposals.scores < _UPRIGHT_SCORE) | (np.abs(rolls) > _UPRIGHT_ROLL))[0]
    owner = np.concatenate([np.arange(count), np.repeat(doubtful, 3)])
    angles = np.concatenate([np.zeros(count), np.tile([90.0, 180.0, 270.0], len(doubtful))])
    looks = _look(pixels, proposals.boxes[owner], angles, model)
    appeal = looks.scores + np.where(angles == 0, _UPRIGHT_BONUS, 0.0)
    best = np.array([np.argmax(np.where(owner == face, appeal, -1)) for face in range(count)])
    seen = looks.select(best)
    stay = (proposals.scores > seen.scores) & (angles[best] == 0)
    return Candidates(
        np.where(stay[:, None], proposals.boxes, seen.boxes),
        seen.scores,
        np.where(stay[:, None, None], proposals.landmarks, seen.landmarks),
    )


def _look(pixels: NDArray[np.uint8], boxes: Floats, angles: NDArray[np.float64], model: Model) -> Candidates:
    """The best face near the centre of each box's cut-out, turned upright by `angles` (degrees clockwise)."""
    forward = [_cutout_transform(box, angle) for box, angle in zip(boxes, angles, strict=True)]
    parts: list[Candidates] = []
    for start in range(0, len(boxes), _LOOK_BATCH):
        chunk = slice(start, start + _LOOK_BATCH)
        batch = np.stack([_cut(pixels, transform) for transform in forward[chunk]])
        parts.append(centerface.strongest(centerface.run(model, batch), _LOOK_REACH))
    found = Candidates.join(parts)
    for index, (transform, angle) in enumerate(zip(forward, angles, strict=True)):
        back = cv2.invertAffineTransform(transform)
        scale = np.sqrt(abs(np.linalg.det(back[:, :2])))
        found.landmarks[index] = found.landmarks[index] @ back[:, :2].T + back[:, 2]
        left, top, right, bottom = found.boxes[index]
        centre = back[:, :2] @ [(left + right) / 2, (top + bottom) / 2] + back[:, 2]
        half = _turned_half((right - left) / 2 * scale, (bottom - top) / 2 * scale, angle)
        found.boxes[index] = np.concatenate([centre - half, centre + half])
    return found


def _turned_half(width: float, height: float, degrees: float) -> NDArray[np.float64]:
    """Half sides of the box around a turned ellipse of these half sides: heads are round, not rectangular."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([np.hypot(width * c, height * s), np.hypot(width * s, height * c)])


def _cutout_transform(box: Floats, degrees: float) -> NDArray[np.float64]:
    """Affine (2, 3) from picture to cut-out: the box's centre to the middle, a face turned by `degrees` upright."""
    left, top, right, bottom = (float(value) for value in box)
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    factor = _LOOK_SIDE * _LOOK_FACE / max(right - left, bottom - top, 1.0)
    c, s = np.cos(np.deg2rad(degrees)) * factor, np.sin(np.deg2rad(degrees)) * factor
    turn = np.array([[c, s], [-s, c]])
    return np.column_stack([turn, _LOOK_SIDE / 2 - turn @ centre])


def _cut(pixels: NDArray[np.uint8], transform: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The cut-out (_LOOK_SIDE, _LOOK_SIDE, 3); averages first where it shrinks much, so that nothing aliases."""
    factor = float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))
    if factor < 0.6:
        back = cv2.invertAffineTransform(transform)
        centre, reach = back @ [_LOOK_SIDE / 2, _LOOK_SIDE / 2, 1], _LOOK_SIDE / factor * 0.75
        height, width = pixels.shape[:2]
        left, top = (max(0, int(value)) for value in centre - reach)
        right, bottom = min(width, int(centre[0] + reach)), min(height, int(centre[1] + reach))
        if left < right and top < bottom:
            region = pixels[top:bottom, left:right]
            size = max(1, round(region.shape[1] * factor)), max(1, round(region.shape[0] * factor))
            pixels = np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)
            scale = np.array([region.shape[1] / size[0], region.shape[0] / size[1]])
            shift = transform[:, :2] @ [left, top] + transform[:, 2]
            transform = np.column_stack([transform[:, :2] * scale, shift])
    cutout = cv2.warpAffine(pixels, transform, (_LOOK_SIDE, _LOOK_SIDE), flags=cv2.INTER_LINEAR)
    return np.asarray(cutout, np.uint8)


# --- small parts ------------------------------------------------------------------------------------------------------


def logit(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """Log odds of scores in 0..1, those beyond 1 % and 99 % taken as these."""
    clipped = np.clip(scores, 0.01, 0.99)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _region(pixels: NDArray[np.uint8], box: Floats) -> NDArray[np.uint8]:
    """The part of the picture inside a box; empty where they do not meet."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = np.round(geometry.clip(box[None], width, height)[0]).astype(int)
    return pixels[top:bottom, left:right]

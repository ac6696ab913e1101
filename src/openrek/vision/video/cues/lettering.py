"""Lines of lettering in a small luma plane, by their strokes: cheap, blind to what is written, fooled by some textures.

Letters are thin strokes, brighter or darker than what surrounds them, at even spacing along a line: morphological
top-hat for the strokes, closing along the row for the line, then the number of strokes a line has for its height.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

MOST_LINES = 40

_STROKE = 0.035
"""Widest stroke, of the frame's height."""
_CONTRAST = 28
_GAP = 0.03
"""Widest space within a line, of the frame's height."""
_LOWEST, _TALLEST = 0.014, 0.16
"""Height of a line, of the frame's height."""
_NARROWEST = 1.3
"""Width of a line in its heights."""
_FILL = (0.12, 0.85)
_STROKES = (0.45, 3.2)
"""Strokes met along a row, for each height of width."""
_MOST_STROKES = 0.2
"""Share of the picture that strokes cover at most: more is texture."""


def text_lines(luma: NDArray[np.uint8], dark: bool = False) -> NDArray[np.int16]:
    """Boxes of what looks like lines of text.

    luma: (H, W) of the upright frame, 200 to 500 rows or columns. dark: letters darker than their ground.
    Returns (N, 4) int16 x, y, width, height, from the top down, at most `MOST_LINES`.
    """
    boxes = _lines(luma, cv2.MORPH_BLACKHAT if dark else cv2.MORPH_TOPHAT)
    order = np.lexsort((boxes[:, 0], boxes[:, 1]))
    return boxes[order][:MOST_LINES]


def _lines(luma: NDArray[np.uint8], kind: int) -> NDArray[np.int16]:
    height = luma.shape[0]
    none = np.zeros((0, 4), np.int16)
    side = max(5, round(height * _STROKE) | 1)
    hat = cv2.morphologyEx(luma, kind, np.ones((side, side), np.uint8))
    strokes = np.asarray(cv2.threshold(hat, _CONTRAST, 255, cv2.THRESH_BINARY)[1], np.uint8)
    covered = cv2.countNonZero(strokes)
    if covered < 12 or covered > _MOST_STROKES * luma.size:
        return none
    gap = max(3, round(height * _GAP))
    joined = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8, ltype=cv2.CV_16U)
    w, h = stats[1:count, cv2.CC_STAT_WIDTH], stats[1:count, cv2.CC_STAT_HEIGHT]
    fits = (h >= max(4, _LOWEST * height)) & (h <= _TALLEST * height) & (w >= _NARROWEST * h)
    boxes = stats[1:count, :4][fits]
    if len(boxes) > MOST_LINES:
        boxes = boxes[np.argsort(-boxes[:, 2], kind="stable")[:MOST_LINES]]
    keep = [box for box in boxes if _is_lettering(strokes, *map(int, box))]
    return np.array(keep, np.int16).reshape(-1, 4)


def _is_lettering(strokes: NDArray[np.uint8], x: int, y: int, w: int, h: int) -> bool:
    box = strokes[y : y + h, x : x + w]
    if not _FILL[0] <= cv2.countNonZero(box) / (w * h) <= _FILL[1]:
        return False
    # rows through the middle of the letters; ascenders and descenders have few strokes
    core = box[h // 4 : max(h // 4 + 1, h - h // 4)]
    crossings = np.count_nonzero(core[:, 1:] != core[:, :-1]) / 2 / len(core)
    return bool(_STROKES[0] <= crossings * h / w <= _STROKES[1])

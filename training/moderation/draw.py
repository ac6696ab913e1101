"""Cartoons and drawings made from photos and from nothing, for the content types Animated and Illustrated.

There is no set of drawn pictures at hand, so the heads learn from what these filters and this little draughtsman make;
they are measured on drawings of people's hands (Caltech-101's Garfield, Snoopy and dinosaurs).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Random = np.random.Generator


def cartoon(photo: Pixels, random: Random) -> Pixels:
    """Flat colours and dark outlines (cel shading): edge-keeping smoothing, few colours, more saturation."""
    pixels = _resized(photo, int(random.integers(180, 280)))
    smooth = pixels
    for _ in range(int(random.integers(2, 5))):
        smooth = cv2.bilateralFilter(smooth, 7, 40, 7)
    flat = _few_colours(smooth, int(random.integers(5, 14)), random)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * random.uniform(1.1, 2.0), 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] * random.uniform(1.0, 1.3), 0, 255)
    flat = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    if random.random() < 0.75:
        flat = np.where(_lines(smooth, random)[..., None], np.uint8(random.integers(0, 40)), flat)
    return np.asarray(flat, np.uint8)


def comic(photo: Pixels, random: Random) -> Pixels:
    """Few colours, ink, and sometimes a raster of dots, panels or a speech bubble."""
    pixels = cartoon(photo, random)
    height, width = pixels.shape[:2]
    if random.random() < 0.4:
        step = int(random.integers(4, 8))
        y, x = np.mgrid[:height, :width]
        radius = np.hypot(y % step - step / 2, x % step - step / 2)
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        pixels = np.where((radius < step * 0.6 * (1 - grey))[..., None], pixels // 2, pixels).astype(np.uint8)
    if random.random() < 0.4:
        centre = (int(random.uniform(0.25, 0.75) * width), int(random.uniform(0.12, 0.3) * height))
        axes = (int(width * random.uniform(0.12, 0.24)), int(height * random.uniform(0.06, 0.13)))
        pixels = np.ascontiguousarray(pixels)
        cv2.ellipse(pixels, centre, axes, 0, 0, 360, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.ellipse(pixels, centre, axes, 0, 0, 360, (0, 0, 0), 2, cv2.LINE_AA)
        for line in range(int(random.integers(1, 4))):
            at = (centre[0] - axes[0] // 2, centre[1] - axes[1] // 3 + line * 9)
            cv2.putText(pixels, "abcdefg hij"[: int(random.integers(4, 11))], at, 0, 0.3, (0, 0, 0), 1, cv2.LINE_AA)
    if random.random() < 0.3:
        border = int(random.integers(3, 9))
        pixels = cv2.copyMakeBorder(pixels, *[border] * 4, cv2.BORDER_CONSTANT, value=(255, 255, 255)).astype(np.uint8)
    return pixels


def figure(random: Random) -> Pixels:
    """A scene from nothing: flat ground and sky, things with outlines, round characters with big eyes."""
    width, height = int(random.integers(220, 360)), int(random.integers(200, 300))
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = _colour(random)
    outline = int(random.integers(0, 4))
    ink = (0, 0, 0) if random.random() < 0.8 else _colour(random)
    if random.random() < 0.7:
        horizon = int(height * random.uniform(0.45, 0.8))
        canvas[horizon:] = _colour(random)
        if random.random() < 0.4:
            ramp = np.linspace(0.8, 1.15, horizon)[:, None, None]
            canvas[:horizon] = np.clip(canvas[:horizon] * ramp, 0, 255)
    for _ in range(int(random.integers(2, 9))):
        _thing(canvas, random, ink, outline)
    for _ in range(int(random.integers(1, 4))):
        _character(canvas, random, ink, max(outline, 1))
    return canvas


def sketch(photo: Pixels, random: Random) -> Pixels:
    """A pencil drawing: the photo divided by its blurred negative, on paper, sometimes with coloured pencils."""
    pixels = _resized(photo, int(random.integers(220, 380)))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    soft = cv2.GaussianBlur(255 - grey, (0, 0), random.uniform(3, 12))
    drawn = np.clip(grey.astype(np.float32) / np.maximum(256 - soft.astype(np.float32), 1) * 256, 0, 255)
    drawn = 255 * (drawn / 255) ** random.uniform(1.0, 4.0)
    colour = np.full(3, 255.0) - random.uniform(0, 40, 3)
    sheet = drawn[..., None] / 255 * colour
    if random.random() < 0.35:
        sheet = sheet * 0.6 + pixels * 0.4 * drawn[..., None] / 255
    sheet = sheet + random.normal(0, random.uniform(0, 6), drawn.shape)[..., None]
    return np.clip(sheet, 0, 255).astype(np.uint8)


def ink(photo: Pixels, random: Random) -> Pixels:
    """Black lines on paper, sometimes with hatching in the dark parts."""
    pixels = _resized(photo, int(random.integers(220, 380)))
    lines = _lines(cv2.bilateralFilter(pixels, 7, 50, 7), random)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if random.random() < 0.6:
        y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
        step = int(random.integers(3, 7))
        lines |= (grey < random.uniform(60, 110)) & ((x + y) % step < 1 + step // 3)
    paper = np.full(3, 255.0) - random.uniform(0, 45, 3)
    return np.where(lines[..., None], np.uint8(random.integers(0, 60)), paper.astype(np.uint8)).astype(np.uint8)


def painting(photo: Pixels, random: Random) -> Pixels:
    """Brush-like patches (Kuwahara filter, 1976) on canvas, sometimes washed out like water-colour."""
    pixels = _resized(photo, int(random.integers(200, 340)))
    painted = _kuwahara(pixels, int(random.integers(3, 8)))
    if random.random() < 0.4:
        painted = painted * 0.75 + 64
    texture = cv2.GaussianBlur(random.normal(0, 1, painted.shape[:2]), (0, 0), random.uniform(0.6, 1.5))
    painted = painted + (texture * random.uniform(2, 18))[..., None]
    return np.clip(painted, 0, 255).astype(np.uint8)


ANIMATED = (cartoon, comic)
ILLUSTRATED = (sketch, ink, painting)


def _resized(pixels: Pixels, short: int) -> Pixels:
    scale = short / min(pixels.shape[:2])
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _few_colours(pixels: Pixels, count: int, random: Random) -> Pixels:
    points = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float32)
    sample = points[random.integers(0, len(points), 2500)]
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 12, 1.0)
    _, _, centres = cv2.kmeans(sample, count, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
    nearest = ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)
    return cv2.cvtColor(centres[nearest].astype(np.uint8).reshape(pixels.shape), cv2.COLOR_LAB2RGB).astype(np.uint8)


def _lines(pixels: Pixels, random: Random) -> NDArray[np.bool_]:
    grey = cv2.medianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 5)
    block, above = int(random.integers(2, 6)) * 2 + 1, int(random.integers(3, 9))
    found = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, block, above)
    return np.asarray(found > 0)


def _kuwahara(pixels: Pixels, radius: int) -> NDArray[np.float64]:
    values = pixels.astype(np.float32)
    best, least = values.astype(np.float64), np.full(values.shape[:2], np.inf)
    for x in (0, radius):
        for y in (0, radius):
            box = (radius + 1, radius + 1)
            mean = cv2.blur(values, box, anchor=(x, y))
            spread = (cv2.blur(values**2, box, anchor=(x, y)) - mean**2).sum(axis=2)
            chosen = spread < least
            best[chosen], least[chosen] = mean[chosen], spread[chosen]
    return best


def _colour(random: Random) -> tuple[int, int, int]:
    hsv = np.array([[[random.integers(0, 180), random.integers(60, 256), random.integers(90, 256)]]], np.uint8)
    red, green, blue = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
    return int(red), int(green), int(blue)


def _thing(canvas: Pixels, random: Random, ink: tuple[int, int, int], outline: int) -> None:
    height, width = canvas.shape[:2]
    x, y = int(random.uniform(0, width)), int(random.uniform(0, height))
    size = int(random.uniform(0.06, 0.25) * min(height, width))
    colour, kind = _colour(random), int(random.integers(0, 3))
    if kind == 0:
        points = np.array([(x - size, y + size), (x + size, y + size), (x + int(random.normal(0, size)), y - size)])
    elif kind == 1:
        w, h = int(size * random.uniform(0.5, 1.5)), int(size * random.uniform(0.5, 1.5))
        points = np.array([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)])
    else:
        angles = np.sort(random.uniform(0, 2 * np.pi, int(random.integers(6, 14))))
        radius = size * random.uniform(0.6, 1.2, len(angles))
        points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1).astype(int)
    cv2.fillPoly(canvas, [points.astype(np.int32)], colour, cv2.LINE_AA)
    if outline:
        cv2.polylines(canvas, [points.astype(np.int32)], True, ink, outline, cv2.LINE_AA)


def _character(canvas: Pixels, random: Random, ink: tuple[int, int, int], outline: int) -> None:
    height, width = canvas.shape[:2]
    size = int(random.uniform(0.12, 0.3) * min(height, width))
    x, y = int(random.uniform(size, width - size)), int(random.uniform(size, height - size))
    skin, clothes = _colour(random), _colour(random)

    def oval(dx: float, dy: float, rx: float, ry: float, colour: tuple[int, int, int]) -> None:
        centre, axes = (int(x + dx * size), int(y + dy * size)), (max(1, int(rx * size)), max(1, int(ry * size)))
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, ink, outline, cv2.LINE_AA)

    oval(0, 1.1, random.uniform(0.35, 0.7), random.uniform(0.6, 0.9), clothes)
    for side in (-1, 1):
        if random.random() < 0.6:  # ears
            oval(side * random.uniform(0.4, 0.8), -0.7, random.uniform(0.15, 0.4), random.uniform(0.2, 0.6), skin)
        oval(side * 0.4, 1.9, 0.25, 0.15, clothes)
    oval(0, 0, random.uniform(0.7, 1.0), random.uniform(0.6, 0.9), skin)
    eye = random.uniform(0.15, 0.3)
    for side in (-1, 1):
        oval(side * eye * 1.2, -0.2, eye, eye * random.uniform(1, 1.5), (255, 255, 255))
        oval(side * eye * 1.1, -0.15, eye * 0.4, eye * 0.5, ink)
    mouth = (int(x), int(y + 0.25 * size))
    cv2.ellipse(canvas, mouth, (int(size * 0.35), int(size * 0.2)), 0, 0, 180, ink, max(outline, 1), cv2.LINE_AA)

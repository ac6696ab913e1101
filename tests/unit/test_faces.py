"""Detection around the network: a stand-in network that sees painted faces shows that every coordinate comes home."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from openrek.vision.faces import LANDMARKS, Faces, centerface, detect_faces
from openrek.vision.faces.centerface import Maps
from openrek.vision.image import Picture
from openrek.vision.runtime import Model, Runtime

Pixels = NDArray[np.uint8]

SKIN = (200, 0, 0)
CROWN = (0, 200, 0)


def paint(pixels: Pixels, x: int, y: int, width: int, height: int, *, turned: int = 0) -> None:
    """A face as the stand-in knows it: a red rectangle whose upper third (before turning by quarter turns clockwise)
    is green."""
    patch = np.full((height, width, 3), SKIN, np.uint8)
    patch[: height // 3] = CROWN
    patch = np.rot90(patch, -turned // 90)
    h, w = patch.shape[:2]
    pixels[y : y + h, x : x + w] = patch


class PaintedFaceNetwork:
    """Finds painted faces. Upright ones score 0.9, others 0.3, and the points are right only for upright ones."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        image = feeds["image"]
        assert image.dtype == np.float32
        assert outputs == centerface.OUTPUTS
        assert image.shape[2] % 32 == 0
        assert image.shape[3] % 32 == 0
        self.shapes.append(image.shape)
        count, _, height, width = image.shape
        maps = [np.zeros((count, c, height // 4, width // 4), np.float32) for c in (1, 2, 2, 10)]
        for item in range(count):
            self._see(image[item], [each[item] for each in maps])
        return maps

    @staticmethod
    def _see(image: NDArray[np.float32], maps: list[NDArray[np.float32]]) -> None:
        red, green, _ = image
        mask = ((red > 100) | (green > 100)).astype(np.uint8)
        number, _, stats, centres = cv2.connectedComponentsWithStats(mask)
        for index in range(1, number):
            left, top, width, height, area = stats[index]
            if area < 30:
                continue
            # pixel i covers i..i+1
            x, y = centres[index] + 0.5
            crown = green[top : top + height, left : left + width] > 100
            upright = crown[: height // 4].mean() > 0.5 and crown[height // 2 :].mean() < 0.2
            row, column = int(y // 4), int(x // 4)
            if maps[0][0, row, column]:
                continue
            maps[0][0, row, column] = 0.9 if upright else 0.3
            maps[1][:, row, column] = np.log(np.array([height, width]) / 4)
            maps[2][:, row, column] = np.array([y, x]) / 4 - [row, column] - 0.5
            points = [(0.3, 0.3), (0.3, 0.7), (0.5, 0.5), (0.7, 0.3), (0.7, 0.7)]  # y, x: eyes, nose, mouth
            maps[3][:, row, column] = np.array(points).ravel()


class OneModel:
    def __init__(self, model: PaintedFaceNetwork) -> None:
        self._model = model

    def model(self, name: str) -> PaintedFaceNetwork:
        assert name == centerface.MODEL
        return self._model


@pytest.fixture
def network() -> PaintedFaceNetwork:
    return PaintedFaceNetwork()


def find(pixels: Pixels, network: PaintedFaceNetwork, **options: Any) -> Faces:
    return detect_faces(Picture.of(pixels), cast(Runtime, OneModel(network)), **options)


@pytest.mark.parametrize("size", [(80, 80), (81, 333), (1080, 1920), (400, 3000), (2100, 1501)])
def test_boxes_and_points_come_home_at_every_picture_size(size: tuple[int, int], network: PaintedFaceNetwork) -> None:
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint8)
    w = min(size) // 4
    h = w * 5 // 4
    x, y = width // 2, height // 3
    paint(pixels, x, y, w, h)
    faces = find(pixels, network)
    assert len(faces) == 1
    tolerance = max(1.5, 0.04 * h)
    assert faces.boxes[0] == pytest.approx([x, y, x + w, y + h], abs=tolerance)
    relative = {"eyeLeft": (0.3, 0.3), "eyeRight": (0.7, 0.3), "mouthLeft": (0.3, 0.7), "mouthRight": (0.7, 0.7)}
    relative["nose"] = (0.5, 0.5)
    expected = [[x + w * relative[name][0], y + h * relative[name][1]] for name in LANDMARKS]
    assert faces.landmarks[0] == pytest.approx(np.array(expected), abs=tolerance)
    assert faces.confidences[0] > 0.9


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_turned_face_is_looked_at_the_right_way_up(turned: int, network: PaintedFaceNetwork) -> None:
    pixels = np.zeros((600, 800, 3), np.uint8)
    paint(pixels, 300, 200, 100, 160, turned=turned)
    faces = find(pixels, network)
    assert len(faces) == 1
    w, h = (100, 160) if turned == 180 else (160, 100)
    assert faces.boxes[0] == pytest.approx([300, 200, 300 + w, 200 + h], abs=8)
    assert abs((faces.pose[0, 0] - turned + 180) % 360 - 180) < 5
    eyes, mouth = faces.landmarks[0, :2].mean(axis=0), faces.landmarks[0, 2:4].mean(axis=0)
    down = {90: (-1, 0), 180: (0, -1), 270: (1, 0)}[turned]  # where the chin points
    assert np.argmax(np.abs(mouth - eyes)) == (1 if turned == 180 else 0)
    assert float((mouth - eyes) @ down) > 20


def test_largest_first_and_no_more_than_asked(network: PaintedFaceNetwork) -> None:
    pixels = np.zeros((900, 1600, 3), np.uint8)
    for index in range(30):
        paint(pixels, 20 + (index % 10) * 155, 20 + (index // 10) * 290, 40 + index, (40 + index) * 5 // 4)
    faces = find(pixels, network)
    assert len(faces) == 30
    widths = faces.boxes[:, 2] - faces.boxes[:, 0]
    assert widths == pytest.approx(np.arange(69, 39, -1), abs=3)
    fewer = find(pixels, network, max_faces=4)
    assert fewer.boxes == pytest.approx(faces.boxes[:4])
    assert fewer.sharpness.shape == (4,)


def test_a_hundred_is_the_default_limit(network: PaintedFaceNetwork) -> None:
    pixels = np.zeros((960, 960, 3), np.uint8)
    for index in range(121):
        paint(pixels, 20 + (index % 11) * 84, 20 + (index // 11) * 84, 40, 50)
    assert len(find(pixels, network)) == 100


def test_a_face_cut_by_the_border_reaches_beyond_it(network: PaintedFaceNetwork) -> None:
    class HalfSeen(PaintedFaceNetwork):
        """Knows that a face at the left border goes on beyond it."""

        @staticmethod
        def _see(image: NDArray[np.float32], maps: list[NDArray[np.float32]]) -> None:
            PaintedFaceNetwork._see(image, maps)
            maps[1][1][maps[0][0] > 0] += np.log(2)

    pixels = np.zeros((600, 600, 3), np.uint8)
    paint(pixels, 0, 200, 60, 150)
    faces = find(pixels, HalfSeen())
    assert len(faces) == 1
    assert faces.boxes[0, 0] == pytest.approx(-30, abs=4)


def test_nothing_there(network: PaintedFaceNetwork) -> None:
    faces = find(np.full((200, 300, 3), 50, np.uint8), network)
    assert len(faces) == 0
    assert faces.boxes.shape == (0, 4)
    assert faces.landmarks.shape == (0, 5, 2)
    assert faces.pose.shape == (0, 3)
    assert faces.confidences.shape == faces.brightness.shape == faces.sharpness.shape == (0,)


def test_doubtful_faces_are_reported_only_when_asked_for(network: PaintedFaceNetwork) -> None:
    class Doubtful(PaintedFaceNetwork):
        def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
            maps = super().run(feeds, outputs)
            maps[0] *= 0.25
            return maps

    pixels = np.zeros((300, 300, 3), np.uint8)
    paint(pixels, 100, 100, 60, 80)
    assert len(find(pixels, Doubtful())) == 0
    assert len(find(pixels, Doubtful(), min_confidence=0.0)) == 1


def test_select() -> None:
    faces = Faces(
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.array([0.1, 0.2, 0.3], np.float32),
        np.zeros((3, 5, 2), np.float32),
        np.zeros((3, 3), np.float32),
        np.zeros(3, np.float32),
        np.zeros(3, np.float32),
    )
    chosen = faces.select(np.array([2, 0]))
    assert len(chosen) == 2
    assert chosen.confidences == pytest.approx([0.3, 0.1])
    assert len(faces.select(faces.confidences > 0.15)) == 2


def test_peaks_are_local_maxima_and_decode_reads_sizes_and_places() -> None:
    maps = Maps(*(np.zeros((1, c, 16, 24), np.float32) for c in (1, 2, 2, 10)))
    maps.heatmap[0, 0, 5, 7], maps.heatmap[0, 0, 5, 8] = 0.8, 0.7  # a shoulder, not a second face
    maps.heatmap[0, 0, 12, 20] = 0.1
    maps.scale[0, :, 5, 7] = np.log([6, 4])  # height, width in cells
    maps.offset[0, :, 5, 7] = [0.25, -0.25]  # y, x
    maps.landmarks[0, :, 5, 7] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    found = centerface.peaks(maps, 0.5)
    assert len(found) == 1
    x, y = (7 - 0.25 + 0.5) * 4, (5 + 0.25 + 0.5) * 4
    assert found.boxes[0] == pytest.approx([x - 8, y - 12, x + 8, y + 12])
    relative = np.array([[0.2, 0.1], [0.4, 0.3], [0.8, 0.7], [1.0, 0.9], [0.6, 0.5]])  # x, y: the nose last
    assert found.landmarks[0] == pytest.approx(relative * [16, 24] + [x - 8, y - 12], abs=1e-4)


def test_the_second_look_keeps_to_the_centre() -> None:
    maps = Maps(*(np.zeros((2, c, 32, 32), np.float32) for c in (1, 2, 2, 10)))
    maps.heatmap[0, 0, 16, 16], maps.heatmap[0, 0, 2, 2] = 0.4, 0.9  # a neighbour is surer than the face asked about
    maps.heatmap[1, 0, 18, 14] = 0.6
    found = centerface.strongest(maps, 0.2)
    assert found.scores == pytest.approx([0.4, 0.6])


def test_the_network_gets_the_type_it_promises(network: PaintedFaceNetwork) -> None:
    centerface.run(cast(Model, network), np.zeros((2, 64, 96, 3), np.uint8))
    assert network.shapes == [(2, 3, 64, 96)]

"""Five points of the one face that a training picture shows, by the product's own detector, so that training crops
and the service's crops are cut alike."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx.tools.update_model_dims import update_inputs_outputs_dims

CANVAS = 160
"""Side of the square picture that the detector gets."""
_OUTPUTS = ("537", "538", "539", "540")


@dataclass(frozen=True)
class Found:
    """`points` (N, 5, 2) in pixels of each picture, in the order of `LANDMARKS`, and `score` (N,) 0..1 of the face
    that was taken."""

    points: NDArray[np.float32]
    score: NDArray[np.float32]


class PointFinder:
    """CenterFace on square canvases; of all peaks the one nearest to where the face must be."""

    def __init__(self, detector: Path, threads: int = 1) -> None:
        model = onnx.load(detector)
        inputs = {"input.1": ["batch", 3, "height", "width"]}
        channels = dict(zip(_OUTPUTS, (1, 2, 2, 10), strict=True))
        outputs = {name: ["batch", count, "rows", "columns"] for name, count in channels.items()}
        names = {value.name for value in model.graph.initializer}
        for value in [value for value in model.graph.input if value.name in names]:
            model.graph.input.remove(value)
        model = update_inputs_outputs_dims(model, inputs, outputs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def find(self, pictures: list[NDArray[np.uint8]], boxes: NDArray[np.float32]) -> Found:
        """The face of each picture; `boxes` (N, 4) xyxy is about where it lies. It is shown 96 pixels tall or wide."""
        canvases = np.zeros((len(pictures), CANVAS, CANVAS, 3), np.uint8)
        matrices = np.zeros((len(pictures), 2, 3), np.float32)
        for number, (pixels, box) in enumerate(zip(pictures, boxes, strict=True)):
            scale = 96.0 / max(box[2] - box[0], box[3] - box[1])
            middle = (box[:2] + box[2:]) / 2
            matrix = np.array([[scale, 0, CANVAS / 2 - scale * middle[0]], [0, scale, CANVAS / 2 - scale * middle[1]]])
            matrices[number] = matrix
            how = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
            canvases[number] = cv2.warpAffine(
                pixels, matrix, (CANVAS, CANVAS), flags=how, borderMode=cv2.BORDER_REPLICATE
            )
        feed = canvases.transpose(0, 3, 1, 2).astype(np.float32)
        heat, scales, offsets, landmarks = self._session.run(list(_OUTPUTS), {"input.1": feed})
        points = np.zeros((len(pictures), 5, 2), np.float32)
        score = np.zeros(len(pictures), np.float32)
        grid = (np.arange(CANVAS // 4) + 0.5) * 4 - CANVAS / 2
        near = np.exp(-(grid[:, None] ** 2 + grid[None, :] ** 2) / (2 * 24.0**2))
        for number in range(len(pictures)):
            peak = heat[number, 0] * near
            row, column = np.unravel_index(int(peak.argmax()), peak.shape)
            height, width = np.exp(scales[number, :, row, column]) * 4
            down, right = (np.array([row, column]) + offsets[number, :, row, column] + 0.5) * 4
            relative = landmarks[number, :, row, column].reshape(5, 2)
            y = relative[:, 0] * height + down - height / 2
            x = relative[:, 1] * width + right - width / 2
            placed = np.stack([x, y], axis=1)
            placed = placed[[0, 1, 3, 4, 2]]  # the network gives eyes, nose, mouth
            points[number] = (placed - matrices[number, :, 2]) / matrices[number, 0, 0]
            score[number] = heat[number, 0, row, column]
        return Found(points, score)

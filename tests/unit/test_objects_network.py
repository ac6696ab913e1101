"""The detector's network: that it is YOLOX-Nano to begin with, number for number."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")

from training.objects.network import Detector, corners_of, grid, start  # noqa: E402

from openrek.vision.objects.forms import decode_yolox  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHAPES = {"w": (16, 3, 6, 6), "b": (16,)}


@pytest.fixture(scope="module")
def yolox() -> Path:
    folder = Path(os.environ.get("OPENREK_TEST_WEIGHTS") or ROOT.parent / "shared" / "weights")
    path = folder / "yolox_nano.onnx"
    if not path.exists():
        pytest.skip("yolox_nano.onnx is not here; set OPENREK_TEST_WEIGHTS to its folder")
    return path


def test_it_begins_as_yolox_nano(yolox: Path) -> None:
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (13, 13, 3)).astype(np.uint8)
    pixels = np.ascontiguousarray(coarse.repeat(32, 0).repeat(32, 1))  # RGB
    bgr = pixels[..., ::-1].astype(np.float32).transpose(2, 0, 1)[None]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(yolox, options, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"images": np.ascontiguousarray(bgr)})
    net = start(yolox, seed=1).eval()
    with torch.no_grad():
        fine = net.lower(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())
        logits, raw, sure = net.everyday(fine)
        own = net.own(fine)
    assert sure is not None
    answer = torch.cat([raw, sure.sigmoid(), logits.sigmoid()], 2).numpy()
    assert expected[..., 4:].max() > 0.1  # the picture is not so dull that nothing is compared
    np.testing.assert_allclose(answer, expected, atol=2e-3, rtol=1e-3)
    # the second branch begins with the first's boxes, and with classes that it knows nothing of
    np.testing.assert_array_equal(own[1].numpy(), raw.numpy())
    assert float(own[0].sigmoid().max()) < 0.05
    boxes = corners_of(raw, *grid(416, 416))[0].numpy()
    np.testing.assert_allclose(boxes, decode_yolox(expected[0], 416, 416).boxes, atol=0.5, rtol=1e-3)


def test_another_network_is_refused(tmp_path: Path) -> None:
    weights = [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in SHAPES.items()]
    node = helper.make_node("Conv", ["pixels", "w", "b"], ["out"])
    pixels, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("pixels", "out"))
    path = tmp_path / "other.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "other", [pixels], [out], weights)), path)
    with pytest.raises(RuntimeError, match="has 1 convolutions, YOLOX-Nano 113"):
        start(path, seed=1)


def test_both_branches_answer_every_cell() -> None:
    net = Detector().eval()
    with torch.no_grad():
        fine = net.lower(torch.zeros(2, 3, 64, 96))
        logits, boxes, sure = net.everyday(fine)
        own_logits, own_boxes, none = net.own(fine)
    points, strides = grid(64, 96)
    assert logits.shape == (2, len(points), 80)
    assert boxes.shape == own_boxes.shape == (2, 126, 4)
    assert own_logits.shape == (2, 126, 16)
    assert sure is not None
    assert none is None
    assert strides.tolist().count(8.0) == 96

"""The detector's training: that the network is YOLOX-Nano to begin with, number for number, and what it is taught."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch", reason="training needs openrek[train]")

from training.objects import losses  # noqa: E402 - after the check for PyTorch
from training.objects.batches import hand_target, hue, own_target  # noqa: E402 - after the check for PyTorch
from training.objects.classes import COCO, INDEX, OWN_BRANCH, PERSON_SHARE, UNKNOWN  # noqa: E402 - after the check for PyTorch
from training.objects.export import export  # noqa: E402 - after the check for PyTorch
from training.objects.network import Detector, corners_of, grid, start  # noqa: E402 - after the check for PyTorch
from training.objects.samples import IGNORED, TAUGHT, TRUTH, Boxes  # noqa: E402 - after the check for PyTorch

from openrek.vision.objects.forms import decode_sides, decode_yolox  # noqa: E402 - after the check for PyTorch

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


def test_each_branch_learns_its_own_boxes_of_a_canvas() -> None:
    kinds = np.array([TRUTH, TAUGHT, IGNORED, TRUTH, TRUTH])
    names = ("car", "person", "person", "knife", "pistol")
    boxes = Boxes(np.zeros((5, 4), np.float32), np.array([INDEX[name] for name in names]), kinds, np.ones(5, "f4") / 2)
    own = own_target([("weapon-boxes", boxes)])
    assert [OWN_BRANCH[kind] for kind in own.classes] == ["person", "knife", "pistol"]
    assert own.weights.amax(1).tolist() == pytest.approx([0.575, 1, 1])
    assert [OWN_BRANCH[kind] for kind in own.ignored_classes] == ["person"]
    unknown = {name for name, there in zip(OWN_BRANCH, own.known, strict=True) if not there}
    assert unknown == set(UNKNOWN["weapon-boxes"])
    hand = hand_target([("street-boxes", boxes)])
    assert [COCO[kind] for kind in hand.classes] == ["car"]
    assert {COCO[kind] for kind in np.flatnonzero(hand.known.numpy())} == {"car", "person", "cat", "train", "bus"}
    both = hand_target([("street-boxes", boxes), ("ppe-boxes", boxes)])
    assert [COCO[kind] for kind in both.classes] == ["car"]
    assert not both.known.any()


def test_turning_colours_leaves_greys() -> None:
    turned = hue(0.7) @ np.float32([50, 50, 50])
    assert turned == pytest.approx([50, 50, 50], abs=1e-3)
    assert hue(2 * np.pi / 3) @ np.float32([9, 0, 0]) == pytest.approx([0, 9, 0], abs=1e-3)


def target(boxes: list[list[float]], classes: list[int], drawn: list[int]) -> losses.Target:
    """What is drawn of a picture, as the branch `everyday` learns it."""
    weights = torch.zeros(len(boxes), len(COCO))
    weights[torch.arange(len(boxes)), torch.tensor(classes, dtype=torch.long)] = 1
    mask = torch.zeros(len(COCO), dtype=torch.bool)
    mask[drawn] = True
    none = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
    return losses.Target(torch.tensor(boxes).reshape(-1, 4), torch.tensor(classes).long(), weights, *none, mask)


def test_the_everyday_branch_is_held_to_its_teacher_but_for_what_is_drawn() -> None:
    points, strides = grid(64, 64)
    cells = len(points)
    dog, cat = COCO.index("dog"), COCO.index("cat")
    logits, raw, sure = torch.full((1, cells, 80), -9.0), torch.zeros(1, cells, 4), torch.full((1, cells, 1), -9.0)
    # the teacher sees a dog in the middle and a cat in a corner
    for cell, kind in ((int((points - 36).norm(dim=1)[:64].argmin()), dog), (0, cat)):
        logits[0, cell, kind], sure[0, cell], raw[0, cell, :2] = 9.0, 9.0, 0.5
    answer = tuple(value.clone().requires_grad_() for value in (logits, raw, sure))

    def push(target: losses.Target) -> torch.Tensor:
        """How the objectness of each cell is pushed."""
        parts = losses.held(answer, (logits, raw, sure), points, strides, [target])
        return torch.autograd.grad(sum(parts.values()), answer[2])[0][0, :, 0]

    alone = push(target([], [], []))
    assert float(alone.abs().max()) < 1e-6  # nothing is drawn: it answers as its teacher does
    lie = push(target([], [], [cat]))
    assert float(lie[0]) > 0.1  # cats are drawn wherever there are any, and here there is none
    assert float(lie[1:].abs().max()) < 1e-6
    shown = push(target([[20.0, 20.0, 50.0, 50.0]], [cat], []))
    assert float(shown.min()) < -0.1  # a drawn cat that the teacher does not see is to be found


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_the_file_answers_for_both_branches_and_people_from_both(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the exporter of PyTorch needs it")
    torch.manual_seed(3)
    net = Detector().eval()
    pixels = np.random.default_rng(3).integers(0, 256, (1, 64, 96, 3)).astype(np.uint8)
    with torch.no_grad():
        fine = net.lower(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
        logits, raw, sure = net.everyday(fine)
        own_logits, own_raw, _ = net.own(fine)
    assert sure is not None
    path = tmp_path / "two.onnx"
    export(net, ("dog", "person"), ("person", "pistol"), {}, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scores, sides = session.run(None, {"pixels": pixels})
    assert session.get_modelmeta().custom_metadata_map["names"] == '["dog", "person", "pistol"]'
    dog, person = COCO.index("dog"), COCO.index("person")
    everyday = (logits[0].sigmoid() * sure[0].sigmoid()).numpy()
    own = own_logits[0].sigmoid().numpy()
    nothing = np.zeros(126, np.float32)
    expected = np.stack([everyday[:, dog], everyday[:, person], nothing], 1)
    added = np.stack(
        [nothing, PERSON_SHARE * own[:, OWN_BRANCH.index("person")], own[:, OWN_BRANCH.index("pistol")]], 1
    )
    np.testing.assert_allclose(scores[0], np.concatenate([expected, added]), atol=2e-3)  # weights of half precision
    points, strides = grid(64, 96)
    for number, boxes in enumerate((raw, own_raw)):
        found = decode_sides(sides[0, 126 * number : 126 * (number + 1)], 64, 96)
        np.testing.assert_allclose(found, corners_of(boxes, points, strides)[0].numpy(), atol=0.3)

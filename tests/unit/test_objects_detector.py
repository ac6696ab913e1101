"""Detecting objects: each form of detector on a tiny model that finds bright squares, and what comes of its answers."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from openrek.cli.main import app
from openrek.service.services import Services
from openrek.settings import Settings
from openrek.vision.image import Picture
from openrek.vision.objects import Objects, detect_objects
from openrek.vision.objects.forms import decode_queries, decode_sides, decode_yolox, one_hot
from openrek.vision.runtime import CardError, Runtime, UnknownModelError
from tests.conftest import ROOT
from tests.unit import detectors_kit as kit
from tests.unit.runtime_kit import write_card

Serve = Callable[..., Runtime]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A runtime whose catalogue has one more detector, `tiny`."""
    made: list[Runtime] = []

    def serve(content: bytes, names: str | None = None, **preprocess: Any) -> Runtime:
        cards = tmp_path / f"cards{len(made)}"
        more: dict[str, Any] = {"preprocess": preprocess} if preprocess else {}
        if names:
            more["labels"] = "tiny.txt"
        write_card(cards, "tiny", content, "file:tiny.onnx", **more)
        (cards / "tiny.onnx").write_bytes(content)
        (cards / "tiny.txt").write_text("\n".join((names or "").split()))
        made.append(Runtime(cache=tmp_path / "cache", offline=True, threads=1, extra_cards=cards))
        return made[-1]

    yield serve
    for runtime in made:
        runtime.close()


def picture(width: int, height: int, *white: tuple[int, int, int, int]) -> Picture:
    """A black picture with white rectangles (left, top, right, bottom)."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for left, top, right, bottom in white:
        pixels[top:bottom, left:right] = 255
    return Picture(pixels, width, height)


def test_a_yolox_answer_is_decoded_into_the_pictures_own_pixels(serve: Serve) -> None:
    runtime = serve(kit.yolox(), "cat dog bird", form="yolox", side=kit.SIDE, fill=0)
    # 128 x 64 is halved to 64 x 32; the white square becomes the cell in column 5, row 2 of stride 8
    found = detect_objects(picture(128, 64, (80, 32, 96, 48)), runtime, model="tiny")
    assert found.named() == ["dog"]
    assert found.boxes.tolist() == [[72.0, 32.0, 104.0, 48.0]]  # 16 x 8 about the cell's centre, doubled
    assert found.scores[0] == pytest.approx(0.9, abs=0.01)


def test_an_upright_picture_is_letterboxed_too(serve: Serve) -> None:
    runtime = serve(kit.yolox(), "cat dog bird", form="yolox", side=kit.SIDE, fill=0)
    found = detect_objects(picture(64, 128, (16, 96, 32, 112)), runtime, model="tiny")
    assert found.boxes.tolist() == [[8.0, 96.0, 40.0, 112.0]]


def test_yolox_cells_are_numbered_stride_by_stride_and_row_by_row() -> None:
    raw = np.zeros((kit.CELLS, 6), np.float32)
    raw[0] = [0, 0, 0, 0, 1, 1]
    raw[9] = [0.5, 0.25, 0, np.log(3), 0.5, 0.5]  # second row, second column of stride 8
    raw[64 + 16] = [0.5, 0.5, 0, 0, 1, 1]  # the first cell of stride 32
    found = decode_yolox(raw, kit.SIDE, kit.SIDE)
    assert found.boxes[0].tolist() == [-4, -4, 4, 4]
    assert found.boxes[9] == pytest.approx([8, -2, 16, 22])
    assert found.boxes[80].tolist() == [0, 0, 32, 32]
    assert found.scores[:, 0][[0, 9, 80]].tolist() == [1, 0.25, 1]


def test_an_answer_of_another_size_is_refused() -> None:
    with pytest.raises(CardError, match="84"):
        decode_yolox(np.zeros((83, 6), np.float32), kit.SIDE, kit.SIDE)


def test_our_own_form_takes_pictures_of_any_shape(serve: Serve) -> None:
    runtime = serve(kit.dense(("fire", "smoke", "knife")), form="dense", side=64, fill=0, enlarge=1.0)
    # 50 x 20 is not enlarged but stands on a canvas of 64 x 32
    found = detect_objects(picture(50, 20, (8, 8, 16, 16)), runtime, model="tiny", least=0.3)
    assert found.named() == ["fire", "smoke"]
    assert found.boxes.tolist() == [[8, 8, 16, 16], [8, 8, 16, 16]]
    assert found.scores == pytest.approx([1.0, 0.5])
    assert found.names == ("fire", "smoke", "knife")


def test_a_model_of_two_heads_answers_each_cell_twice() -> None:
    sides = np.ones((2 * kit.CELLS, 4), np.float32)
    sides[kit.CELLS :] = 2
    boxes = decode_sides(sides, kit.SIDE, kit.SIDE)
    assert boxes[9].tolist() == [11, 11, 13, 13]  # second row, second column of stride 8
    assert boxes[kit.CELLS + 9].tolist() == [10, 10, 14, 14]
    for count in (kit.CELLS - 1, kit.CELLS + 1):
        with pytest.raises(CardError, match=str(count)):
            decode_sides(np.ones((count, 4), np.float32), kit.SIDE, kit.SIDE)


def test_scores_are_calibrated_by_class_and_then_cut(serve: Serve) -> None:
    content = kit.dense(("fire", "smoke"), {"smoke": [[0.0, 0.0], [0.5, 0.96], [1.0, 1.0]], "fire": [[0, 0], [1, 0.9]]})
    runtime = serve(content, form="dense", side=64, fill=0, enlarge=1.0)
    shown = picture(64, 32, (8, 8, 16, 16))
    found = detect_objects(shown, runtime, model="tiny")
    assert found.named() == ["smoke", "fire"]
    assert found.scores == pytest.approx([0.96, 0.9])
    assert detect_objects(shown, runtime, model="tiny", least=0.95).named() == ["smoke"]


def test_boxes_of_one_thing_are_one_and_boxes_end_at_the_border(serve: Serve) -> None:
    runtime = serve(kit.yolox(), "cat dog bird", form="yolox", side=kit.SIDE, fill=0, overlap=0.3)
    # two bright cells side by side: their boxes share a third; the first reaches over the border
    found = detect_objects(picture(64, 64, (0, 0, 16, 8)), runtime, model="tiny")
    assert found.boxes.tolist() == [[0, 0, 12, 8]]
    kept = serve(kit.yolox(), "cat dog bird", form="yolox", side=kit.SIDE, fill=0, overlap=0.6)
    assert len(detect_objects(picture(64, 64, (0, 0, 16, 8)), kept, model="tiny")) == 2


def test_detr_boxes_are_asked_for_in_the_inputs_size(serve: Serve) -> None:
    runtime = serve(kit.detr_boxes(), "cat dog bird", form="detr-boxes", side=kit.SIDE, fit="stretch", scale=1 / 255)
    found = detect_objects(picture(200, 100), runtime, model="tiny")
    assert found.named() == ["cat", "bird"]  # the third is of no class that has a name
    assert found.boxes == pytest.approx(np.array([[0, 0, 100, 25], [50, 50, 150, 100]], np.float32))
    boxed = serve(kit.detr_boxes(), "cat dog bird", form="detr-boxes", side=kit.SIDE, fit="letterbox")
    # letterboxed, the lower half of the input is no picture
    assert detect_objects(picture(200, 100), boxed, model="tiny").boxes[0].tolist() == [0, 0, 100, 50]


@pytest.mark.parametrize(("boxes", "logits"), [("dets", "labels"), ("pred_boxes", "logits")])
def test_detr_queries_score_each_class_by_itself(serve: Serve, boxes: str, logits: str) -> None:
    runtime = serve(
        kit.detr_queries(boxes, logits), "- Traffic_Light dog", form="detr-queries", side=kit.SIDE, fit="stretch"
    )
    found = detect_objects(picture(200, 100), runtime, model="tiny", least=0.3)
    assert found.named() == ["dog", "traffic_light"]  # "-" is no class, although the second query is sure of it
    assert found.scores == pytest.approx([1 / (1 + np.exp(-2)), 0.5])
    assert found.boxes.tolist() == [[0, 0, 100, 50], [50, 0, 150, 100]]


def test_the_input_is_scaled_and_normalised_as_the_card_says(serve: Serve) -> None:
    options: dict[str, Any] = {"form": "detr-queries", "side": kit.SIDE, "fit": "stretch", "scale": 1 / 255}
    runtime = serve(
        kit.detr_queries("dets", "labels"), "- a b", **options, mean=[0.2, 0.4, 0.6], std=[0.5, 0.5, 0.5], colours="RGB"
    )
    red = Picture(np.full((64, 64, 3), (255, 0, 0), np.uint8), 64, 64)
    mean = ((1 - 0.2) + (0 - 0.4) + (0 - 0.6)) / 0.5 / 3
    score = detect_objects(red, runtime, model="tiny").of("a").scores
    assert score == pytest.approx([1 / (1 + np.exp(-mean))], abs=1e-5)
    swapped = serve(
        kit.detr_queries("dets", "labels"), "- a b", **options, mean=[0.2, 0.4, 0.6], std=[0.5, 1.0, 2.0], colours="BGR"
    )
    mean = ((0 - 0.2) / 0.5 + (0 - 0.4) / 1.0 + (1 - 0.6) / 2.0) / 3
    score = detect_objects(red, swapped, model="tiny").of("a").scores
    assert score == pytest.approx([1 / (1 + np.exp(-mean))], abs=1e-5)


def test_queries_and_labels_become_a_table() -> None:
    found = decode_queries(np.float32([[0.5, 0.5, 1, 1]]), np.float32([[0, -100, 100]]), 10, 20)
    assert found.boxes.tolist() == [[0, 0, 20, 10]]
    assert found.scores == pytest.approx(np.array([[0.5, 0, 1]]), abs=1e-6)
    assert one_hot(np.array([1, 5, -1]), np.array([0.5, 0.9, 0.9]), 2).tolist() == [[0, 0.5], [0, 0], [0, 0]]


def test_a_card_that_describes_no_detector_says_so(serve: Serve) -> None:
    with pytest.raises(CardError, match=r"preprocess\.form"):
        detect_objects(picture(64, 64), serve(kit.yolox(), "a b c"), model="tiny")
    with pytest.raises(CardError, match=r"preprocess\.size: Extra"):
        detect_objects(picture(64, 64), serve(kit.yolox(), "a b c", form="yolox", size=3), model="tiny")
    with pytest.raises(CardError, match="no output 'labels'; it answers output"):
        detect_objects(picture(64, 64), serve(kit.yolox(), "a b c", form="detr-boxes", side=kit.SIDE), model="tiny")


def test_a_blank_picture_shows_nothing(serve: Serve) -> None:
    runtime = serve(kit.yolox(), "cat dog bird", form="yolox", side=kit.SIDE)
    found = detect_objects(picture(97, 41), runtime, model="tiny")
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


def test_objects_can_be_chosen_by_name_and_score() -> None:
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    objects = Objects(boxes, np.float32([0.9, 0.5, 0.2]), np.array([2, 0, 2]), ("cat", "dog", "bird"))
    assert objects.of("bird").boxes.tolist() == boxes[[0, 2]].tolist()
    assert objects.of("cat", "bird").named() == ["bird", "cat", "bird"]
    assert objects.at_least(0.5).named() == ["bird", "cat"]
    assert len(objects.of("dog", "unicorn")) == 0


# --- the pack plus ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights() -> Path:
    """Real files of the pack plus: OPENREK_TEST_WEIGHTS or `shared/weights` beside the checkout; skips where absent."""
    folder = Path(os.environ.get("OPENREK_TEST_WEIGHTS") or ROOT.parent / "shared" / "weights")
    if not (folder / "yolox_nano.onnx").is_file():
        pytest.skip("the files of the pack plus are not here; set OPENREK_TEST_WEIGHTS to their folder")
    return folder


def test_a_detector_is_served_from_a_mirror_folder(tmp_path: Path) -> None:
    """The way of the pack plus, with a stand-in for its file: a public address, a mirror instead of the network."""
    content, cards, mirror = kit.yolox(), tmp_path / "cards", tmp_path / "mirror"
    preprocess = {"form": "yolox", "side": kit.SIDE, "fill": 0}
    source = "https://models.example/yolox/tiny.onnx"
    write_card(cards, "tiny", content, source, packs=["plus"], labels="tiny.txt", preprocess=preprocess)
    (cards / "tiny.txt").write_text("cat\ndog\nbird\n")
    mirror.mkdir()
    (mirror / "tiny.onnx").write_bytes(content)
    shown = picture(64, 64, (40, 40, 48, 48))
    with Runtime(cache=tmp_path / "cache", offline=True, mirror=str(mirror), extra_cards=cards) as runtime:
        assert detect_objects(shown, runtime, model="tiny").named() == ["dog"]
    # from now on it is in the cache
    with Runtime(cache=tmp_path / "cache", offline=True, extra_cards=cards) as runtime:
        assert detect_objects(shown, runtime, model="tiny").named() == ["dog"]


def test_the_settings_choose_the_detector_of_labels_and_videos(tmp_path: Path) -> None:
    cards, mirror = tmp_path / "models.d", tmp_path / "mirror"
    content = kit.yolox()
    preprocess = {"form": "yolox", "side": kit.SIDE, "fill": 0}
    write_card(
        cards,
        "tiny",
        content,
        "https://models.example/tiny.onnx",
        packs=["plus"],
        labels="t.txt",
        preprocess=preprocess,
    )
    (cards / "t.txt").write_text("cat\ndog\nbird\n")
    mirror.mkdir()
    (mirror / "tiny.onnx").write_bytes(content)
    settings = Settings(
        home=tmp_path, cache=tmp_path / "cache", offline=True, model_mirror=str(mirror), detector="tiny"
    )
    services = Services(settings)
    try:
        look = services.look(picture(64, 64, (40, 40, 48, 48)))
        assert look.objects.named() == ["dog"]
        assert "pistol" in look.base_objects.names  # of the pack base, which moderation asks
    finally:
        services.close()


@pytest.mark.parametrize("detector", ["typo", "tagger"])
def test_a_detector_that_is_none_is_refused_at_the_start(detector: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match=f"OPENREK_DETECTOR chooses '{detector}'.* has objects, yolox-nano"):
        Services(Settings(home=tmp_path, cache=tmp_path / "cache", detector=detector))


@pytest.mark.parametrize(
    "command", ["serve --port 0", "worker", "detect labels x.jpg", "index .", "video analyze x.mp4 -o out"]
)
def test_every_command_that_looks_refuses_it(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x.jpg", "x.mp4"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENREK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENREK_DETECTOR", "typo")
    result = CliRunner().invoke(app, command.split())
    assert isinstance(result.exception, UnknownModelError)
    assert "OPENREK_DETECTOR chooses 'typo'" in str(result.exception)
    assert not (tmp_path / "home").exists()


def test_the_pack_plus_sees_people_and_animals(tmp_path: Path, weights: Path, photos: dict[str, Path]) -> None:
    from openrek.vision.image import load_image

    with Runtime(cache=tmp_path, offline=True, mirror=str(weights), threads=1) as runtime:
        person = detect_objects(load_image(photos["astronaut"]), runtime, model="yolox-nano", least=0.5)
        assert "person" in person.named()
        left, top, right, bottom = person.of("person").boxes[0] / 512
        assert left < 0.25
        assert top < 0.2
        assert right > 0.7
        assert bottom > 0.9
        cat = detect_objects(load_image(photos["chelsea"]), runtime, model="yolox-nano", least=0.5)
        assert cat.named()[0] == "cat"

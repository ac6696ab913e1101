"""The moderation taxonomy, how evidence becomes labels, what cannot be seen, classifiers by card, NudeNet's adapter."""

import io
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from openrek.contract.call import Call
from openrek.service.moderation import content_type_members, detect, label_members
from openrek.service.services import Services
from openrek.settings import Settings
from openrek.vision.image import Picture
from openrek.vision.labels.taxonomy import taxonomy
from openrek.vision.look import Look
from openrek.vision.moderation import (
    LEAVES,
    NODES,
    V6_TO_V7,
    VERSION,
    ContentType,
    ModerationLabel,
    ancestors,
    blind_spots,
    moderate,
    nudity,
)
from openrek.vision.moderation.classifiers import TASK, classify, labels_of
from openrek.vision.moderation.detect import assemble
from openrek.vision.moderation.heads import CONTENT_TYPES, LABELS, MODEL, best_of, read_heads
from openrek.vision.moderation.statistics import NAMES, surface
from openrek.vision.moderation.tags import NAMED, swimwear
from openrek.vision.objects import Objects
from openrek.vision.runtime import CardError, Catalogue, Runtime
from tests.unit.runtime_kit import write_card


def picture(red: int, green: int, blue: int) -> Picture:
    return Picture(np.full((120, 160, 3), (red, green, blue), np.uint8), 160, 120)


def seen(*objects: tuple[str, float]) -> Objects:
    names = ("person", "pistol", "knife", "long_gun")
    boxes = np.tile(np.array([[10, 10, 60, 60]], np.float32), (len(objects), 1))
    scores = np.array([score for _, score in objects], np.float32)
    return Objects(boxes, scores, np.array([names.index(name) for name, _ in objects], np.int64), names)


# --- boxes as evidence ------------------------------------------------------------------------------------------------


def test_the_surest_box_of_each_class() -> None:
    found = seen(("pistol", 0.8), ("person", 0.7), ("pistol", 0.3), ("knife", 0.2))
    assert best_of(found, ["knife", "pistol", "long_gun", "sword"]) == pytest.approx([0.2, 0.8, 0, 0])
    assert best_of(seen(), ["pistol"]).tolist() == [0]


def test_swimwear_is_what_label_and_heads_agree_on() -> None:
    def found(tag: float, woman: float, man: float) -> dict[str, float]:
        return dict(swimwear(tag, {"female_swimwear": woman, "male_swimwear": man}))

    assert found(0.2, 0.9, 0.0) == {}, "the heads stand alone"
    sure = found(0.95, 0.4, 0.05)
    assert sure["Swimwear or Underwear"] > 0.8
    assert sure["Female Swimwear or Underwear"] > 0.7
    assert sure["Male Swimwear or Underwear"] < 0.2
    assert found(0.7, 0.02, 0.0)["Swimwear or Underwear"] < 0.5, "bare shoulders"
    assert set(sure) <= set(NODES)


def test_names_of_labels_that_are_believed_are_in_both_taxonomies() -> None:
    assert set(NAMED) <= set(taxonomy())
    assert set(NAMED.values()) <= set(NODES)


def test_a_picture_of_scissors_is_no_weapon() -> None:
    names = ("person", "pistol", "knife", "long_gun", "scissors")

    def weapons(scissors: float) -> float:
        with Runtime(cache=Settings().cache) as runtime:
            look = Look(picture(90, 120, 90), runtime)
            boxes = np.array([[10, 10, 60, 60]] * 2, np.float32)
            scores = np.array([0.9, scissors], np.float32)
            look.__dict__["base_objects"] = Objects(boxes, scores, np.array([2, 4]), names)
            labels = moderate(look).labels
        return next((label.confidence for label in labels if label.name == "Weapons"), 0.0)

    assert weapons(0.9) < 0.2 * weapons(0.0)


def test_a_box_of_a_weapon_makes_its_head_surer_and_no_other() -> None:
    with Runtime(cache=Settings().cache) as runtime:
        look = Look(picture(120, 130, 140), runtime)
        look.__dict__["base_objects"] = seen()
        plain = read_heads(look)
        for weapon in ("pistol", "knife", "long_gun"):
            look.__dict__["base_objects"] = seen((weapon, 0.9), ("person", 0.9))
            raised = read_heads(look)
            assert raised[weapon] > plain[weapon] * 2
            assert {head: raised[head] for head in raised if head != weapon} == pytest.approx(
                {head: plain[head] for head in plain if head != weapon}, abs=1e-6
            )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The detectors that are asked, in order; only the base one sees the pistol."""
    models: list[str] = []

    def detect_objects(picture: Picture, runtime: Runtime, *, model: str) -> Objects:
        models.append(model)
        return seen(("pistol", 0.9)) if model == "objects" else seen()

    monkeypatch.setattr("openrek.vision.look.detect_objects", detect_objects)
    return models


def test_another_detector_for_labels_takes_no_weapons_from_moderation(asked: list[str], tmp_path: Path) -> None:
    image = io.BytesIO()
    Image.new("RGB", (160, 120), (120, 130, 140)).save(image, "PNG")
    request: Any = {"Image": {"Bytes": image.getvalue()}, "MinConfidence": 1}
    answers = []
    for detector in ("objects", "yolox-nano"):
        with closing(Services(Settings(home=tmp_path, detector=detector))) as services:
            answers.append(detect(request, cast(Call, None), services))
    assert asked == ["objects", "objects"]
    assert answers[0] == answers[1]
    assert "Weapons" in [label["Name"] for label in cast(Any, answers[1])["ModerationLabels"]]


# --- the taxonomy -----------------------------------------------------------------------------------------------------


def test_the_tree_has_the_published_names() -> None:
    assert VERSION == "7.0"
    levels = [[node.name for node in NODES.values() if node.level == level] for level in (1, 2, 3)]
    assert [len(names) for names in levels] == [10, 20, 22]
    assert "Non-Explicit Nudity of Intimate parts and Kissing" in levels[0]
    assert {"Swimwear or Underwear", "Drugs & Tobacco", "Gambling"} <= set(levels[0])
    assert {"Drugs & Tobacco Paraphernalia & Use", "Weapons", "Middle Finger", "White Supremacy"} <= set(levels[1])
    assert {"Blood & Gore", "Exposed Buttocks or Anus", "Air Crash", "Smoking", "Explosions and Blasts"} <= set(
        levels[2]
    )


def test_every_parent_is_a_name_one_level_above() -> None:
    for node in NODES.values():
        assert node.level == (NODES[node.parent].level + 1 if node.parent else 1)
    assert ancestors("Explosions and Blasts") == ("Graphic Violence", "Violence")
    assert ancestors("Gambling") == ()
    assert {"Gambling", "Weapons", "Smoking"} <= set(LEAVES)
    assert not {"Violence", "Graphic Violence"} & set(LEAVES)


def test_the_old_names_lead_into_the_tree() -> None:
    assert {name for names in V6_TO_V7.values() for name in names} <= set(NODES)
    assert V6_TO_V7["Suggestive"] == ("Non-Explicit Nudity of Intimate parts and Kissing", "Swimwear or Underwear")
    assert V6_TO_V7["Drugs"] == V6_TO_V7["Tobacco"] == ("Drugs & Tobacco",)


# --- evidence to labels -----------------------------------------------------------------------------------------------


def test_ancestors_are_as_sure_as_their_surest_descendant_and_come_after_it() -> None:
    found = assemble([("Smoking", 0.9), ("Pills", 0.4), ("Weapons", 0.6), ("Smoking", 0.2)])
    assert [(label.name, label.confidence) for label in found] == [
        ("Smoking", 0.9),
        ("Drugs & Tobacco Paraphernalia & Use", 0.9),
        ("Drugs & Tobacco", 0.9),
        ("Weapons", 0.6),
        ("Violence", 0.6),
        ("Pills", 0.4),
        ("Products", 0.4),
    ]
    assert [label.parent for label in found[:3]] == ["Drugs & Tobacco Paraphernalia & Use", "Drugs & Tobacco", ""]


def test_noise_is_not_reported() -> None:
    assert assemble([("Gambling", 0.0005)]) == ()


def test_the_threshold_is_inclusive_in_the_precision_of_the_wire() -> None:
    found = [ModerationLabel("Gambling", 0.7, "", 1)]
    sent = label_members(found)[0]["Confidence"]
    assert sent == float(np.float32(70.0))
    assert label_members(found, min_confidence=sent)
    assert not label_members(found, min_confidence=70.001)
    assert not label_members([ModerationLabel("Gambling", 0.499, "", 1)])


def test_labels_that_become_equal_on_the_wire_stand_deepest_first() -> None:
    found = [ModerationLabel("Violence", 0.7, "", 1), ModerationLabel("Weapons", 0.7 - 1e-12, "Violence", 2)]
    assert [member["Name"] for member in label_members(found)] == ["Weapons", "Violence"]


def test_content_types_are_not_filtered() -> None:
    assert content_type_members([ContentType("Animated", 0.5)]) == [{"Confidence": 50.0, "Name": "Animated"}]


# --- what cannot be seen ----------------------------------------------------------------------------------------------


def test_blind_spots_of_the_base_models() -> None:
    blind = blind_spots(Catalogue())
    assert {"Explicit", "Visually Disturbing", "Rude Gestures", "Hate Symbols", "Physical Violence"} <= set(blind)
    assert not {"Violence", "Weapons", "Smoking", "Gambling", "Drugs & Tobacco"} & set(blind)
    assert "Explicit Nudity" not in blind, "the name above it says it all"


def test_without_any_model_everything_is_blind(tmp_path: Path) -> None:
    assert blind_spots(Catalogue(folder=tmp_path)) == tuple(node.name for node in NODES.values() if node.level == 1)


def test_every_head_means_a_name_of_the_tree() -> None:
    assert set(LABELS.values()) <= set(NODES)
    assert not set(LABELS) & set(CONTENT_TYPES)
    assert MODEL in Catalogue()


# --- classifiers by card ----------------------------------------------------------------------------------------------


def mean_colour_model() -> bytes:
    """Three outputs: the means of red, green and blue of an NCHW input, times 10."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
            helper.make_node("Mul", ["means", "ten"], ["y"]),
        ],
        "colours",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor("ten", TensorProto.FLOAT, [1], [10.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def own_cards(tmp_path: Path) -> Path:
    return tmp_path / "models.d"


def install(folder: Path, meaning: dict[str, str], **more: object) -> None:
    content = mean_colour_model()
    preprocess = {"size": 32, "moderation": meaning, **more}
    write_card(folder, "colours", content, "file:colours.onnx", task=TASK, labels="colours.txt", preprocess=preprocess)
    (folder / "colours.onnx").write_bytes(content)
    (folder / "colours.txt").write_text("red\ngreen\nblue\n")


@pytest.fixture
def runtime(own_cards: Path, tmp_path: Path) -> Iterator[Runtime]:
    install(own_cards, {"red": "Blood & Gore", "green": "Explicit"})
    with Runtime(cache=tmp_path / "cache", offline=True, threads=1, extra_cards=own_cards) as made:
        yield made


def test_a_classifier_of_ones_own_gives_names_of_the_taxonomy(runtime: Runtime) -> None:
    found = dict(classify(picture(255, 0, 0), runtime.model("colours")))
    assert set(found) == {"Blood & Gore", "Explicit"}
    assert found["Blood & Gore"] == pytest.approx(np.exp(10) / (np.exp(10) + 2), rel=1e-5)
    assert dict(classify(picture(0, 0, 255), runtime.model("colours")))["Blood & Gore"] < 0.001


def test_a_classifier_of_ones_own_opens_blind_spots(runtime: Runtime) -> None:
    assert labels_of(runtime.catalogue["colours"]) == {"Blood & Gore", "Explicit"}
    blind = blind_spots(runtime.catalogue)
    assert "Blood & Gore" not in blind
    assert "Explicit" not in blind
    assert "Explicit Nudity" in blind


@pytest.mark.parametrize(
    ("meaning", "more", "message"),
    [
        ({"red": "Nudity"}, {}, "'Nudity' is not a name of the moderation taxonomy"),
        ({}, {}, "preprocess.moderation"),
        ({"red": "Explicit"}, {"activation": "relu"}, "preprocess.activation"),
        ({"violet": "Explicit"}, {}, "'violet', which is no class"),
    ],
)
def test_a_card_that_describes_no_classifier_says_why(
    own_cards: Path, tmp_path: Path, meaning: dict[str, str], more: dict[str, object], message: str
) -> None:
    install(own_cards, meaning, **more)
    with (
        Runtime(cache=tmp_path / "cache", offline=True, threads=1, extra_cards=own_cards) as made,
        pytest.raises(CardError, match=message),
    ):
        classify(picture(1, 2, 3), made.model("colours"))


def test_a_labels_file_of_another_length_is_refused(own_cards: Path, tmp_path: Path) -> None:
    install(own_cards, {"red": "Explicit"})
    (own_cards / "colours.txt").write_text("red\ngreen\n")
    with (
        Runtime(cache=tmp_path / "cache", offline=True, threads=1, extra_cards=own_cards) as made,
        pytest.raises(CardError, match="3 outputs, and its labels file 2 lines"),
    ):
        classify(picture(1, 2, 3), made.model("colours"))


# --- NudeNet ----------------------------------------------------------------------------------------------------------

STAND_IN = """
class NudeDetector:
    def detect(self, image):
        assert image.shape == (120, 160, 3), image.shape
        blue, green, red = (int(value) for value in image[0, 0])
        return [
            {"class": "FEMALE_BREAST_EXPOSED", "score": red / 255, "box": [1, 2, 3, 4]},
            {"class": "BUTTOCKS_COVERED", "score": 0.9, "box": [1, 2, 3, 4]},
        ]
"""


def test_nudenet_is_asked_in_bgr_and_only_nudity_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "nudenet.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    nudity._detector.cache_clear()
    request.addfinalizer(nudity._detector.cache_clear)
    request.addfinalizer(lambda: sys.modules.pop("nudenet", None))
    assert nudity.detect(picture(204, 0, 0)) == [("Exposed Female Nipple", pytest.approx(0.8))]
    blind = blind_spots(Catalogue(), nudenet=True)
    assert "Explicit" not in blind
    assert {"Sex Toys", "Implied Nudity"} <= set(blind)


def test_without_the_package_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudity, "PACKAGE", "a-package-that-nobody-has")
    assert nudity.detect(picture(1, 2, 3)) == []
    assert blind_spots(Catalogue(), nudenet=True) == blind_spots(Catalogue())


def test_nudenet_is_asked_only_when_it_is_turned_on() -> None:
    assert set(nudity.LABELS.values()) <= set(NODES)
    assert "nudenet" not in sys.modules


# --- the surface ------------------------------------------------------------------------------------------------------


def test_the_surface_of_one_colour_and_of_noise() -> None:
    flat = dict(zip(NAMES, surface(picture(200, 30, 30).pixels), strict=True))
    assert flat["flat 2"] == flat["top colour"] == 1
    assert flat["colour entropy"] == flat["hard edges"] == flat["grey"] == 0
    noise = np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)
    busy = dict(zip(NAMES, surface(noise), strict=True))
    assert busy["flat 8"] == 0
    assert busy["hard edges"] > 0.9
    assert busy["colour entropy"] > 11

"""Labels from evidence: regions, scores, calibration, ancestors, instances; filters and answers of the service."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import openrek.vision.models
from openrek.contract.errors import InvalidParameterException
from openrek.service.labels import LabelFilter, label_members, percent, property_members, wanted_features
from openrek.vision.backbone import LONGEST_SIDE, SHORT_SIDE, STRIDE, features, fit, regions
from openrek.vision.faces import Faces
from openrek.vision.faces.attributes import FaceAttributes
from openrek.vision.image import Picture, load_image
from openrek.vision.labels import FoundLabel, Instance, Label, Taxonomy, Thing, assemble, image_properties, tag
from openrek.vision.labels.animals import believed
from openrek.vision.labels.detect import DOUBT, PICTURE_SIDE, detect_labels, label_of, things
from openrek.vision.labels.heads import EVERYDAY, KINDS, heads
from openrek.vision.labels.people import OF_ANIMAL, glasses_box, match, people, presence, traits, trusted
from openrek.vision.labels.tagger import Members, calibrate, label_scores, read_tags
from openrek.vision.labels.taxonomy import taxonomy
from openrek.vision.labels.worn import NOBODY, doubted
from openrek.vision.look import Look
from openrek.vision.objects import Objects, detect_objects
from openrek.vision.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURE = Picture.of(np.full((100, 200, 3), 128, np.uint8))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Runtime]":
    """No network and an empty cache: the tagger ships with the package."""
    with Runtime(cache=tmp_path_factory.mktemp("cache"), offline=True, threads=1) as runtime:
        yield runtime


# --- regions and preparation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width"), [(80, 80), (80, 10_000), (10_000, 80), (1080, 1920), (300, 451), (81, 97)]
)
def test_a_picture_keeps_its_shape_up_to_two_to_one(height: int, width: int) -> None:
    rows, columns = fit(np.zeros((height, width, 3), np.uint8)).shape[:2]
    assert min(rows, columns) == SHORT_SIDE
    assert max(rows, columns) <= LONGEST_SIDE
    assert rows % STRIDE == columns % STRIDE == 0
    wanted = min(2.0, max(height, width) / min(height, width))
    assert max(rows, columns) / min(rows, columns) == pytest.approx(wanted, abs=STRIDE / 2 / SHORT_SIDE)
    assert (rows >= columns) == (height >= width) or rows == columns


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (8, 9), (8, 14), (16, 8)])
def test_regions_are_means_over_parts_and_the_first_is_the_whole(rows: int, columns: int) -> None:
    weights = regions(rows, columns)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights[0] == pytest.approx(1 / (rows * columns))
    assert len({row.tobytes() for row in weights}) == len(weights), "no region twice"
    assert (weights[1:] > 0).any(axis=0).all(), "every cell lies in a part"
    for row in weights:
        assert len(set(row[row > 0].tolist())) == 1


def test_one_pass_gives_every_region(runtime: Runtime) -> None:
    seen = features(PICTURE, runtime)
    count = len(regions(SHORT_SIDE // STRIDE, LONGEST_SIDE // STRIDE))
    assert seen.logits.shape == (count, 1000)
    assert seen.embeddings.shape == (count, 1280)


# --- scores -----------------------------------------------------------------------------------------------------------


def test_a_score_sums_classes_and_mixes_the_whole_with_the_best_region() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], np.float32)
    membership = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]], np.float32)
    scores = label_scores(np.log(probabilities), Members.of(membership))
    assert scores == pytest.approx([0.5, 0.8, (0.2 + 0.8) / 2])
    halves = label_scores(np.log(probabilities), Members.of((membership / 2).astype(np.float32)))
    assert halves == pytest.approx(scores / 2)
    with pytest.raises(ValueError, match="without a class"):
        Members.of(np.array([[1, 0], [0, 0]], np.float32))


def test_calibration_is_straight_between_its_knots() -> None:
    metadata = {"calibration": "[[0, 0], [0.5, 0.8], [1, 1]]"}
    found = calibrate(np.array([0, 0.25, 0.5, 0.75, 1], np.float32), metadata)
    assert found == pytest.approx([0, 0.4, 0.8, 0.9, 1])


def test_the_shipped_calibration_rises(runtime: Runtime) -> None:
    found = calibrate(np.linspace(0, 1, 101, dtype=np.float32), runtime.model("tagger").metadata)
    assert (np.diff(found) >= 0).all()
    assert found[0] == 0
    assert 0.99 < found[-1] <= 1


def test_a_cat_is_a_cat(runtime: Runtime, photos: dict[str, Path]) -> None:
    found = {each.label.name: each.confidence for each in tag(load_image(photos["chelsea"]), runtime)}
    assert found["Cat"] > 0.9
    assert found["Animal"] >= found["Mammal"] >= found["Cat"] >= found.get("Egyptian Cat", 0)
    assert found.get("Dog", 0) < 0.1


def test_worn_things_count_less_where_there_is_a_face(runtime: Runtime, photos: dict[str, Path]) -> None:
    seen = features(load_image(photos["hopper"]), runtime)
    metadata = runtime.model("tagger").metadata
    plain = {each.label.name: each.confidence for each in read_tags(seen, metadata)}
    with_face = {each.label.name: each.confidence for each in read_tags(seen, metadata, with_face=True)}
    assert 0 < with_face["Tie"] < plain["Tie"]
    assert with_face["Clothing"] == plain["Clothing"]


# --- ancestors and instances ------------------------------------------------------------------------------------------

TABLE = Taxonomy(
    [
        Label("Person", "Person Description", has_boxes=True),
        Label("Female", "Person Description", ("Person",), has_boxes=True),
        Label("Woman", "Person Description", ("Female",), has_boxes=True),
        Label("Face", "Person Description", ("Person",)),
        Label("Man", "Person Description", ("Person",), has_boxes=True),
        Label("Car", "Vehicles and Automotive", aliases=("Automobile",), has_boxes=True),
    ]
)


def test_every_ancestor_is_returned_and_at_least_as_sure() -> None:
    found = {each.label.name: each.confidence for each in assemble([[("Woman", 0.9), ("Person", 0.4)]], [], TABLE)}
    assert found == pytest.approx({"Woman": 0.9, "Female": 0.9, "Person": 0.9})


def test_the_best_evidence_of_a_source_counts_and_order_is_by_confidence_then_name() -> None:
    found = assemble([[("Face", 0.5), ("Car", 0.7), ("Face", 0.6), ("Man", 0.7)]], [], TABLE)
    assert [each.label.name for each in found] == ["Car", "Man", "Person", "Face"]
    assert [each.confidence for each in found] == pytest.approx([0.7, 0.7, 0.7, 0.6])


def test_sources_that_agree_make_a_label_surer_and_its_ancestors_at_least_as_sure() -> None:
    found = {each.label.name: each.confidence for each in assemble([[("Woman", 0.5)], [("Face", 0.6)]], [], TABLE)}
    assert found == pytest.approx({"Woman": 0.5, "Female": 0.5, "Face": 0.6, "Person": 0.7})
    (located,) = assemble([[("Car", 0.5)]], [Thing((0, 0, 9, 9), {"Car": 0.6})], TABLE)
    assert located.confidence == pytest.approx(0.7)
    assert located.instances == (Instance((0, 0, 9, 9), 0.6),)
    only_place = Thing((0, 0, 9, 9), {"Car": 0.6}, evidence=False)
    (placed,) = assemble([[("Car", 0.5)]], [only_place], TABLE)
    assert (placed.confidence, placed.instances) == (0.5, located.instances)
    assert assemble([], [only_place], TABLE) == []


@given(
    st.lists(st.lists(st.tuples(st.sampled_from(sorted(TABLE)), st.floats(0, 1)), max_size=5), max_size=3),
    st.lists(st.dictionaries(st.sampled_from(sorted(TABLE)), st.floats(0, 1), max_size=3), max_size=4),
)
def test_whatever_is_seen_ancestors_are_as_sure_and_share_boxes(
    sources: list[list[tuple[str, float]]], names: list[dict[str, float]]
) -> None:
    found = assemble(sources, [Thing((0, 0, number, 1), each) for number, each in enumerate(names, 1)], TABLE)
    by_name = {each.label.name: each for each in found}
    for each in found:
        assert 0 <= each.confidence <= 1
        assert list(each.instances) == sorted(each.instances, key=lambda instance: -instance.confidence)
        boxes = {instance.box: instance.confidence for instance in each.instances}
        for above in each.label.ancestors:
            assert by_name[above].confidence >= each.confidence
            if TABLE[above].has_boxes:
                shared = {instance.box: instance.confidence for instance in by_name[above].instances}
                assert all(shared[box] >= confidence for box, confidence in boxes.items())
    order = [(-each.confidence, each.label.name) for each in found]
    assert order == sorted(order)


def test_ancestors_share_their_descendants_boxes() -> None:
    woman, man, both = (0, 0, 10, 10), (20, 0, 30, 10), (0, 0, 30, 10)
    seen = [Thing(woman, {"Woman": 0.6, "Person": 0.8}), Thing(man, {"Man": 0.95}), Thing(both, {"Face": 0.3})]
    found = {each.label.name: each for each in assemble([[("Face", 0.99)]], seen, TABLE)}
    assert set(found) == {"Woman", "Female", "Man", "Person", "Face"}
    assert found["Person"].instances == (Instance(man, 0.95), Instance(woman, 0.8), Instance(both, 0.3))
    assert found["Female"].instances == found["Woman"].instances == (Instance(woman, 0.6),)
    assert found["Face"].instances == (), "Face carries no boxes"


def test_what_a_detector_sees_twice_is_one_instance() -> None:
    table = Taxonomy(
        [
            Label("Vehicle", "Vehicles and Automotive", has_boxes=True),
            Label("Car", "Vehicles and Automotive", ("Vehicle",), has_boxes=True),
            Label("Truck", "Vehicles and Automotive", ("Vehicle",), has_boxes=True),
            Label("Person", "Person Description", has_boxes=True),
            Label("Face", "Person Description", ("Person",)),
        ]
    )

    def found(*seen: Thing) -> dict[str, FoundLabel]:
        return {each.label.name: each for each in assemble([], seen, table)}

    car, near, far = (0.0, 0.0, 100.0, 50.0), (5.0, 0.0, 105.0, 50.0), (60.0, 0.0, 160.0, 50.0)
    one = found(Thing(car, {"Car": 0.6}), Thing(near, {"Vehicle": 0.8}))
    assert one["Vehicle"].instances == (Instance(near, 0.8),)
    assert one["Car"].instances == (Instance(near, 0.6),), "the surest box, and what is known of it"
    siblings = found(Thing(car, {"Car": 0.8}), Thing(near, {"Truck": 0.5}), Thing(far, {"Truck": 0.7}))
    assert siblings["Vehicle"].instances == (Instance(car, 0.8), Instance(far, 0.7))
    assert siblings["Truck"].instances == (Instance(far, 0.7),)
    assert found(Thing(car, {"Car": 0.8}), Thing(near, {"Truck": 0.5}))["Truck"].confidence == pytest.approx(0.5)
    twice = found(Thing(car, {"Person": 0.9, "Face": 0.8}), Thing(near, {"Person": 0.7}))
    assert len(twice["Person"].instances) == 1
    couple = found(Thing(car, {"Person": 0.9, "Face": 0.8}), Thing(near, {"Person": 0.7, "Face": 0.6}))
    assert len(couple["Person"].instances) == 2


# --- people -----------------------------------------------------------------------------------------------------------


def faces(*boxes: tuple[float, float, float, float]) -> Faces:
    count = len(boxes)
    return Faces(
        boxes=np.array(boxes, np.float32).reshape(count, 4),
        confidences=np.full(count, 0.9, np.float32),
        landmarks=np.zeros((count, 5, 2), np.float32),
        pose=np.zeros((count, 3), np.float32),
        brightness=np.zeros(count, np.float32),
        sharpness=np.zeros(count, np.float32),
    )


def three_women() -> Faces:
    """The faces of the photo of this name, of 1000 x 787 pixels; their points are where most faces have them."""
    found = faces((631, 72, 740, 215), (299, 80, 405, 216), (469, 91, 576, 222))
    places = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)], np.float32)
    found.landmarks[:] = found.boxes[:, None, :2] + places * (found.boxes[:, None, 2:] - found.boxes[:, None, :2])
    return found


def persons(*boxes: tuple[float, float, float, float]) -> Objects:
    count = len(boxes)
    scores = np.linspace(0.9, 0.5, count, dtype=np.float32)
    return Objects(np.array(boxes, np.float32).reshape(count, 4), scores, np.zeros(count, np.int64), ("person",))


def test_a_face_belongs_to_the_smallest_person_that_holds_it_high_up() -> None:
    child, mother, far = (40, 50, 70, 100), (30, 0, 80, 100), (200, 0, 240, 100)
    found = match(faces((45, 55, 60, 70), (45, 5, 65, 30), (210, 70, 225, 90)), persons(mother, child, far))
    assert found == [1, 0, -1], "the last face is at the feet of a box: a picture on a shirt, or somebody unseen"


def test_two_faces_do_not_share_a_person() -> None:
    assert match(faces((10, 0, 30, 20), (35, 0, 45, 10)), persons((0, 0, 50, 100))) == [0, -1]
    assert match(faces((10, 0, 30, 20)), persons()) == [-1]
    assert match(faces(), persons((0, 0, 50, 100))) == []


@pytest.mark.parametrize(
    ("age", "likely", "unlikely"),
    [((2, 8), {"Child"}, {"Adult", "Man", "Woman"}), ((34, 48), {"Adult", "Woman"}, {"Child", "Baby", "Man"})],
)
def test_traits_follow_from_age_and_looks(age: tuple[int, int], likely: set[str], unlikely: set[str]) -> None:
    known = FaceAttributes(age=np.array([age], np.int32), male=np.array([0.05], np.float32))
    found = traits(known, 0)
    assert all(found[name] > 0.8 for name in likely)
    assert all(found[name] < 0.2 for name in unlikely)
    assert set(found) <= set(taxonomy())
    assert all(0 <= value <= 1 for value in found.values())


def test_people_in_a_photo_have_boxes_where_a_detector_finds_them(runtime: Runtime, media: Path) -> None:
    """Faces come from the face detector's published weights, boxes from a stand-in for the detector."""
    look = Look(load_image(media / "photos" / "three-women.jpg", longest=PICTURE_SIDE), runtime)
    wide = float(look.picture.width), float(look.picture.height)
    look.__dict__["objects"] = persons((0, 0, *wide))
    look.__dict__["faces"] = faces((0.4 * wide[0], 0.1 * wide[1], 0.5 * wide[0], 0.3 * wide[1]))
    evidence, found = people(look, trusted(look, 0.0))
    assert dict(evidence)["Face"] == pytest.approx(0.9), "a face in a person's box is not doubted"
    assert [thing.box for thing in found if "Person" in thing.names] == [(0, 0, *wide)]
    assert found[0].names["Person"] > 0.98
    assert {"Face", "Adult", "Smile"} <= set(found[0].names)
    look.__dict__["objects"] = persons()
    believed_face, _ = people(look, trusted(look, 0.5))
    doubted_face, _ = people(look, trusted(look, 0.1))
    assert dict(believed_face)["Face"] == pytest.approx(0.9)
    assert dict(doubted_face)["Face"] == pytest.approx(0.45)


def test_the_face_of_a_dog_is_nobodys(runtime: Runtime) -> None:
    def shares(dog: float, person: float, likely: float) -> list[float]:
        look = Look(PICTURE, runtime)
        look.__dict__["faces"] = faces((20, 5, 40, 25))
        whole = np.array([[0, 0, 60, 100]] * 2, np.float32)
        scores, kinds = np.array([dog, person], np.float32), np.array([1, 0])
        look.__dict__["objects"] = Objects(whole, scores, kinds, ("person", "dog")).at_least(0.05)
        return trusted(look, likely).tolist()

    assert shares(0.9, 0.2, 0.1) == pytest.approx([OF_ANIMAL])
    assert shares(0.9, 0.0, 0.1) == pytest.approx([OF_ANIMAL])
    assert shares(0.4, 0.8, 0.1) == [1], "the person's box is the surer one"
    assert shares(0.9, 0.2, 0.7) == [1], "there is somebody"


def test_glasses_have_a_box_about_the_eyes(runtime: Runtime, media: Path) -> None:
    left, top, right, bottom = glasses_box(np.array([[40, 50], [60, 50], [50, 60]], np.float32))
    assert (left, right) == pytest.approx((28, 72))
    assert (top, bottom) == pytest.approx((41, 59))
    look = Look(load_image(media / "photos" / "three-women.jpg", longest=PICTURE_SIDE), runtime)
    look.__dict__["objects"] = persons((0, 0, float(look.picture.width), float(look.picture.height)))
    look.__dict__["faces"] = three_women()
    _, found = people(look, trusted(look, 0.9))
    assert not any("Glasses" in thing.names and "Person" in thing.names for thing in found)
    worn = [thing for thing in found if "Glasses" in thing.names]
    assert len(worn) == 3
    for thing, face in zip(worn, look.faces.boxes, strict=True):
        x, y = (thing.box[0] + thing.box[2]) / 2, (thing.box[1] + thing.box[3]) / 2
        assert face[0] < x < face[2]
        assert face[1] < y < face[3]


# --- animals and worn things ------------------------------------------------------------------------------------------


def nothing() -> Objects:
    return Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ("person", "dog"))


def test_animals_without_a_likely_kind_are_doubted_most_of_all_beside_plants() -> None:
    flat = {"Animal": 0.9, "Bird": 0.3, "Finch": 0.2, "Tree": 0.5}
    elsewhere, among_plants = believed(flat, 0.1, nothing()), believed(flat, 0.95, nothing())
    assert among_plants["Animal"] < elsewhere["Animal"] < 0.9
    assert among_plants["Animal"] < 0.55
    assert among_plants["Bird"] / among_plants["Animal"] == pytest.approx(0.3 / 0.9)
    assert among_plants["Tree"] == 0.5
    sure = {"Animal": 0.98, "Dog": 0.97, "Samoyed": 0.9}
    assert believed(sure, 0.95, nothing())["Animal"] > 0.9
    seen = Objects(np.array([[0, 0, 9, 9]], np.float32), np.array([0.6], np.float32), np.array([1]), ("person", "dog"))
    assert believed(flat, 0.95, seen)["Animal"] == pytest.approx(elsewhere["Animal"])
    assert believed({}, 0.9, nothing()) == {}


def test_a_mask_on_a_bare_mouth_is_none(runtime: Runtime, media: Path) -> None:
    """Whatever the detector says: the network that looks at heads sees bare mouths, and there is nobody in the sky."""
    look = Look(load_image(media / "photos" / "three-women.jpg", longest=PICTURE_SIDE), runtime)
    look.__dict__["faces"] = three_women()
    mouths = three_women().boxes
    mouths[:, 1] = mouths[:, [1, 3]].mean(axis=1)
    boxes, kinds = np.concatenate([mouths, np.float32([[0, 0, 30, 20]])]), np.array([1, 1, 1, 2])
    names = ("person", "face_mask", "hard_hat")
    look.__dict__["objects"] = Objects(boxes, np.full(4, 0.9, np.float32), kinds, names)
    found = doubted(look)
    assert found.scores[:-1].max() < 0.3
    assert found.scores[-1] <= 0.9 * NOBODY + 1e-6
    assert look.objects.scores.min() == pytest.approx(0.9), "the shared look is left as it is"


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 180, 150), (30, 30, 30), (255,) * 3])
@pytest.mark.parametrize(("height", "width"), [(600, 800), (80, 1000)])
def test_a_picture_of_nothing_shows_nothing(
    runtime: Runtime, colour: tuple[int, int, int], height: int, width: int
) -> None:
    look = Look(Picture.of(np.full((height, width, 3), colour, np.uint8)), runtime)
    look.__dict__["faces"] = faces()
    assert [found.label.name for found in detect_labels(look) if found.confidence >= 0.55] == []


def test_noise_shows_nothing(runtime: Runtime) -> None:
    look = Look(Picture.of(np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)), runtime)
    look.__dict__["faces"] = faces()
    assert [found.label.name for found in detect_labels(look) if found.confidence >= 0.55] == []


def test_a_person_is_there_where_box_heads_or_face_say_so(runtime: Runtime) -> None:
    def found(boxes: int, likely: float, shown: int) -> float:
        look = Look(PICTURE, runtime)
        look.__dict__["objects"] = persons(*[(0, 0, 10, 10)] * boxes)
        look.__dict__["faces"] = faces(*[(0, 0, 5, 5)] * shown)
        return presence(look, likely, trusted(look, likely))

    assert found(0, 0.02, 0) < 0.1
    assert found(1, 0.02, 0) > found(0, 0.02, 0)
    assert found(0, 0.9, 0) > found(0, 0.1, 0)
    assert found(0, 0.1, 1) > found(0, 0.1, 0)
    assert found(1, 0.9, 1) > 0.95


def test_a_few_people_are_no_crowd(runtime: Runtime, photos: dict[str, Path]) -> None:
    def crowd(count: int) -> float:
        look = Look(load_image(photos["astronaut"], longest=PICTURE_SIDE), runtime)
        look.__dict__["objects"] = persons(*[(0, 0, 10, 10)] * count)
        look.__dict__["faces"] = faces()
        return {found.label.name: found.confidence for found in detect_labels(look)}["Crowd"]

    assert crowd(4) == pytest.approx(crowd(5) / 2)


def test_what_a_detector_names_becomes_labels() -> None:
    boxes = np.array([[0, 0, 5, 5], [1, 1, 9, 9], [2, 2, 8, 8]], np.float32)
    scores, classes = np.array([0.9, 0.6, 0.5], np.float32), np.array([0, 2, 1])
    found = things(Objects(boxes, scores, classes, ("hard_hat", "head_bare", "person")), {})
    assert [each.box for each in found] == [(0, 0, 5, 5)]
    assert found[0].names == pytest.approx({"Hardhat": 0.9})


@pytest.mark.parametrize(
    ("name", "tags", "confidence"),
    [
        ("dog", {}, 0.9 * DOUBT),
        ("dog", {"Dog": 0.3}, 0.9),
        ("cigarette", {}, 0.9),  # the tagger knows no cigarettes
    ],
)
def test_a_thing_that_the_tagger_does_not_see_is_doubted(name: str, tags: dict[str, float], confidence: float) -> None:
    box, score = np.array([[0, 0, 20, 30]], np.float32), np.array([0.9], np.float32)
    (found,) = things(Objects(box, score, np.array([0]), (name,)), tags)
    assert list(found.names.values()) == [pytest.approx(confidence)]


def test_classes_of_ones_own_detector_are_found_by_name_or_alias(caplog: pytest.LogCaptureFixture) -> None:
    names = ("person", "forklift", "license_plate", "automobile", "gizmo", "-", "mobile_phone", "golden_retriever")
    boxes, scores = np.tile(np.float32([0, 0, 9, 9]), (len(names), 1)), np.full(len(names), 0.9, np.float32)
    objects = Objects(boxes, scores, np.arange(len(names)), names, "a-detector-of-ones-own")
    with caplog.at_level("WARNING"):
        found = [name for thing in things(objects, {}) for name in thing.names]
        things(objects.at_least(0.5), {})
    assert found == ["Forklift", "License Plate", "Car", "Mobile Phone", "Golden Retriever"]
    said = [record.getMessage() for record in caplog.records]
    assert said == ["a-detector-of-ones-own: 1 of 8 classes mean no label: gizmo"]


def test_the_own_detector_leaves_nothing_out_that_could_be_a_label(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"):
        objects = detect_objects(PICTURE, runtime)
        things(objects, {})
    assert (objects.model, len(objects.names)) == ("objects", 91)
    assert not caplog.records


def test_every_class_of_a_coco_detector_is_a_label_with_boxes() -> None:
    names = (Path(openrek.vision.models.__path__[0]) / "coco80.txt").read_text().split()
    labels = [label for name in names if (label := label_of(name)) is not None and label.has_boxes]
    assert len({label.name for label in labels}) == len(names) == 80


# --- everyday concepts ------------------------------------------------------------------------------------------------


def test_everyday_concepts_of_photos(runtime: Runtime, photos: dict[str, Path]) -> None:
    seen = {
        name: dict(heads(Look(load_image(photos[name]), runtime), EVERYDAY))
        for name in ("china", "chelsea", "coffee", "hopper", "rocket")
    }
    assert seen["china"]["Building"] > 0.5 > seen["coffee"]["Building"]
    assert seen["china"]["Outdoors"] > 0.5 > seen["coffee"]["Outdoors"]
    assert seen["rocket"]["Sky"] > 0.5 > seen["chelsea"]["Sky"]
    assert seen["hopper"]["Person"] > 0.5 > seen["chelsea"]["Person"]
    assert all(0 <= value <= 1 for found in seen.values() for value in found.values())


def test_each_head_is_a_label_that_names_it(runtime: Runtime) -> None:
    black = Look(Picture.of(np.zeros((64, 64, 3), np.uint8)), runtime)
    table = taxonomy()
    for model, count in ((EVERYDAY, 22), (KINDS, 83)):
        found = heads(black, model)
        assert len({name for name, _ in found}) == count
        assert all(0 <= confidence <= 1 and model in table.sources[name] for name, confidence in found)
    listed = {name for name in table if f"{KINDS}:{name}" in table.by_evidence}
    assert listed == {name for name, _ in heads(black, KINDS)}


def test_photos_of_other_things_show_none_of_the_kinds(runtime: Runtime, photos: dict[str, Path]) -> None:
    for name in ("china", "astronaut"):
        found = {
            kind for kind, confidence in heads(Look(load_image(photos[name]), runtime), KINDS) if confidence >= 0.3
        }
        assert not found, f"{name}: {found}"


# --- the request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        {"Features": ["IMAGE_PROPERTIES"], "MaxLabels": 5},
        {"Features": ["IMAGE_PROPERTIES"], "MinConfidence": 0},
        {"Features": ["IMAGE_PROPERTIES"], "Settings": {"GeneralLabels": {"LabelInclusionFilters": ["Cat"]}}},
        {"Features": ["GENERAL_LABELS"], "Settings": {"ImageProperties": {"MaxDominantColors": 3}}},
        {"Settings": {"ImageProperties": {"MaxDominantColors": 3}}},
    ],
)
def test_a_setting_of_a_feature_not_asked_for_is_refused(request_: Any) -> None:
    with pytest.raises(InvalidParameterException, match="is only valid when Features contains"):
        wanted_features(request_)


def test_no_features_or_none_at_all_mean_general_labels() -> None:
    assert wanted_features({"Image": {}}) == {"GENERAL_LABELS"}
    assert wanted_features({"Image": {}, "Features": [], "MaxLabels": 3}) == {"GENERAL_LABELS"}
    both: Any = {"Features": ["IMAGE_PROPERTIES", "GENERAL_LABELS"], "MinConfidence": 1.0}
    assert wanted_features(both) == {"GENERAL_LABELS", "IMAGE_PROPERTIES"}


CAR, PERSON, FACE = TABLE["Car"], TABLE["Person"], TABLE["Face"]


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, {"Car", "Person", "Face"}),
        ({"LabelInclusionFilters": ["Car"]}, {"Car"}),
        ({"LabelInclusionFilters": ["car"]}, set()),
        ({"LabelInclusionFilters": ["Automobile"]}, set()),
        ({"LabelCategoryInclusionFilters": ["Person Description"]}, {"Person", "Face"}),
        (
            {"LabelInclusionFilters": ["Car"], "LabelCategoryInclusionFilters": ["Person Description"]},
            {"Car", "Person", "Face"},
        ),
        ({"LabelExclusionFilters": ["Face", "Nothing of the kind"]}, {"Car", "Person"}),
        ({"LabelCategoryExclusionFilters": ["Person Description"]}, {"Car"}),
        (
            {"LabelInclusionFilters": ["Face"], "LabelCategoryExclusionFilters": ["Person Description"]},
            set(),
        ),
        (
            {"LabelCategoryInclusionFilters": ["Person Description"], "LabelExclusionFilters": ["Person"]},
            {"Face"},
        ),
    ],
)
def test_filters(settings: Any, kept: set[str]) -> None:
    choice = LabelFilter.of(settings)
    assert {label.name for label in (CAR, PERSON, FACE) if choice.keeps(label)} == kept


@pytest.mark.parametrize("kind", ["Label", "LabelCategory"])
def test_a_value_on_both_sides_is_refused(kind: str) -> None:
    settings: Any = {f"{kind}InclusionFilters": ["Cat", "Dog"], f"{kind}ExclusionFilters": ["Dog"]}
    with pytest.raises(InvalidParameterException, match=f"{kind}InclusionFilters and {kind}ExclusionFilters.*'Dog'"):
        LabelFilter.of(settings)


def test_a_name_may_be_included_as_label_and_excluded_as_category() -> None:
    settings: Any = {"LabelInclusionFilters": ["Medical"], "LabelCategoryExclusionFilters": ["Medical"]}
    assert not LabelFilter.of(settings).keeps(Label("Medical", "Medical"))


# --- the answer -------------------------------------------------------------------------------------------------------

EVERYTHING = LabelFilter()


def test_a_threshold_is_inclusive_in_the_precision_of_the_wire() -> None:
    found = [FoundLabel(CAR, 0.55), FoundLabel(FACE, 0.549), FoundLabel(PERSON, 0.5500001)]
    names = [label["Name"] for label in label_members(found, PICTURE, choice=EVERYTHING)]
    assert sorted(names) == ["Car", "Person"]


def test_a_confidence_that_was_read_keeps_its_label_as_threshold() -> None:
    """The wire writes a float32 in its shortest form, which as a double may lie above it."""
    sent = np.float32(percent(0.036745434))
    as_read = float(str(sent))
    assert as_read > float(sent)
    found = [FoundLabel(CAR, 0.036745434)]
    assert len(label_members(found, PICTURE, choice=EVERYTHING, min_confidence=as_read)) == 1


def test_confidences_that_round_alike_are_ordered_by_name() -> None:
    found = [FoundLabel(PERSON, 0.7 + 1e-12), FoundLabel(CAR, 0.7)]
    members = label_members(found, PICTURE, choice=EVERYTHING)
    assert [label["Name"] for label in members] == ["Car", "Person"]
    assert members[0]["Confidence"] == members[1]["Confidence"]


def test_percent_is_a_float32_between_0_and_100() -> None:
    assert percent(1.0000001) == 100
    assert percent(-0.1) == 0
    assert percent(0.123456789) == float(np.float32(12.3456789))


def test_max_labels_cuts_after_filtering_and_zero_is_none() -> None:
    found = [FoundLabel(PERSON, 0.9), FoundLabel(FACE, 0.8), FoundLabel(CAR, 0.7)]
    only_cars = LabelFilter(labels=frozenset({"Car"}))
    assert [one["Name"] for one in label_members(found, PICTURE, choice=only_cars, max_labels=1)] == ["Car"]
    assert [one["Name"] for one in label_members(found, PICTURE, choice=EVERYTHING, max_labels=2)] == ["Person", "Face"]
    assert label_members(found, PICTURE, choice=EVERYTHING, max_labels=0) == []
    many = [FoundLabel(Label(f"L{number}", "Medical"), 0.9) for number in range(1500)]
    assert len(label_members(many, PICTURE, choice=EVERYTHING, max_labels=5000)) == 1000


def test_all_lists_are_present_and_a_child_keeps_its_parents() -> None:
    woman = TABLE["Woman"]
    (member,) = label_members([FoundLabel(woman, 0.9)], PICTURE, choice=EVERYTHING)
    assert member == {
        "Name": "Woman",
        "Confidence": percent(0.9),
        "Instances": [],
        "Parents": [{"Name": "Female"}, {"Name": "Person"}],
        "Aliases": [],
        "Categories": [{"Name": "Person Description"}],
    }


@pytest.mark.parametrize(
    ("least", "sent"), [(55, [0.9, 0.3]), (90, [0.9, 0.3]), (10, [0.9, 0.3, 0.1]), (0, [0.9, 0.3, 0.1, 0.05])]
)
def test_instances_have_a_threshold_of_their_own(least: float, sent: list[float]) -> None:
    box = (0.0, 0.0, 9.0, 9.0)
    found = [FoundLabel(CAR, 0.9, tuple(Instance(box, confidence) for confidence in (0.9, 0.3, 0.1, 0.05)))]
    (member,) = label_members(found, PICTURE, choice=EVERYTHING, min_confidence=least)
    assert [instance["Confidence"] for instance in member["Instances"]] == [percent(value) for value in sent]


def test_instances_are_ratios_and_carry_colours_only_when_asked() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[:, 100:] = (255, 0, 0)
    picture = Picture.of(pixels)
    found = [FoundLabel(CAR, 0.9, (Instance((110, 10, 190, 60), 0.75),))]
    (plain,) = label_members(found, picture, choice=EVERYTHING)
    assert plain["Instances"] == [
        {"BoundingBox": {"Width": 0.4, "Height": 0.5, "Left": 0.55, "Top": 0.1}, "Confidence": 75.0}
    ]
    (coloured,) = label_members(found, picture, choice=EVERYTHING, instance_colours=1)
    (colour,) = coloured["Instances"][0]["DominantColors"]
    assert (colour["HexCode"], colour["CSSColor"], colour["Red"], colour["Green"]) == ("#ff0000", "red", 255, 0)
    (none,) = label_members(found, picture, choice=EVERYTHING, instance_colours=0)
    assert none["Instances"][0]["DominantColors"] == []


def test_colours_of_a_box_that_labels_share_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def box_colours(picture: Picture, box: Any, *, max_colours: int) -> list[Any]:
        asked.append(box)
        return []

    monkeypatch.setattr("openrek.service.labels.box_colours", box_colours)
    first, second = Instance((1, 2, 30, 40), 0.8), Instance((5, 2, 30, 40), 0.7)
    found = [FoundLabel(TABLE["Woman"], 0.9, (first,)), FoundLabel(PERSON, 0.9, (first, second))]
    label_members(found, PICTURE, choice=EVERYTHING, instance_colours=5)
    assert sorted(asked) == [first.box, second.box]


def test_properties_have_contrast_for_the_whole_picture_only(photos: dict[str, Path]) -> None:
    members = property_members(image_properties(load_image(photos["astronaut"])))
    assert set(members["Quality"]) == {"Brightness", "Sharpness", "Contrast"}
    assert set(members["Foreground"]["Quality"]) == set(members["Background"]["Quality"]) == {"Brightness", "Sharpness"}
    plain = property_members(image_properties(PICTURE))
    assert "Foreground" not in plain
    assert "Background" not in plain
    assert plain["DominantColors"][0]["CSSColor"] == "gray"

"""Protective equipment from given faces, objects and answers of the head network; and the operation on top of it."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from openrek.contract.call import Call, Caller
from openrek.contract.errors import ImageTooLargeException, InvalidParameterException
from openrek.service import protective_equipment as service
from openrek.settings import Profile, Settings
from openrek.vision.faces import Faces
from openrek.vision.image import Picture
from openrek.vision.objects import Objects
from openrek.vision.protective_equipment import (
    MAX_PERSONS,
    BodyPart,
    Cover,
    Equipment,
    PartName,
    ProtectedPerson,
    hands,
    heads,
    protective_equipment,
)
from openrek.vision.protective_equipment.people import NOBODY, find_hints, find_people

COCO = ("person", "car")
BASE = ("person", "car", "hard_hat", "head_bare", "face_mask", "face_bare")
PICTURE = Picture.of(np.full((400, 600, 3), 128, np.uint8))
Answers = tuple[float, float, float, float]  # present, hat, mask, covers


class HeadNetwork:
    """Answers the same for every head, with boxes at fixed shares of the crop; keeps the crops it was shown."""

    def __init__(self, *answers: Answers) -> None:
        self.answers = answers
        self.seen = 0

    def run(self, feeds: Any, outputs: Any) -> list[Any]:
        assert outputs == ("answers", "boxes")
        count = len(feeds["crops"])
        assert feeds["crops"].shape == (count, heads.SIDE, heads.SIDE, 3)
        assert feeds["crops"].dtype == np.uint8
        rows = [self.answers[min(self.seen + i, len(self.answers) - 1)] for i in range(count)]
        self.seen += count
        boxes = [[[0.2, 0.2, 0.8, 0.8], [0.2, 0.2, 0.8, 0.45], [0.3, 0.5, 0.7, 0.8]]] * count
        return [np.array(rows, np.float32), np.array(boxes, np.float32)]


def objects(*found: tuple[str, tuple[float, float, float, float], float], names: tuple[str, ...] = BASE) -> Objects:
    ordered = sorted(found, key=lambda each: -each[2])
    return Objects(
        np.array([box for _, box, _ in ordered], np.float32).reshape(-1, 4),
        np.array([score for *_, score in ordered], np.float32),
        np.array([names.index(name) for name, *_ in ordered], np.int64),
        names,
    )


def faces(*boxes: tuple[float, float, float, float], confidence: float = 0.97) -> Faces:
    count = len(boxes)
    return Faces(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        confidences=np.full(count, confidence, np.float32),
        landmarks=np.zeros((count, 5, 2), np.float32),
        pose=np.zeros((count, 3), np.float32),
        brightness=np.full(count, 60, np.float32),
        sharpness=np.full(count, 60, np.float32),
    )


def look(things: Objects, seen: Faces, *answers: Answers, catalogue: tuple[str, ...] = ()) -> Any:
    network = HeadNetwork(*(answers or ((0.99, 0.01, 0.01, 0.5),)))
    runtime = SimpleNamespace(model=lambda name: {heads.MODEL: network}[name], catalogue=catalogue)
    return SimpleNamespace(picture=PICTURE, runtime=runtime, faces=seen, objects=things, begin=lambda: None)


WORKER = ("person", (100.0, 50.0, 200.0, 350.0), 0.9)
FACE = (135.0, 70.0, 165.0, 110.0)


def covers(person: ProtectedPerson) -> dict[PartName, list[tuple[Cover, bool]]]:
    return {part.name: [(item.cover, item.covers) for item in part.equipment] for part in person.parts}


# --- people -----------------------------------------------------------------------------------------------------------


def test_a_bare_person_has_a_face_and_a_head() -> None:
    (person,) = protective_equipment(look(objects(WORKER), faces(FACE)))
    assert person.box == WORKER[1]
    assert covers(person) == {PartName.FACE: [], PartName.HEAD: []}
    assert person.confidence == pytest.approx(1 - 0.03 / 28)  # as sure as box (odds of 9, times 3) or face


def test_a_worker_with_helmet_and_mask() -> None:
    (person,) = protective_equipment(look(objects(WORKER), faces(FACE), (0.99, 0.97, 0.95, 0.9)))
    assert covers(person) == {PartName.FACE: [(Cover.FACE_COVER, True)], PartName.HEAD: [(Cover.HEAD_COVER, True)]}
    (mask,), (helmet,) = (part.equipment for part in person.parts)
    assert helmet.box[3] < mask.box[1] + 15
    assert FACE[0] - 30 < helmet.box[0] < helmet.box[2] < FACE[2] + 30


def test_a_mask_under_the_chin_does_not_cover() -> None:
    (person,) = protective_equipment(look(objects(WORKER), faces(FACE), (0.99, 0.01, 0.95, 0.2)))
    ((mask,), _) = (part.equipment for part in person.parts)
    assert (mask.covers, mask.covers_confidence) == (False, pytest.approx(0.8))


def test_from_behind_there_is_a_head_and_no_face() -> None:
    (person,) = protective_equipment(look(objects(WORKER), faces(), (0.9, 0.01, 0.01, 0.5)))
    assert covers(person) == {PartName.HEAD: []}


def test_a_weak_box_without_a_head_is_nobody() -> None:
    weak = ("person", WORKER[1], 0.3)
    assert protective_equipment(look(objects(weak), faces(), (0.2, 0.1, 0.1, 0.5))) == ()
    (person,) = protective_equipment(look(objects(weak), faces(), (0.8, 0.1, 0.1, 0.5)))
    assert person.confidence == pytest.approx(1 - 0.7 / 1.6 * 0.6)  # lifted, and half the head's certainty


def test_a_guessed_head_is_one_persons_alone() -> None:
    weak = ("person", (102.0, 52.0, 202.0, 352.0), 0.3)  # the same worker once more
    (person,) = protective_equipment(look(objects(WORKER, weak), faces(FACE)))
    assert person.box == WORKER[1]
    (person,) = protective_equipment(look(objects(WORKER, weak), faces()))
    assert person.box == WORKER[1]
    (person,) = protective_equipment(look(objects(WORKER, ("person", weak[1], 0.8)), faces()))
    assert person.box == WORKER[1], "however sure the second box"
    sure = ("person", (102.0, 52.0, 202.0, 202.0), 0.8)  # of the upper half
    first, second = protective_equipment(look(objects(WORKER, sure), faces()))
    assert covers(first) == {PartName.HEAD: []}
    assert second.parts == ()


def test_a_head_cut_off_by_the_picture_is_not_guessed() -> None:
    cut = ("person", (100.0, 0.0, 200.0, 350.0), 0.9)
    (person,) = protective_equipment(look(objects(cut), faces(), (0.99, 0.99, 0.01, 0.5)))
    assert person.parts == ()
    (person,) = protective_equipment(look(objects(cut), faces((135, 5, 165, 40)), (0.99, 0.99, 0.01, 0.5)))
    assert covers(person)[PartName.HEAD] == [(Cover.HEAD_COVER, True)]


def test_a_hat_on_a_head_that_is_only_guessed_is_less_sure() -> None:
    shown, guessed = (
        protective_equipment(look(objects(WORKER, names=COCO), seen, (0.99, 0.95, 0.01, 0.5)))[0].parts[-1].equipment
        for seen in (faces(FACE), faces())
    )
    assert shown[0].confidence == pytest.approx(0.95)
    assert 0.6 < guessed[0].confidence < 0.9


def test_a_person_whose_head_is_out_of_sight_has_no_parts() -> None:
    (person,) = protective_equipment(look(objects(WORKER), faces(), (0.2, 0.9, 0.9, 0.5)))
    assert person.parts == ()


def test_what_looks_like_a_mask_without_a_face_is_none() -> None:
    (person,) = protective_equipment(look(objects(WORKER), faces(), (0.95, 0.01, 0.9, 0.9)))
    assert covers(person) == {PartName.HEAD: []}


def test_a_masked_face_that_only_the_object_detector_finds_is_a_face() -> None:
    mask = ("face_mask", (138.0, 85.0, 162.0, 105.0), 0.7)
    (person,) = protective_equipment(look(objects(WORKER, mask), faces(), (0.95, 0.01, 0.9, 0.9)))
    assert covers(person)[PartName.FACE] == [(Cover.FACE_COVER, True)]


def test_a_portrait_without_a_box_of_a_person_is_a_person() -> None:
    (person,) = protective_equipment(look(objects(), faces((200, 60, 400, 320))))
    assert person.box[0] < 200 < 400 < person.box[2]
    assert person.box[3] == 400  # down to the picture's end
    assert covers(person) == {PartName.FACE: [], PartName.HEAD: []}


def test_nobody_means_no_model_is_asked() -> None:
    nobody = look(objects(("car", (0, 0, 50, 50), 0.9)), faces())
    nobody.runtime.model = lambda name: pytest.fail("asked")
    assert protective_equipment(nobody) == ()


def test_weak_persons_are_nobody() -> None:
    assert protective_equipment(look(objects(("person", WORKER[1], 0.14)), faces())) == ()


def test_a_weak_box_with_a_head_is_a_person_of_this_box() -> None:
    (person,) = protective_equipment(look(objects(("person", WORKER[1], 0.2)), faces(FACE)))
    assert person.box == WORKER[1]


def test_the_largest_and_surest_fifteen_are_kept() -> None:
    crowd = [("person", (30.0 * i, 0.0, 30.0 * i + 20, 30.0 + 10 * i), 0.9) for i in range(18)]
    persons = protective_equipment(look(objects(*crowd), faces()))
    assert len(persons) == MAX_PERSONS == 15
    assert [person.box[3] for person in persons] == sorted((30.0 + 10 * i for i in range(3, 18)), reverse=True)


def test_every_confidence_is_at_least_a_half() -> None:
    generator = np.random.default_rng(1)
    for _ in range(40):
        things = objects(WORKER, ("person", (250, 60, 380, 390), 0.6), ("hard_hat", (130, 40, 170, 75), 0.55))
        answers = [tuple(float(value) for value in generator.random(4)) for _ in range(12)]
        for person in protective_equipment(look(things, faces(FACE, confidence=0.8), *answers)):
            values = [person.confidence]
            for part in person.parts:
                values.append(part.confidence)
                values += [v for item in part.equipment for v in (item.confidence, item.covers_confidence)]
            assert min(values) >= 0.5
            assert max(values) <= 1


# --- heads and hats ---------------------------------------------------------------------------------------------------


def test_each_person_gets_its_own_head() -> None:
    left, right = ("person", (0.0, 0.0, 120.0, 400.0), 0.9), ("person", (100.0, 0.0, 220.0, 400.0), 0.8)
    hints = find_hints(faces((140, 30, 180, 80), (40, 40, 80, 90)), objects(left, right))
    people = find_people(objects(left, right), hints, 600, 400)
    assert people.hints.tolist() == [1, 0]


def test_a_face_low_in_a_box_belongs_to_someone_else() -> None:
    hints = find_hints(faces((135, 280, 165, 320)), objects(WORKER))
    people = find_people(objects(WORKER), hints, 600, 400)
    assert people.hints.tolist() == [NOBODY, 0]
    assert len(people.boxes) == 2


def test_a_box_without_a_head_on_a_surer_one_is_nobody_else() -> None:
    body = ("person", (100, 50, 200, 350), 0.9)
    again, aside = ("person", (100, 120, 200, 350), 0.6), ("person", (170, 50, 270, 350), 0.5)
    hints = find_hints(faces((130, 55, 170, 105)), objects())
    assert find_people(objects(body, again, aside), hints, 600, 400).boxes[:, 1].tolist() == [50, 50]
    behind = find_hints(faces((130, 55, 170, 105), (140, 125, 165, 160)), objects())
    assert len(find_people(objects(body, again), behind, 600, 400).boxes) == 2, "each with a face"


def test_hats_and_masks_of_the_detector_hint_at_heads_that_no_face_shows() -> None:
    hat = ("hard_hat", (130.0, 40.0, 170.0, 70.0), 0.7)
    hints = find_hints(faces(), objects(WORKER, hat))
    assert hints.boxes.tolist() == [[130, 40, 170, 88]]
    (bare,), (worn,) = (find_hints(faces(FACE), objects(WORKER, *hats)).boxes for hats in ((), (hat,)))
    assert worn.tolist() == [bare[0], 40, bare[2], bare[3]]  # it is the same head, and reaches to the top of the hat
    assert find_people(objects(WORKER, hat), hints, 600, 400).hints.tolist() == [0]
    alone = find_people(objects(hat), hints, 600, 400)
    assert len(alone.boxes) == 0  # a hat without a person may hang on a nail


def test_a_helmet_in_the_hand_does_not_cover() -> None:
    held = ("hard_hat", (190.0, 230.0, 230.0, 260.0), 0.8)
    (person,) = protective_equipment(look(objects(WORKER, held), faces(FACE)))
    assert covers(person)[PartName.HEAD] == [(Cover.HEAD_COVER, False)]
    assert person.parts[-1].equipment[0].box == held[1]


def test_a_helmet_far_from_everyone_belongs_to_nobody() -> None:
    lost = ("hard_hat", (500.0, 300.0, 540.0, 330.0), 0.8)
    (person,) = protective_equipment(look(objects(WORKER, lost), faces(FACE)))
    assert covers(person)[PartName.HEAD] == []


def test_a_crop_is_cut_at_one_size_whatever_the_picture() -> None:
    pixels = np.zeros((800, 800, 3), np.uint8)
    pixels[300:500, 300:500] = 200
    for scale in (1, 4):
        large = np.ascontiguousarray(pixels.repeat(scale, 0).repeat(scale, 1))
        crop = heads.cut(large, np.array([300.0, 300.0, 500.0, 500.0]) * scale)
        assert crop.shape == (heads.SIDE, heads.SIDE, 3)
        assert (crop[2:-2, 2:-2] == 200).all()
        around = heads.cut(large, np.array([200.0, 200.0, 600.0, 600.0]) * scale)
        assert abs(float(around.mean()) - 50) < 3
    beyond = heads.cut(pixels, np.array([-400.0, -400.0, -100.0, -100.0]))
    assert beyond.shape == (heads.SIDE, heads.SIDE, 3)


def test_the_network_sees_no_detail_that_its_hats_lacked() -> None:
    shown = []

    class Keeper(HeadNetwork):
        def run(self, feeds: Any, outputs: Any) -> list[Any]:
            shown.extend(feeds["crops"])
            return super().run(feeds, outputs)

    lines = np.zeros((96, 96, 3), np.uint8)
    lines[:, ::2] = 200
    network: Any = Keeper((0.9, 0.9, 0.9, 0.9))
    heads.look(lines, np.array([[0, 0, 96, 96]], np.float32), network)
    (crop,) = shown
    assert float(np.abs(np.diff(crop[40:56, 20:76, 0].astype(int), axis=1)).max()) < 100
    assert abs(float(crop.mean()) - 100) < 5


def test_boxes_of_the_network_come_back_in_the_picture() -> None:
    network: Any = HeadNetwork((0.9, 0.9, 0.9, 0.9))
    seen = heads.look(PICTURE.pixels, np.array([[100, 100, 200, 200], [550, 350, 650, 450]], np.float32), network)
    assert seen.boxes.tolist() == [[120, 120, 180, 180], [570, 370, 600, 400]]  # ends with the picture
    assert seen.hat_boxes[0].tolist() == pytest.approx([120, 120, 180, 145])
    assert len(heads.look(PICTURE.pixels, np.zeros((0, 4), np.float32), network)) == 0


# --- hands ------------------------------------------------------------------------------------------------------------


def test_without_a_model_of_hands_no_hand_is_listed() -> None:
    (person,) = protective_equipment(look(objects(WORKER), faces(FACE)))
    assert not {part.name for part in person.parts} & {PartName.LEFT_HAND, PartName.RIGHT_HAND}


@pytest.mark.parametrize("facing", [True, False])
def test_a_model_of_hands_gives_each_hand_its_side(facing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (hands.BARE, hands.GLOVE)
    seen = objects((hands.GLOVE, (185, 200, 205, 220), 0.9), (hands.BARE, (95, 200, 115, 220), 0.8), names=names)
    monkeypatch.setattr(hands, "detect_objects", lambda picture, runtime, *, model: seen)
    worker = look(objects(WORKER), faces(FACE) if facing else faces(), (0.99, 0.9, 0.01, 0.5), catalogue=(hands.HANDS,))
    (person,) = protective_equipment(worker)
    gloved, bare = (PartName.LEFT_HAND, PartName.RIGHT_HAND) if facing else (PartName.RIGHT_HAND, PartName.LEFT_HAND)
    assert covers(person)[gloved] == [(Cover.HAND_COVER, True)]
    assert covers(person)[bare] == []
    assert [part.name for part in person.parts][-1] is PartName.HEAD


# --- the operation ----------------------------------------------------------------------------------------------------


def ask(size: tuple[int, int], *, profile: Profile = Profile.AWS, padding: int = 0, **more: Any) -> Any:
    buffer = io.BytesIO()
    Image.new("RGB", size, (128, 128, 128)).save(buffer, "JPEG")
    request = {"Image": {"Bytes": buffer.getvalue() + bytes(padding)}, **more}
    services: Any = SimpleNamespace(settings=Settings(profile=profile), runtime=None, objects=None, decoding=None)
    call = Call("DetectProtectiveEquipment", "id", Caller("key", "000000000000", "us-east-1"), request)
    return service.detect(request, call, services)


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> None:
    helmet = Equipment(Cover.HEAD_COVER, (10, 0, 30, 20), 0.9, True, 0.8)
    worn = BodyPart(PartName.HEAD, 0.95, (helmet,))
    people = (ProtectedPerson((0, 0, 50, 100), 0.99, (worn,)), ProtectedPerson((50, 0, 100, 100), 0.6, ()))
    monkeypatch.setattr(service, "protective_equipment", lambda look: people)


@pytest.mark.usefixtures("staged")
def test_the_answer_has_ratios_and_percent() -> None:
    answer = ask((100, 100))
    assert answer["ProtectiveEquipmentModelVersion"] == "1.0"
    first, second = answer["Persons"]
    assert (first["Id"], second["Id"]) == (0, 1)
    assert first["BoundingBox"] == {"Left": 0, "Top": 0, "Width": 0.5, "Height": 1}
    ((part,), ()) = (first["BodyParts"], second["BodyParts"])
    (item,) = part["EquipmentDetections"]
    assert item["BoundingBox"] == pytest.approx({"Left": 0.1, "Top": 0, "Width": 0.2, "Height": 0.2})
    assert (part["Confidence"], item["Confidence"]) == (95, 90)
    assert item["CoversBodyPart"] == {"Value": True, "Confidence": 80}
    assert "Summary" not in answer


@pytest.mark.usefixtures("staged")
def test_the_summary_comes_when_asked_for() -> None:
    wanted = {"MinConfidence": 75.0, "RequiredEquipmentTypes": ["HEAD_COVER"]}
    assert ask((100, 100), SummarizationAttributes=wanted)["Summary"] == {
        "PersonsWithRequiredEquipment": [0],
        "PersonsWithoutRequiredEquipment": [],
        "PersonsIndeterminate": [1],
    }


@pytest.mark.usefixtures("staged")
@pytest.mark.parametrize(("types", "part"), [([], "at least one"), (["FACE_COVER", "FACE_COVER"], "twice")])
def test_required_types_that_make_no_sense(types: list[str], part: str) -> None:
    with pytest.raises(InvalidParameterException, match=part):
        ask((100, 100), SummarizationAttributes={"MinConfidence": 75.0, "RequiredEquipmentTypes": types})


@pytest.mark.usefixtures("staged")
def test_limits_of_size() -> None:
    with pytest.raises(InvalidParameterException, match="at least 64"):
        ask((60, 60))
    assert ask((64, 64))["Persons"]
    assert ask((4096, 64))["Persons"]
    with pytest.raises(ImageTooLargeException, match="4096"):
        ask((4097, 64))
    assert ask((4097, 64), profile=Profile.RELAXED)["Persons"]
    with pytest.raises(ImageTooLargeException, match="4,194,304"):
        ask((100, 100), padding=4 * 1024 * 1024)

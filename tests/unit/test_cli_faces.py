"""`openrek faces`: names of photos, indexing with resume, searching, the contact sheet; faces come from a stand-in."""

import hashlib
import io
import json
import re
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from openrek.cli.common import UserError
from openrek.cli.contact_sheet import TILE, contact_sheet, face_crop
from openrek.cli.detect import LOCAL_FILE_LIMIT
from openrek.cli.faces import external_image_id
from openrek.cli.main import app
from openrek.service import face_index
from openrek.service.face_index import image_id_of
from openrek.store.errors import StoreError
from openrek.store.faces import Faces as FaceStore
from openrek.vision.faces import Faces
from openrek.vision.image import ImageError, Picture

ALLOWED = re.compile(r"[a-zA-Z0-9_.\-:]{1,255}")


class Looker:
    """Stands in for detector and embedder: a face in the middle of pictures that are not black."""

    def __init__(self) -> None:
        self.looked = 0

    def detect(self, picture: Picture, runtime: object, *, max_faces: int = 100) -> Faces:
        self.looked += 1
        count = int(picture.pixels.max() > 40)
        box = [picture.width / 4, picture.height / 4, picture.width * 3 / 4, picture.height * 3 / 4]
        return Faces(
            boxes=np.array([box] * count, np.float32).reshape(count, 4),
            confidences=np.full(count, 0.99, np.float32),
            landmarks=np.zeros((count, 5, 2), np.float32),
            pose=np.zeros((count, 3), np.float32),
            brightness=np.full(count, 60, np.float32),
            sharpness=np.full(count, 80, np.float32),
        )

    def embed(self, picture: Picture, faces: Faces, runtime: object, *, model: str, thirty: Any = None) -> Any:
        return np.ones((len(faces), 128), np.float32)


@pytest.fixture
def looker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Looker:
    looker = Looker()
    monkeypatch.setattr(face_index, "detect_faces", looker.detect)
    monkeypatch.setattr(face_index, "embed_faces", looker.embed)
    monkeypatch.setenv("OPENREK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENREK_OFFLINE", "1")
    return looker


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (200, 160)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "2024").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(jpeg((250, 0, 0)))
    (folder / "2024" / "a.jpg").write_bytes(jpeg((0, 250, 0)))
    (folder / "Zoë 1.jpg").write_bytes(jpeg((0, 0, 250)))
    (folder / "dark.jpg").write_bytes(jpeg((0, 0, 0)))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return folder


def call(*words: str | Path, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["faces", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def index(album: Path, *more: str, status: int = 1) -> dict[str, int]:
    answer: dict[str, int] = json.loads(call("index", album, "-c", "c", "--json", *more, status=status).stdout)
    return answer


@pytest.mark.parametrize(
    ("path", "expected"), [("a.jpg", "a.jpg"), ("2024/may/IMG_1-b.jpg", "2024:may:IMG_1-b.jpg"), (".x", ".x")]
)
def test_plain_paths_are_their_own_ids(path: str, expected: str) -> None:
    assert external_image_id(PurePath(path)) == expected


@pytest.mark.parametrize(
    "path", ["Zoë.jpg", "a b/c.jpg", "a:b.jpg", "x" * 400 + ".jpg", "愛.png", "n\udcff.jpg", "é" * 200]
)
def test_other_paths_keep_digits_of_their_own(path: str) -> None:
    made = external_image_id(PurePath(path))
    assert ALLOWED.fullmatch(made)
    assert hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:8] in made
    assert made.endswith(PurePath(path).suffix)


def test_paths_that_look_alike_have_different_ids() -> None:
    paths = ["a/b.jpg", "a:b.jpg", "a_b.jpg", "a b.jpg", "a\tb.jpg", "y" * 300 + "1.jpg", "y" * 300 + "2.jpg"]
    assert len({external_image_id(PurePath(path)) for path in paths}) == len(paths)


def test_a_folder_is_indexed_and_a_second_time_skipped(looker: Looker, album: Path) -> None:
    assert index(album, "--create") == {
        "Photos": 5, "Indexed": 3, "Known": 0, "NoFace": 1, "Failed": 1, "FacesIndexed": 3
    }  # fmt: skip
    assert looker.looked == 4
    (album / "new.jpg").write_bytes(jpeg((200, 200, 0)))
    assert index(album) == {"Photos": 6, "Indexed": 1, "Known": 3, "NoFace": 1, "Failed": 1, "FacesIndexed": 1}
    assert looker.looked == 5  # the new one alone
    (album / "a.jpg").write_bytes(jpeg((1, 2, 200)))  # other bytes under the old name
    assert index(album)["Indexed"] == 1


def test_a_photo_without_a_face_is_not_looked_at_again_for_the_same(
    looker: Looker, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(*more: str) -> int:
        before = looker.looked
        assert index(album, *more)["NoFace"] == 1
        return looker.looked - before

    looked("--create")
    assert looked() == 0
    assert looked("--quality", "LOW") == 1
    assert looked("--quality", "LOW") == 0
    assert looked("--again") == 4
    monkeypatch.setattr("openrek.cli.faces.__version__", "another")
    assert looked() == 1
    (album / "copy.jpg").write_bytes((album / "dark.jpg").read_bytes())
    assert index(album)["NoFace"] == 2
    (album / "dark.jpg").write_bytes(jpeg((0, 0, 0), (210, 160)))  # other bytes
    before = looker.looked
    index(album)
    assert looker.looked == before + 1
    index(album, "-c", "other", "--create")  # the last -c counts; another collection knows nothing
    assert looker.looked == before + 6


def test_looking_again_adds_no_face_twice(looker: Looker, album: Path, tmp_path: Path) -> None:
    from openrek.store.database import Database

    index(album, "--create")
    looked = looker.looked
    assert index(album, "--again")["Known"] == 0
    assert looker.looked == 2 * looked
    database = Database.open(f"sqlite:///{tmp_path / 'home' / 'openrek.db'}")
    kept = FaceStore(database).page(1, limit=100)
    database.close()
    assert len(kept) == 3
    expected = {external_image_id(PurePath(name)) for name in ("a.jpg", "2024/a.jpg", "Zoë 1.jpg")}
    assert {face.external_image_id for face in kept} == expected


@pytest.mark.usefixtures("looker")
def test_a_broken_photo_is_named_and_the_rest_goes_on(album: Path) -> None:
    done = call("index", album, "-c", "c", "--create", status=1)
    assert "broken.jpg" in done.stderr
    assert "3 indexed" in done.stdout
    assert "1 could not be read" in done.stdout
    (album / "broken.jpg").unlink()
    call("index", album, "-c", "c")


@pytest.mark.usefixtures("looker")
def test_photos_that_hold_nothing_or_too_much_are_named_too(album: Path) -> None:
    (album / "empty.png").touch()
    with (album / "huge.tif").open("wb") as file:
        file.truncate(LOCAL_FILE_LIMIT + 1)  # a hole: it takes no room
    done = call("index", album, "-c", "c", "--create", status=1)
    assert "empty.png: it is empty" in done.stderr
    assert "huge.tif: it has more than 1,024 MiB" in done.stderr
    assert "3 indexed" in done.stdout
    for words in (
        ("search", album / "empty.png", "-c", "c"),
        ("compare", album / "empty.png", album / "a.jpg"),
        ("compare", album / "a.jpg", album / "empty.png"),
    ):
        with pytest.raises(UserError, match=r"empty\.png' cannot be read: it is empty"):
            call(*words)


@pytest.mark.usefixtures("looker")
@pytest.mark.parametrize(
    ("words", "said"),
    [(("-c", "c"), "--create makes it"), (("-c", "not valid", "--create"), "regular expression pattern")],
)
def test_a_collection_that_is_not_there_or_cannot_be(album: Path, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        call("index", album, *words)


def test_a_database_that_fails_stops_it(looker: Looker, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Any:
        raise StoreError("the disk is full")

    for number in range(150):
        (album / f"n{number}.jpg").write_bytes(jpeg((number + 60, 9, 9)))
    monkeypatch.setattr(FaceStore, "add", full)
    with pytest.raises(StoreError, match="disk is full"):
        call("index", album, "-c", "c", "--create")
    assert looker.looked < 150


def test_a_sheet_needs_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--photos"):
        call("search", "x.jpg", "-c", "c", "--sheet", tmp_path / "s.png")


# --- the contact sheet ------------------------------------------------------------------------------------------------

BOX = {"Left": 0.25, "Top": 0.25, "Width": 0.5, "Height": 0.5}
LIMIT = 100_000_000


def test_a_crop_shows_the_face_in_the_middle() -> None:
    picture = Image.new("RGB", (900, 600), (0, 0, 250))
    picture.paste((250, 0, 0), (300, 200, 400, 300))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    box = {"Left": 300 / 900, "Top": 200 / 600, "Width": 100 / 900, "Height": 100 / 600}
    crop = face_crop(buffer.getvalue(), box, LIMIT)
    assert crop.shape == (TILE, TILE, 3)
    red = crop[..., 0] > 125
    rows, columns = np.nonzero(red)
    margin = (TILE - TILE / 1.5) / 2
    for found, wanted in ((rows.min(), margin), (rows.max(), TILE - margin), (columns.min(), margin)):
        assert abs(float(found) - wanted) <= 2


@pytest.mark.parametrize("box", [{"Left": -0.1, "Top": 0.8, "Width": 0.4, "Height": 0.4}, dict.fromkeys(BOX, 0.001)])
def test_a_crop_at_the_border_or_of_next_to_nothing(box: dict[str, float]) -> None:
    assert face_crop(jpeg((250, 0, 0)), box, LIMIT).shape == (TILE, TILE, 3)


def test_a_photo_may_be_as_large_as_the_settings_say() -> None:
    buffer = io.BytesIO()
    Image.new("L", (100, 80)).save(buffer, "PNG")
    with pytest.raises(ImageError):
        face_crop(buffer.getvalue(), BOX, 7_999)
    assert face_crop(buffer.getvalue(), BOX, 8_000).shape == (TILE, TILE, 3)


def test_a_sheet_counts_what_it_cannot_show(tmp_path: Path) -> None:
    query, red, changed = jpeg((0, 0, 250)), jpeg((250, 0, 0)), jpeg((0, 250, 0))
    (tmp_path / "red.jpg").write_bytes(red)
    (tmp_path / "changed.jpg").write_bytes(changed + b"more")
    matches = [
        {"Similarity": 99.0 - n, "Face": {"ExternalImageId": name, "FaceId": name, "ImageId": id_, "BoundingBox": BOX}}
        for n, (name, id_) in enumerate(
            {"red.jpg": image_id_of(red), "changed.jpg": image_id_of(changed), "gone.jpg": image_id_of(query)}.items()
        )
    ]
    paths = {name: tmp_path / name for name in ("red.jpg", "changed.jpg", "other.jpg")}
    sheet, missing = contact_sheet("me.jpg", query, BOX, matches, paths, LIMIT)
    assert missing == 2
    pixels = np.asarray(sheet).astype(int)
    step = TILE + 16
    middles = [pixels[16 + TILE // 3, 16 + TILE // 2 + n * step] for n in range(4)]
    assert [int(middle.argmax()) for middle in middles[:2]] == [2, 0]  # the searched one is blue, its first match red
    assert all(middle.max() < 100 for middle in middles[2:])

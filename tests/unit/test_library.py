"""The photo library's file, and what a search finds in it; what was seen is given, no model runs."""

import hashlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from openrek.store.errors import StoreError
from openrek.store.library import APPLICATION, Kind, Library, Looked, Seen
from openrek.store.library_query import QueryError
from openrek.store.library_search import Hit, search, unknown_words

TAKEN = "2024-07-21T10:00:00"
ALIASES = {"Car": ("Automobile",), "Canine": ("Canidae",)}


def looked(name: str, labels: dict[str, float], **more: object) -> Looked:
    seen = [Seen(Kind.LABEL, label, confidence, ALIASES.get(label, ())) for label, confidence in labels.items()]
    seen += [Seen(Kind.COLOUR, colour, share) for colour, share in more.pop("colours", {}).items()]
    seen += [Seen(Kind.FLAG, flag, confidence) for flag, confidence in more.pop("flags", {}).items()]
    plain = {"format": "JPEG", "width": 40, "height": 30, "taken": None, "faces": 0, "text": "", "models": "m:1"}
    return Looked(hash=hashed(name), seen=tuple(seen), **(plain | more))


def hashed(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def add(library: Library, path: Path, photo: Looked) -> None:
    library.put(photo)
    library.place(path, photo.hash, 10, 20)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library.open(tmp_path / "library.db", create=True)
    photos = {
        "dog-beach.jpg": looked("1", {"Dog": 0.9, "Animal": 0.95, "Beach": 0.8}, colours={"blue": 0.5}, faces=1),
        "dog-snow.jpg": looked("2", {"Dog": 0.97, "Husky": 0.9, "Animal": 0.97, "Snow": 0.7}, taken=TAKEN),
        "cat.jpg": looked("3", {"Cat": 0.99, "Animal": 0.99}, colours={"red": 0.2, "firebrick": 0.2}, faces=2),
        "lunch.jpg": looked("4", {"Hot Dog": 0.9, "Food": 0.95}, text="Way in\nEXIT 2"),
        "street.jpg": looked("5", {"Car": 0.6, "Traffic Light": 0.8, "Light": 0.5}, colours={"red": 0.3}, faces=3),
        "toy.jpg": looked("6", {"Golden Retriever": 0.7, "Dog": 0.7, "Animal": 0.7}, flags={"Weapons": 0.8}),
        "IMG_7.jpg": looked("7", {"Dog": 0.35, "Animal": 0.4}),
    }
    for name, photo in photos.items():
        add(library, tmp_path / "album" / name, photo)
    yield library
    library.close()


def names(found: tuple[list[Hit], int]) -> list[str]:
    assert found[1] >= len(found[0])
    return [hit.paths[0].stem for hit in found[0]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("dog", ["dog-snow", "dog-beach", "toy", "IMG_7"]),  # by confidence; a hot dog is none
        ("dogs", ["dog-snow", "dog-beach", "toy", "IMG_7"]),
        ("dog beach", ["dog-beach"]),
        ("animal -dog", ["cat"]),
        ("hot dog", ["lunch"]),
        ("automobile", ["street"]),  # an alias
        ("retriever", ["toy"]),  # part of a name
        ("traffic light", ["street"]),
        ('"golden retriever"', ["toy"]),
        ('"retriever golden"', []),
        ("colour:red", ["street", "cat"]),  # by share
        ("color:firebrick", ["cat"]),
        ("red car", ["street"]),
        ("blue animal", ["dog-beach"]),
        ("text:exit", ["lunch"]),
        ('text:"way in"', ["lunch"]),
        ('text:"in way"', []),
        ("faces:2", ["cat"]),
        ("faces:2+", ["cat", "street"]),
        ("faces:0 food", ["lunch"]),
        ("flag:weapon", ["toy"]),
        ("weapons", ["toy"]),
        ("taken:2024", ["dog-snow"]),
        ("taken:2024-07-21", ["dog-snow"]),
        ("taken:2023", []),
        ("file:img", ["IMG_7"]),
        ("-animal", ["lunch", "street"]),
        ("unicorn", []),
        ("dog unicorn", []),
    ],
)
def test_a_query_finds(library: Library, query: str, expected: list[str]) -> None:
    assert names(search(library, query)) == expected


def test_weak_labels_can_be_left_out_and_the_number_is_limited(library: Library) -> None:
    assert names(search(library, "dog", least=0.5)) == ["dog-snow", "dog-beach", "toy"]
    hits, total = search(library, "dog", limit=1)
    assert (len(hits), total) == (1, 4)


def test_a_hit_says_why_and_what_else_is_there(library: Library) -> None:
    ((hit, *_), _) = search(library, "husky snow")
    assert hit.why == ("Husky 90%", "Snow 70%")
    assert hit.score == pytest.approx(0.8)
    assert dict(hit.labels)["Animal"] == pytest.approx(0.97)
    assert (hit.width, hit.height, hit.taken) == (40, 30, TAKEN)
    assert search(library, "exit")[0][0].why == ("says “Way in EXIT 2”",)


def test_words_without_a_match_come_with_names_like_them(library: Library) -> None:
    assert unknown_words(library, "huksy dog") == {"huksy": ["Husky"]}
    assert unknown_words(library, "dog") == {}


@pytest.mark.parametrize("query", ["'; DROP TABLE seen; --", "a' OR 1=1", "NEAR(a b)", "dog AND (cat", "cat*"])
def test_operators_of_the_engine_are_words(library: Library, query: str) -> None:
    with suppress(QueryError):  # a bracket alone is no word
        search(library, query)
    assert names(search(library, "cat")) == ["cat"]


def test_a_second_look_replaces_the_first(library: Library, tmp_path: Path) -> None:
    add(library, tmp_path / "album" / "cat.jpg", looked("3", {"Lynx": 0.8}, text="zoo", models="m:2"))
    assert names(search(library, "cat")) == ["cat"]  # by its file's name alone
    assert search(library, "cat")[0][0].score < 0.6
    assert names(search(library, "lynx zoo")) == ["cat"]
    assert library.models_of(hashed("3")) == "m:2"
    assert library.counts() == (7, 7)


def test_a_moved_file_keeps_its_picture_and_a_copy_shares_it(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("old.jpg", "copy.jpg", "new.jpg"))
    with Library.open(tmp_path / "l.db", create=True) as library:
        first.write_bytes(b"1")
        add(library, first, looked("1", {"Dog": 0.9}))
        second.write_bytes(b"1")
        assert library.place(second, hashed("1"), 1, 1) == ()
        first.unlink()
        third.write_bytes(b"1")
        assert library.place(third, hashed("1"), 1, 1) == (first,)
        ((hit,), _) = search(library, "dog")
        assert hit.paths == (second, third)
        assert names(search(library, "file:old")) == []
        assert library.forget([second, third, first]) == 2
        assert library.counts() == (0, 0)
        assert search(library, "dog") == ([], 0)
        assert library.rows("SELECT count(*) FROM seen") == library.rows("SELECT count(*) FROM words") == [(0,)]


def test_files_below_a_folder_and_no_neighbour(tmp_path: Path) -> None:
    inside, deeper, beside = tmp_path / "a" / "x.jpg", tmp_path / "a" / "b" / "\udcff.jpg", tmp_path / "a-b" / "x.jpg"
    with Library.open(tmp_path / "l.db", create=True) as library:
        for number, path in enumerate((inside, deeper, beside)):
            add(library, path, looked(str(number), {"Dog": 0.5}))
        assert set(library.files_below(tmp_path / "a")) == {inside, deeper}
        assert set(library.files_below(Path("/"))) == {inside, deeper, beside}


def test_a_file_whose_picture_is_not_known_is_refused(library: Library, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not know"):
        library.place(tmp_path / "x.jpg", hashed("new"), 1, 1)
    assert library.counts() == (7, 7)


def test_the_file_is_private_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "new" / "l.db"
    Library.open(path, create=True).close()
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="openrek index FOLDER"):
        Library.open(tmp_path / "none.db")
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE mine (a)")
    with pytest.raises(StoreError, match="no photo library"):
        Library.open(other, create=True)
    (tmp_path / "text.db").write_text("this is no database at all, but a text of some length" * 40)
    with pytest.raises(StoreError, match="cannot be used"):
        Library.open(tmp_path / "text.db", create=True)
    newer = tmp_path / "newer.db"
    Library.open(newer, create=True).close()
    with closing(sqlite3.connect(newer, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer openrek"):
        Library.open(newer)


def test_two_processes_can_make_one_file(tmp_path: Path) -> None:
    def work(number: int) -> None:
        with Library.open(tmp_path / "l.db", create=True) as library:
            for each in range(10):
                add(library, tmp_path / f"{number}-{each}.jpg", looked(f"{number}-{each}", {"Dog": 0.5}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    with Library.open(tmp_path / "l.db") as library:
        assert library.counts() == (40, 40)

"""`openrek index` and `openrek search`: resume, moves, broken files, kill -9; a stand-in looks at the photos."""

import errno
import io
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from openrek.cli import library_look
from openrek.cli.common import UserError
from openrek.cli.library import find_files, read_file
from openrek.cli.main import app
from openrek.store.library import Kind, Looked, Seen
from openrek.vision.image import UnreadableImageError


class Looker:
    """Stands in for the models: a dog in every picture that is not broken."""

    looked: list[bytes]
    models = "stand-in:1"

    def __init__(self, services: object) -> None:
        pass

    def __call__(self, data: bytes, hash: bytes) -> Looked:
        if b"no picture" in data:
            raise UnreadableImageError("the JPEG is truncated")
        self.looked.append(data)
        seen = (Seen(Kind.LABEL, "Dog", 0.9, ("Hound",)), Seen(Kind.COLOUR, "red", 0.5))
        return Looked(hash, "JPEG", 40, 30, "2024-07-21T10:00:00", 1, "EXIT", seen, self.models)


@pytest.fixture
def looker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Looker]:
    monkeypatch.setattr(library_look, "Looker", Looker)
    monkeypatch.setattr(Looker, "looked", [], raising=False)
    monkeypatch.setattr(Looker, "models", "stand-in:1")
    monkeypatch.setenv("OPENREK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENREK_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "400")
    return Looker


def jpeg(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (red, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "2024").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(jpeg(250))
    (folder / "2024" / "b.JPG").write_bytes(jpeg(200))
    (folder / "copy.jpg").write_bytes(jpeg(250))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (folder / "notes.txt").write_text("dog")
    return folder


def call(*words: str | Path, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def index(album: Path, *more: str) -> dict[str, int]:
    answer: dict[str, int] = json.loads(call("index", album, "--json", *more).stdout)
    return answer


def found(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in call("search", *words, "--json").stdout.splitlines()]


def test_a_folder_becomes_searchable(looker: type[Looker], album: Path) -> None:
    answer = index(album)
    assert answer["Files"] == 4
    assert answer["Failed"] == 1
    assert (answer["LibraryFiles"], answer["LibraryPictures"]) == (3, 2)
    (first, second) = sorted(found("hound"), key=lambda hit: len(hit["Files"]))
    assert first["Files"] == [str(album / "2024" / "b.JPG")]
    assert second["Files"] == [str(album / "a.jpg"), str(album / "copy.jpg")]
    assert first["Labels"] == [{"Name": "Dog", "Confidence": 90.0}]
    assert (first["Faces"], first["Text"], first["Taken"]) == (1, "EXIT", "2024-07-21T10:00:00")


def test_a_broken_file_is_named_and_nothing_more(looker: type[Looker], album: Path) -> None:
    done = call("index", album)
    assert "broken.jpg" in done.stderr
    assert "truncated" in done.stderr
    assert "1 could not be read" in done.stdout


def test_a_second_time_only_what_is_new_or_changed_is_read(looker: type[Looker], album: Path) -> None:
    index(album)
    looker.looked.clear()
    assert index(album)["Known"] == 3
    assert looker.looked == []
    (album / "new.png").write_bytes(jpeg(100))
    (album / "a.jpg").write_bytes(jpeg(50))
    answer = index(album)
    assert (answer["Looked"], answer["Known"]) == (2, 2)
    assert sorted(looker.looked) == sorted([jpeg(100), jpeg(50)])


def test_moved_files_are_recognised_and_removed_ones_leave(looker: type[Looker], album: Path) -> None:
    index(album)
    looker.looked.clear()
    (album / "2024" / "b.JPG").rename(album / "moved.jpg")
    (album / "copy.jpg").unlink()
    answer = index(album)
    assert (answer["Looked"], answer["Moved"], answer["Removed"]) == (0, 1, 1)
    assert looker.looked == []
    assert sorted(hit["Files"][0] for hit in found("dog")) == [str(album / "a.jpg"), str(album / "moved.jpg")]


def test_a_folder_that_moved_as_a_whole_needs_no_look(looker: type[Looker], album: Path) -> None:
    index(album)
    looker.looked.clear()
    album.rename(album.parent / "photos")
    assert index(album.parent / "photos")["Looked"] == 0
    assert looker.looked == []
    assert all("photos" in path for hit in found("dog") for path in hit["Files"])


def test_a_photo_that_broke_leaves_the_library(looker: type[Looker], album: Path) -> None:
    index(album)
    (album / "2024" / "b.JPG").write_bytes(b"\xff\xd8 no picture any more")
    assert index(album)["LibraryPictures"] == 1


def test_an_emptied_folder_leaves_the_library(looker: type[Looker], album: Path) -> None:
    index(album)
    for path in (*album.glob("*.jpg"), *album.glob("*/*.JPG")):
        path.unlink()
    done = call("index", album)
    assert "0 photos; 3 left the library" in done.stdout
    assert found("file:copy") == []


def test_a_folder_that_is_gone_leaves_when_it_is_told_to(looker: type[Looker], album: Path, tmp_path: Path) -> None:
    mine = tmp_path / "my library.db"
    call("index", album, "--index", mine)
    album.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="has 3 photos of it") as caught:
        call("index", album, "--index", mine)
    _, _, command = str(caught.value).partition("to forget them: ")
    assert "3 photos left the library" in call(*shlex.split(command)[1:]).stdout
    assert "none of 0 pictures" in call("search", "dog", "--index", mine).stdout
    with pytest.raises(UserError, match="has no photos of"):
        call("index", "--forget", album, "--index", mine)
    with pytest.raises(UserError, match=r"is not a folder$"):
        call("index", album, "--index", mine)


def test_a_folder_that_is_there_may_leave_too(looker: type[Looker], album: Path) -> None:
    index(album)
    answer = index(album / "2024", "--forget")
    assert answer == {"Removed": 1, "LibraryFiles": 2, "LibraryPictures": 1}
    assert (album / "2024" / "b.JPG").exists()


def test_only_regular_files_are_photos(looker: type[Looker], album: Path) -> None:
    os.mkfifo(album / "pipe.jpg")
    (album / "zero.jpg").symlink_to("/dev/zero")
    (album / "link.jpg").symlink_to(album / "a.jpg")
    files, unread, closed = find_files(album)
    assert [file.path.name for file in files] == ["a.jpg", "broken.jpg", "copy.jpg", "link.jpg", "b.JPG"]
    assert not unread
    assert not closed


def test_no_more_is_read_of_a_file_than_it_had(album: Path) -> None:
    (file, *_), _, _ = find_files(album)
    assert read_file(file) == jpeg(250)
    with file.path.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(OSError, match="written to while"):
        read_file(file)


def test_every_photo_is_counted_once(looker: type[Looker], album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (album / "copy.jpg").unlink()
    (album / "dangling.jpg").symlink_to(album / "nothing.jpg")
    (album / "locked").mkdir()
    scandir = os.scandir

    def guarded(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    done = call("index", album)
    assert "4 photos: 2 looked at, 2 could not be read; 1 folder could" in done.stdout
    answer = index(album)
    assert (answer["Files"], answer["Known"], answer["Failed"], answer["FailedFolders"]) == (4, 2, 2, 1)


def test_indexing_one_folder_leaves_the_others(looker: type[Looker], album: Path, tmp_path: Path) -> None:
    index(album)
    other = tmp_path / "album-2"
    other.mkdir()
    (other / "x.jpg").write_bytes(jpeg(10))
    answer = index(other)
    assert (answer["Removed"], answer["LibraryPictures"]) == (0, 3)


def test_newer_models_are_told_and_look_again_when_asked(
    looker: type[Looker], album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(album)
    monkeypatch.setattr(Looker, "models", "stand-in:2")
    looker.looked.clear()
    assert "--again" in call("index", album).stdout
    assert looker.looked == []
    answer = index(album, "--again")
    assert (answer["ByOtherModels"], len(looker.looked)) == (0, answer["Looked"])
    assert {*looker.looked} == {jpeg(250), jpeg(200)}
    looker.looked.clear()
    assert index(album, "--again")["Known"] == 3
    assert looker.looked == []


def test_a_file_of_its_own_for_the_index(looker: type[Looker], album: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "mine.db"
    call("index", album, "--index", target)
    assert target.stat().st_mode & 0o777 == 0o600
    assert "2 of 2 pictures" in call("search", "dog", "--index", target).stdout
    assert not (tmp_path / "home" / "library.db").exists()


def test_the_table_says_why_and_the_sheet_shows_it(looker: type[Looker], album: Path, tmp_path: Path) -> None:
    index(album)
    done = call("search", "red", "dog", "--sheet", tmp_path / "sheet.jpg")
    assert "a.jpg" in done.stdout
    assert "red 50%, Dog 90%" in done.stdout
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        colours = {sheet.getpixel((116 + 216 * column, 116)) for column in range(2)}
    assert all(isinstance(colour, tuple) and colour[0] > 150 and max(colour[1:]) < 60 for colour in colours)
    (album / "2024" / "b.JPG").unlink()
    assert "1 of these photos" in call("search", "dog", "--sheet", tmp_path / "sheet.jpg").stderr


def test_words_with_a_minus_are_no_options(looker: type[Looker], album: Path) -> None:
    index(album)
    assert "none of 2 pictures" in call("search", "red", "-hound").stdout
    assert "none of 2 pictures" in call("search", "-hound").stdout


def test_nothing_found_is_explained(looker: type[Looker], album: Path) -> None:
    index(album)
    assert "nothing here is “doog”; there is Dog" in call("search", "doog").stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("index", "none"), "is not a folder"),
        (("index", "empty"), "no photos in"),
        (("search", "dog"), "openrek index FOLDER"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    looker: type[Looker], tmp_path: Path, words: tuple[str, str], part: str
) -> None:
    from openrek.cli.common import foreseeable

    (tmp_path / "empty").mkdir()
    with pytest.raises(foreseeable(), match=part):
        call(words[0], tmp_path / words[1] if words[0] == "index" else words[1])


def test_a_query_without_sense_is_one_sentence(looker: type[Looker], album: Path) -> None:
    index(album)
    with pytest.raises(UserError, match="does not close"):
        call("search", '"dog')


SLOW = """
import sys, time
from openrek.cli import library_look
from openrek.cli.main import main
from openrek.store.library import Kind, Looked, Seen

class Looker:
    models = "stand-in:1"
    def __init__(self, services): pass
    def __call__(self, data, hash):
        time.sleep(0.03)
        return Looked(hash, "JPEG", 40, 30, None, 0, "", (Seen(Kind.LABEL, "Dog", 0.9),), self.models)

library_look.Looker = Looker
main()
"""


def test_killed_at_any_moment_it_goes_on_where_it_was(looker: type[Looker], tmp_path: Path) -> None:
    album = tmp_path / "album"
    album.mkdir()
    for number in range(60):
        (album / f"{number}.jpg").write_bytes(jpeg(number * 4) + bytes([number]))
    target = tmp_path / "home" / "library.db"
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SLOW), "index", str(album)])
    deadline = time.monotonic() + 60
    while _pictures(target) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    done = _pictures(target)
    assert 5 <= done < 60
    answer = index(album)
    assert answer["LibraryPictures"] == answer["LibraryFiles"] == 60
    assert answer["Known"] + answer["Copy"] + len(looker.looked) == 60
    assert done - 1 <= answer["Known"] + answer["Copy"] <= done
    assert len(found("dog", "--max", "100")) == 60


def _pictures(target: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM pictures").fetchone()[0])
    except sqlite3.Error:
        return 0

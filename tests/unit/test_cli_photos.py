"""Photos named on a command line, and where their drawings go."""

from pathlib import Path

import pytest

from openrek.cli.common import UserError
from openrek.cli.photos import drawing_targets, find_photos


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "sub/c.heic", "notes.txt"):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "album"


def names(paths: list[Path], album: Path) -> list[str]:
    return [str(path.relative_to(album)) for path in paths]


def test_a_folder_is_searched_through(album: Path) -> None:
    assert names(find_photos([str(album)]), album) == ["a.PNG", "b.jpg", "sub/c.heic"]


def test_a_glob_and_a_file_of_any_name(album: Path) -> None:
    found = find_photos([str(album / "*.jpg"), str(album / "notes.txt"), str(album / "b.jpg")])
    assert names(found, album) == ["b.jpg", "notes.txt"]
    assert names(find_photos([str(album / "**" / "*.heic")]), album) == ["sub/c.heic"]


def test_what_is_not_there_is_said(album: Path) -> None:
    with pytest.raises(UserError, match="nothing-here"):
        find_photos([str(album / "nothing-here*.jpg")])
    (album / "empty").mkdir()
    with pytest.raises(UserError, match="no photos in"):
        find_photos([str(album / "empty")])


def test_one_photo_is_drawn_into_the_file_named(tmp_path: Path) -> None:
    assert drawing_targets([Path("x/a.jpg")], tmp_path / "out.png") == {Path("x/a.jpg"): tmp_path / "out.png"}


def test_many_photos_are_drawn_into_a_folder_without_writing_over(tmp_path: Path) -> None:
    photos = [Path("x/a.jpg"), Path("y/a.png"), Path("b.jpg")]
    targets = drawing_targets(photos, tmp_path / "out")
    assert [targets[photo].name for photo in photos] == ["a.png", "a-2.png", "b.png"]
    assert (tmp_path / "out").is_dir()


def test_a_file_that_can_be_no_picture_is_refused_first(tmp_path: Path) -> None:
    photo = [Path("a.jpg")]
    for name in ("out.xyz", "out.txt", "out.xbm"):  # the last holds black and white only
        with pytest.raises(UserError, match=rf"no picture can be written as \{Path(name).suffix}: name a file .png"):
            drawing_targets(photo, tmp_path / name)
    assert drawing_targets(photo, tmp_path / "OUT.JPG") == {photo[0]: tmp_path / "OUT.JPG"}
    with pytest.raises(UserError, match=r"there is no folder .*gone to write out.png to"):
        drawing_targets(photo, tmp_path / "gone" / "out.png")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            UserError, match=r"folder .*file.* for drawings cannot be made: (File exists|Not a directory)"
        ):
            drawing_targets([Path("a.jpg"), Path("b.jpg")], target)

"""Photos named on a command line: files, folders (searched through) and globs."""

import glob
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from openrek.cli.common import UserError

SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".heic", ".heif", ".avif", ".gif", ".tif", ".tiff", ".bmp")
)
"""What a folder is searched for; a file named by itself is read whatever its name."""


def find_photos(names: Sequence[str]) -> list[Path]:
    """The photos behind the names, each once, in the order given and sorted inside a folder or glob.

    Raises UserError for a name that is nothing, and when no photo is found at all.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES and p.is_file())
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True)) if Path(match).is_file()]
            if not matches:
                raise UserError(f"there is no file, folder or match for {name!r}")
            found.update(dict.fromkeys(matches))
    if not found:
        raise UserError(f"no photos in {', '.join(names)} (looked for {', '.join(sorted(SUFFIXES))})")
    return list(found)


def drawing_targets(photos: Sequence[Path], target: Path) -> dict[Path, Path]:
    """Where each photo's drawing goes: `target` itself for one photo, else PNG files in the folder `target`.

    Photos of the same name in different folders get a number, so that none is written over. Raises UserError where no
    picture can be written there.
    """
    if len(photos) == 1 and not target.is_dir() and target.suffix:
        _check_picture_file(target)
        return {photos[0]: target}
    make_folder(target)
    targets: dict[Path, Path] = {}
    taken: set[str] = set()
    for photo in photos:
        name, number = photo.stem, 2
        while name in taken:
            name, number = f"{photo.stem}-{number}", number + 1
        taken.add(name)
        targets[photo] = target / f"{name}.png"
    return targets


def make_folder(folder: Path) -> None:
    """Make the folder for drawings where it is not there. Raises UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} for drawings cannot be made: {error.strerror or error}") from error


def _check_picture_file(target: Path) -> None:
    from PIL import Image

    try:
        Image.new("RGB", (8, 8)).save(io.BytesIO(), Image.registered_extensions()[target.suffix.lower()])
    except (KeyError, OSError, ValueError) as error:
        raise UserError(f"no picture can be written as {target.suffix}: name a file .png, .jpg or .webp") from error
    if not target.parent.is_dir():
        raise UserError(f"there is no folder {target.parent} to write {target.name} to")

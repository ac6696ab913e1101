"""People for the gallery from files: a folder a person, or a CSV table."""

import csv
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from openrek.cli.common import UserError
from openrek.cli.photos import SUFFIXES
from openrek.service.celebrity_photos import Entry, Photo
from openrek.store.celebrities import GENDERS, Person


def _parted(value: object) -> object:
    return [part for part in re.split(r"[;\s]+", value) if part] if isinstance(value, str) else value


class Facts(BaseModel):
    """The keys of person.toml; a CSV table has these columns and `photos`. An empty text says nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True)

    name: Annotated[str, Field(min_length=1)]
    id: str | None = None
    wikidata: str | None = None
    imdb: str | None = None
    urls: Annotated[list[str], BeforeValidator(_parted)] = []
    gender: str | None = None
    source: str | None = None
    licence: str | None = None
    consent: str | None = None
    attribution: str | None = None


# --- folders and tables -----------------------------------------------------------------------------------------------


def read_entries(path: Path) -> list[Entry]:
    """The people of a folder (one folder a person) or a CSV table. Raises UserError that names file and problem."""
    if path.is_dir():
        folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
        entries = [_folder_entry(folder) for folder in folders]
        if not entries:
            raise UserError(f"{path} has no folders; make one for each person, with photos inside")
        return entries
    if path.suffix.lower() == ".csv":
        return _table_entries(path)
    raise UserError(f"{path} is neither a folder, nor a .csv table, nor a gallery exported as .jsonl")


def _folder_entry(folder: Path) -> Entry:
    facts: Mapping[str, Any] = {}
    file = folder / "person.toml"
    if file.exists():
        try:
            facts = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{file} cannot be read: {error}") from error
    photos = [photo for photo in sorted(folder.rglob("*")) if photo.suffix.lower() in SUFFIXES and photo.is_file()]
    return _entry({"name": folder.name.replace("_", " "), **facts}, photos, str(file))


def _table_entries(table: Path) -> list[Entry]:
    entries = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or []
            if not {"name", "photos"} <= set(columns):
                raise UserError(f"{table} needs the columns name and photos; its first line has {', '.join(columns)}")
            for row in rows:
                where = f"{table}, line {rows.line_num}"
                if None in row:
                    raise UserError(f"{where}: more fields than columns; put those with commas in quotes")
                if not any(value and value.strip() for value in row.values()):  # spreadsheets leave such rows behind
                    continue
                names = [name.strip() for name in (row.pop("photos") or "").split(";") if name.strip()]
                photos = [photo for name in names for photo in _photos(table.parent, name, where)]
                entries.append(_entry({key: value for key, value in row.items() if value}, photos, where))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} cannot be read: {error}") from error
    return entries


def _photos(base: Path, name: str, where: str) -> list[Path]:
    path = base / name
    if path.is_dir():
        return [photo for photo in sorted(path.rglob("*")) if photo.suffix.lower() in SUFFIXES and photo.is_file()]
    if path.is_file():
        return [path]
    try:
        found = [match for match in sorted(base.glob(name)) if match.is_file()] if not Path(name).is_absolute() else []
    except ValueError as error:
        raise UserError(f"{where}: {name!r} is no pattern: {error}") from error
    if not found:
        raise UserError(f"{where}: there is no photo, folder or match for {name!r}")
    return found


def _entry(given: Mapping[str, Any], photos: Iterable[Path], where: str) -> Entry:
    facts = _facts(given, where)
    addresses = [without_scheme(url) for url in facts.urls]
    wikidata = facts.wikidata or _wikidata_of(addresses)
    source, licence, attribution = facts.source or None, facts.licence or None, facts.attribution or None
    try:
        urls = [*standard_urls(facts.imdb or None, wikidata), *(url for url in addresses if url)]
        person = Person(
            facts.name,
            tuple(dict.fromkeys(urls)),
            gender(facts.gender),
            wikidata,
            source,
            licence,
            facts.consent or None,
        )
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    return Entry(person, [Photo(str(p), p.read_bytes, source, licence, attribution) for p in photos], facts.id or None)


def _facts(given: Mapping[str, Any], where: str) -> Facts:
    unknown = sorted(set(given) - set(Facts.model_fields))
    if unknown:
        known = ", ".join(Facts.model_fields)
        raise UserError(f"{where}: unknown {', '.join(map(repr, unknown))}; known are {known}")
    try:
        return Facts.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        raise UserError(f"{where}: {problem['loc'][0]}: {problem['msg']}") from error


def standard_urls(imdb: str | None, wikidata: str | None) -> list[str]:
    """The addresses that stand for an IMDb and a Wikidata id. Raises ValueError for an IMDb id that is none."""
    if imdb is not None and not re.fullmatch(r"nm\d{1,12}", imdb):
        raise ValueError(f"{imdb!r} is no IMDb id of a person (such as nm0010930)")
    urls = [f"www.imdb.com/name/{imdb}"] if imdb else []
    return [*urls, f"www.wikidata.org/wiki/{wikidata}"] if wikidata else urls


def without_scheme(url: object) -> str:
    """An address as the gallery keeps it: without `https://`."""
    return re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://", "", str(url).strip())


def gender(text: str | None) -> str | None:
    """One of GENDERS in any case; empty is unknown. Raises ValueError."""
    if not text:
        return None
    for name in GENDERS:
        if text.lower() == name.lower():
            return name
    raise ValueError(f"the gender {text!r} is none of {', '.join(GENDERS)}")


def _wikidata_of(urls: Iterable[str]) -> str | None:
    for url in urls:
        found = re.fullmatch(r"(?:www\.|m\.)?wikidata\.org/(?:wiki|entity)/(Q[1-9]\d*)", url)
        if found:
            return found.group(1)
    return None

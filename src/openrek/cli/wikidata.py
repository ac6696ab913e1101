"""People from Wikidata and their free-licence portraits from Wikimedia Commons.

Names, IMDb ids (P345), gender (P21) and portraits (P18) come from Wikidata's `wbgetentities`; where a portrait lies,
who made it and its licence from Commons' `imageinfo` with `extmetadata`. Requests follow Wikimedia's rules for robots:
a User-Agent with a contact, one request at a time at a limited rate, `maxlag`, and Retry-After obeyed.
"""

import email.utils
import html
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests

from openrek import __version__
from openrek.cli.celebrity_files import standard_urls
from openrek.cli.common import UserError
from openrek.service.celebrity_photos import Entry, Photo
from openrek.settings import MIB
from openrek.store.celebrities import Person

WIKIDATA: Final = "https://www.wikidata.org/w/api.php"
COMMONS: Final = "https://commons.wikimedia.org/w/api.php"
UPLOADS: Final = "https://upload.wikimedia.org/"
SPARQL: Final = "https://query.wikidata.org/sparql"

BATCH: Final = 50
"""Entities or files a request: the most that the APIs allow."""

WIDTH: Final = 1024
MAX_PHOTO: Final = 25 * MIB
ATTEMPTS: Final = 6
_TIMEOUT: Final = (10, 60)

_HUMAN: Final = "Q5"
_GENDERS: Final = {
    "Q6581097": "Male",
    "Q2449503": "Male",  # trans man
    "Q6581072": "Female",
    "Q1052281": "Female",  # trans woman
    "Q48270": "Nonbinary",
}
_FREE: Final = re.compile(r"(cc0|cc-zero|pd|cc-by(-sa)?(-|$)|fal|gfdl|attribution|ogl|kogl|dl-de)", re.IGNORECASE)
_RESTRICTED: Final = re.compile(r"(^|[-\s])(nc|nd)([-\s]|$)|fair.?use|non.?free", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Endpoints:
    wikidata: str = WIKIDATA
    commons: str = COMMONS
    uploads: str = UPLOADS
    sparql: str = SPARQL


class Wikimedia:
    """A polite client: at most `rate` requests a second, retries with Retry-After or growing waits.

    contact: an e-mail or web address of whoever runs this, which Wikimedia asks for. sleep: for tests.
    """

    def __init__(
        self,
        contact: str,
        *,
        endpoints: Endpoints | None = None,
        rate: float = 2.0,
        language: str = "en",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._endpoints = endpoints or Endpoints()
        self._language = language
        self._interval = 1 / rate
        self._sleep = sleep
        self._next = 0.0
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"openrek/{__version__} ({contact}) requests/{requests.__version__}"

    def close(self) -> None:
        self._session.close()

    def query(self, sparql: str) -> list[str]:
        """The Wikidata ids that a SPARQL query binds to ?item, each once, in its order."""
        answer = self._json(self._endpoints.sparql, {"query": sparql, "format": "json"}, api=False)
        try:
            values = [row["item"]["value"] for row in answer["results"]["bindings"]]
        except (KeyError, TypeError) as error:
            raise UserError("the query must bind ?item to entities of Wikidata") from error
        return list(dict.fromkeys(value.rsplit("/", 1)[-1] for value in values))

    def people(self, ids: Sequence[str], skipped: Callable[[str, str], None]) -> Iterator[Entry]:
        """The people with these Wikidata ids, with their portraits, photos unread. `skipped` hears id and reason."""
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            found = dict(self._entities(batch, skipped))
            portraits = self._portraits([title for _, titles in found.values() for title in titles])
            for wikidata, (person, titles) in found.items():
                photos = []
                for title in titles:
                    photo, reason = portraits.get(title, (None, "is not on Commons"))
                    if photo is None:
                        skipped(wikidata, f"{person.name}: {title} {reason}")
                    else:
                        photos.append(photo)
                yield Entry(person, photos)

    # --- Wikidata ---------------------------------------------------------------------------------------------------

    def _entities(
        self, ids: Sequence[str], skipped: Callable[[str, str], None]
    ) -> Iterator[tuple[str, tuple[Person, list[str]]]]:
        parameters = {
            "action": "wbgetentities",
            "ids": "|".join(ids),
            "props": "labels|claims",
            "languages": f"{self._language}|mul|en",
        }
        entities = self._json(self._endpoints.wikidata, parameters).get("entities", {})
        for wikidata in ids:
            entity = entities.get(wikidata)
            if entity is None or "missing" in entity:
                skipped(wikidata, "is no entity of Wikidata, or was merged into another")
                continue
            labels = entity.get("labels") or {}
            name = next((labels[key]["value"] for key in (self._language, "mul", "en") if key in labels), None)
            if name is None:
                skipped(wikidata, f"has no name in {self._language!r} or English")
            elif _HUMAN not in _items(entity, "P31"):
                skipped(wikidata, f"{name} is no human")
            else:
                yield wikidata, (_person(wikidata, name, entity), [f"File:{n}" for n in _values(entity, "P18")])

    # --- Commons ----------------------------------------------------------------------------------------------------

    def _portraits(self, titles: Sequence[str]) -> dict[str, tuple[Photo | None, str]]:
        """By title as asked for: the photo, or None and why it is not used."""
        found: dict[str, tuple[Photo | None, str]] = {}
        for start in range(0, len(titles), BATCH):
            asked = titles[start : start + BATCH]
            parameters = {
                "action": "query",
                "titles": "|".join(asked),
                "prop": "imageinfo",
                "iiprop": "url|size|mime|extmetadata",
                "iiurlwidth": str(WIDTH),
                "iiextmetadatafilter": "License|LicenseShortName|LicenseUrl|Artist|Credit|UsageTerms|NonFree",
            }
            query = self._json(self._endpoints.commons, parameters).get("query", {})
            renamed = {title: title for title in asked}
            for step in ("normalized", "redirects"):
                moves = {move["from"]: move["to"] for move in query.get(step, ())}
                renamed = {title: moves.get(name, name) for title, name in renamed.items()}
            pages = {page["title"]: page for page in query.get("pages", ())}
            for title in asked:
                found[title] = self._portrait(pages.get(renamed[title]))
        return found

    def _portrait(self, page: Mapping[str, Any] | None) -> tuple[Photo | None, str]:
        if page is None or not page.get("imageinfo"):
            return None, "is not on Commons"
        info = page["imageinfo"][0]
        facts = {key: str(value.get("value", "")) for key, value in (info.get("extmetadata") or {}).items()}
        code, label = facts.get("License", ""), facts.get("LicenseShortName", "")
        if not is_free(code, label, facts.get("NonFree", "")):
            return None, f"has the licence {label or code or 'unknown'}, which is not known to be free"
        url = str(info.get("thumburl") or info.get("url") or "")
        if not url.startswith(self._endpoints.uploads):
            return None, f"lies at {url or 'no address'}, not under {self._endpoints.uploads}"
        licence = " ".join(part for part in (label or code, facts.get("LicenseUrl", "")) if part)
        attribution = plain(facts.get("Artist", "")) or plain(facts.get("Credit", "")) or None
        source = str(info.get("descriptionurl") or page["title"])
        return Photo(page["title"], lambda: self._download(url), source, licence, attribution), ""

    def _download(self, url: str) -> bytes:
        """The bytes of a picture. Raises OSError, as reading a file does."""
        with self._get(url, {}, stream=True) as response:
            data = bytearray()
            try:
                for chunk in response.iter_content(256 * 1024):
                    data += chunk
                    if len(data) > MAX_PHOTO:
                        raise OSError(f"the picture has more than {MAX_PHOTO // MIB} MiB")
            except requests.RequestException as error:
                raise OSError(f"the download broke off: {error}") from error
            return bytes(data)

    # --- requests ---------------------------------------------------------------------------------------------------

    def _json(self, url: str, parameters: Mapping[str, str], *, api: bool = True) -> dict[str, Any]:
        """The answer of an API as JSON; waits and asks again while the servers are behind (`maxlag`)."""
        general = {"format": "json", "formatversion": "2", "maxlag": "5"} if api else {}
        for attempt in range(ATTEMPTS):
            try:
                with self._get(url, {**general, **parameters}) as response:
                    answer = response.json()
                    wait = _retry_after(response.headers.get("Retry-After"))
            except requests.RequestException as error:  # a body that is no JSON is one, too
                raise UserError(f"{url} did not answer with JSON: {error}") from error
            if not isinstance(answer, dict):
                raise UserError(f"{url} answered with something else than an object")
            refusal = answer.get("error")
            if not refusal:
                return answer
            if refusal.get("code") not in ("maxlag", "ratelimited", "readonly") or attempt == ATTEMPTS - 1:
                raise UserError(f"{url} refused: {refusal.get('code')}: {refusal.get('info')}")
            self._sleep(wait if wait is not None else 2.0**attempt)
        raise AssertionError

    def _get(self, url: str, parameters: Mapping[str, str], *, stream: bool = False) -> requests.Response:
        """A good response. Raises UserError (an OSError too) for one that stays bad."""
        problem = ""
        for attempt in range(ATTEMPTS):
            self._pace()
            wait: float | None = None
            try:
                response = self._session.get(url, params=parameters, timeout=_TIMEOUT, stream=stream)
            except (requests.ConnectionError, requests.Timeout) as error:
                problem = str(error)
            else:
                if response.status_code == 200:
                    return response
                wait = _retry_after(response.headers.get("Retry-After"))
                problem = f"status {response.status_code}"
                response.close()
                if response.status_code != 429 and response.status_code < 500:
                    break
            if attempt < ATTEMPTS - 1:
                self._sleep(wait if wait is not None else 2.0**attempt)
        raise FetchError(f"{url} cannot be fetched: {problem}")

    def _pace(self) -> None:
        now = time.monotonic()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._interval


class FetchError(UserError, OSError):
    """An address that gives no answer after all attempts."""


def people_query(occupation: str, least_sitelinks: int, limit: int) -> str:
    """SPARQL for people of an occupation (a Wikidata id) with a portrait, the best known first."""
    return (
        "SELECT ?item WHERE { ?item wdt:P31 wd:Q5; "
        f"wdt:P106 wd:{occupation}; wdt:P18 ?image; wikibase:sitelinks ?links. FILTER(?links >= {least_sitelinks}) }} "
        f"GROUP BY ?item ?links ORDER BY DESC(?links) LIMIT {limit}"
    )


def is_free(code: str, label: str, non_free: str = "") -> bool:
    """Whether Commons' licence code and short name are of a licence that allows use, change and sale."""
    if non_free.lower() in ("true", "1") or _RESTRICTED.search(code) or _RESTRICTED.search(label):
        return False
    if code:
        return _FREE.match(code) is not None
    return re.match(r"(CC0|CC BY|Public domain)", label) is not None


def plain(markup: str) -> str:
    """The text of a bit of HTML, for attribution."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def _person(wikidata: str, name: str, entity: Mapping[str, Any]) -> Person:
    imdb = next((value for value in _values(entity, "P345") if re.fullmatch(r"nm\d{1,12}", value)), None)
    genders = _items(entity, "P21")
    return Person(
        name,
        tuple(standard_urls(imdb, wikidata)),
        _GENDERS.get(genders[0], "Unlisted") if genders else None,
        wikidata,
        "Wikidata",
        "CC0-1.0",
        "none recorded: facts from Wikidata, free-licence portrait from Wikimedia Commons",
    )


def _claims(entity: Mapping[str, Any], prop: str) -> list[Any]:
    """The values of a property: the preferred ones where there are some, never deprecated ones."""
    claims = [claim for claim in (entity.get("claims") or {}).get(prop, ()) if claim.get("rank") != "deprecated"]
    best = [claim for claim in claims if claim.get("rank") == "preferred"] or claims
    snaks = [claim.get("mainsnak", {}) for claim in best]
    return [snak["datavalue"]["value"] for snak in snaks if snak.get("snaktype") == "value" and "datavalue" in snak]


def _values(entity: Mapping[str, Any], prop: str) -> list[str]:
    return [str(value) for value in _claims(entity, prop)]


def _items(entity: Mapping[str, Any], prop: str) -> list[str]:
    return [str(value["id"]) for value in _claims(entity, prop) if isinstance(value, dict) and "id" in value]


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header (a number or a date), at most ten minutes; None where it says nothing."""
    if not value:
        return None
    if value.strip().isdigit():
        return min(float(value), 600.0)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return min(max(moment.timestamp() - time.time(), 0.0), 600.0)

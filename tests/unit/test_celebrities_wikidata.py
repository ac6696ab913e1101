"""The Wikimedia client against a server beside us that answers as Wikidata, Commons and the query service do."""

import email.utils
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from openrek.cli.common import UserError
from openrek.cli.wikidata import ATTEMPTS, Endpoints, FetchError, Wikimedia, is_free, people_query, plain
from openrek.service.celebrity_photos import Entry


def claim(value: Any, rank: str = "normal") -> dict[str, Any]:
    return {
        "mainsnak": {"snaktype": "value", "datavalue": {"value": value, "type": "string"}},
        "type": "statement",
        "rank": rank,
    }


def item(name: str) -> dict[str, Any]:
    return {"entity-type": "item", "numeric-id": int(name[1:]), "id": name}


def entity(name: str, label: str | None, **claims: list[dict[str, Any]]) -> dict[str, Any]:
    labels = {"en": {"language": "en", "value": label}} if label else {}
    return {"type": "item", "id": name, "labels": labels, "claims": {"P31": [claim(item("Q5"))], **claims}}


ENTITIES: dict[str, dict[str, Any]] = {
    "Q1": entity(
        "Q1",
        "Ada Example",
        P21=[claim(item("Q6581072"))],
        P345=[claim("tt0000009"), claim("nm0000001")],
        P18=[claim("Old.jpg"), claim("Ada_Example.jpg", "preferred")],
    ),
    "Q2": entity("Q2", "Bert Example", P21=[claim(item("Q48270"))], P18=[claim("Bert.jpg"), claim("Gone.jpg")]),
    "Q3": entity("Q3", "Nobody", P18=[{"mainsnak": {"snaktype": "novalue"}, "rank": "normal"}]),
    "Q4": {**entity("Q4", "A Ship"), "claims": {"P31": [claim(item("Q11446"))]}},
    "Q5000": {"id": "Q5000", "missing": True},
    "Q6": entity("Q6", None),
    "Q7": entity("Q7", "Other", P21=[claim(item("Q1097630"))], P18=[claim("Fair.jpg"), claim("Elsewhere.jpg")]),
}


class StandIn(ThreadingHTTPServer):
    """Keeps what was asked; `plan` holds answers that come before the real ones: status, headers, body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[tuple[str, dict[str, str], str]] = []
        self.plan: list[tuple[int, dict[str, str], bytes]] = []
        self.pictures: dict[str, bytes] = {}

    def file(self, title: str, licence: str, label: str, **more: Any) -> dict[str, Any]:
        name = title.removeprefix("File:").replace(" ", "_")
        facts = {"License": licence, "LicenseShortName": label, "Artist": '<a href="//x">Jo &amp; Co</a>', **more}
        return {
            "pageid": 7,
            "ns": 6,
            "title": title,
            "imagerepository": "local",
            "imageinfo": [
                {
                    "size": 1234,
                    "mime": "image/jpeg",
                    "thumburl": f"{self.url}/thumb/{name}",
                    "url": f"{self.url}/full/{name}",
                    "descriptionurl": f"https://commons.wikimedia.org/wiki/File:{name}",
                    "extmetadata": {
                        key: {"value": value, "source": "commons-desc-page"} for key, value in facts.items()
                    },
                }
            ],
        }

    def files(self) -> dict[str, dict[str, Any]]:
        url = {"LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0"}
        elsewhere = self.file("File:Elsewhere.jpg", "cc0", "CC0")
        elsewhere["imageinfo"][0]["thumburl"] = "http://192.0.2.1/thumb/x.jpg"
        return {
            "File:Ada Example.jpg": self.file("File:Ada Example.jpg", "cc-by-sa-4.0", "CC BY-SA 4.0", **url),
            "File:Bert.jpg": self.file("File:Bert.jpg", "pd", "Public domain"),
            "File:Fair.jpg": self.file("File:Fair.jpg", "fair use", "Fair use", NonFree="true"),
            "File:Elsewhere.jpg": elsewhere,
        }

    def answer(self, path: str, query: dict[str, str]) -> bytes:
        if path == "/wikidata":
            assert query["action"] == "wbgetentities"
            asked = query["ids"].split("|")
            return json.dumps({"entities": {name: ENTITIES[name] for name in asked}, "success": 1}).encode()
        if path == "/commons":
            asked = query["titles"].split("|")
            moves = [{"from": title, "to": title.replace("_", " ")} for title in asked if "_" in title]
            known = self.files()
            titles = [title.replace("_", " ") for title in asked]
            pages = [known.get(title, {"title": title, "ns": 6, "missing": True}) for title in titles]
            return json.dumps({"batchcomplete": True, "query": {"normalized": moves, "pages": pages}}).encode()
        if path == "/sparql":
            rows = [
                {"item": {"type": "uri", "value": f"http://www.wikidata.org/entity/{n}"}} for n in ("Q2", "Q1", "Q2")
            ]
            return json.dumps({"head": {"vars": ["item"]}, "results": {"bindings": rows}}).encode()
        return self.pictures.get(path, b"picture " + path.encode())


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.requests.append((parts.path, query, self.headers["User-Agent"]))
        status, headers, body = self.server.plan.pop(0) if self.server.plan else (200, {}, None)
        content = body if body is not None else self.server.answer(parts.path, query)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[StandIn]:
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def endpoints(site: StandIn) -> Endpoints:
    return Endpoints(f"{site.url}/wikidata", f"{site.url}/commons", f"{site.url}/thumb/", f"{site.url}/sparql")


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
def client(site: StandIn, sleeps: list[float]) -> Iterator[Wikimedia]:
    wikimedia = Wikimedia("ops@example.org", endpoints=endpoints(site), rate=1e6, sleep=sleeps.append)
    yield wikimedia
    wikimedia.close()


def fetch(client: Wikimedia, *ids: str) -> tuple[list[Entry], list[tuple[str, str]]]:
    skipped: list[tuple[str, str]] = []
    return list(client.people(ids, lambda name, reason: skipped.append((name, reason)))), skipped


def test_facts_portrait_licence_and_attribution(site: StandIn, client: Wikimedia) -> None:
    (entry,), skipped = fetch(client, "Q1")
    person = entry.person
    assert (person.name, person.gender, person.wikidata) == ("Ada Example", "Female", "Q1")
    assert person.urls == ("www.imdb.com/name/nm0000001", "www.wikidata.org/wiki/Q1")
    assert person.licence == "CC0-1.0"
    assert "none recorded" in (person.consent or "")
    (photo,) = entry.photos  # the preferred one, though its title is written with a space on Commons
    assert photo.licence == "CC BY-SA 4.0 https://creativecommons.org/licenses/by-sa/4.0"
    assert photo.attribution == "Jo & Co"
    assert photo.source == "https://commons.wikimedia.org/wiki/File:Ada_Example.jpg"
    assert photo.read() == b"picture /thumb/Ada_Example.jpg"
    assert skipped == []
    assert all("ops@example.org" in agent and agent.startswith("openrek/") for _, _, agent in site.requests)
    assert [query["maxlag"] for path, query, _ in site.requests if path != "/thumb/Ada_Example.jpg"] == ["5", "5"]


def test_what_cannot_be_used_says_why(client: Wikimedia) -> None:
    entries, skipped = fetch(client, "Q2", "Q3", "Q4", "Q5000", "Q6", "Q7")
    assert [(entry.person.name, entry.person.gender, len(entry.photos)) for entry in entries] == [
        ("Bert Example", "Nonbinary", 1),
        ("Nobody", None, 0),
        ("Other", "Unlisted", 0),
    ]
    reasons = dict(skipped)
    assert "no human" in reasons["Q4"]
    assert "no entity" in reasons["Q5000"]
    assert "no name" in reasons["Q6"]
    texts = [reason for _, reason in skipped]
    assert any("File:Gone.jpg is not on Commons" in text for text in texts)
    assert any("File:Fair.jpg has the licence Fair use" in text for text in texts)
    assert any("http://192.0.2.1/thumb/x.jpg, not under" in text for text in texts)


def test_people_come_in_batches_of_fifty(site: StandIn, client: Wikimedia) -> None:
    entries, _ = fetch(client, *["Q2"] * 51)
    sizes = [len(query["ids"].split("|")) for path, query, _ in site.requests if path == "/wikidata"]
    assert sizes == [50, 1]
    assert len(entries) == 2  # each batch names a person once


def test_retry_after_in_seconds_and_as_a_date(site: StandIn, client: Wikimedia, sleeps: list[float]) -> None:
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    site.plan = [(429, {"Retry-After": "7"}, b""), (503, {"Retry-After": soon}, b""), (502, {}, b"")]
    assert client.query("SELECT") == ["Q2", "Q1"]
    waits = [wait for wait in sleeps if wait > 0.01]
    assert waits[0] == 7
    assert 25 < waits[1] <= 30
    assert waits[2] == 4  # no word from the server: 1, 2, 4 s and so on


def test_servers_that_are_behind_are_given_time(site: StandIn, client: Wikimedia, sleeps: list[float]) -> None:
    lag = json.dumps({"error": {"code": "maxlag", "info": "Waiting for a server: 9 seconds lagged"}}).encode()
    site.plan = [(200, {"Retry-After": "5"}, lag)]
    (entry,), _ = fetch(client, "Q3")
    assert entry.person.name == "Nobody"
    assert 5 in sleeps


def test_an_error_of_the_api_is_one_sentence(site: StandIn, client: Wikimedia) -> None:
    site.plan = [(200, {}, json.dumps({"error": {"code": "no-such-entity", "info": "No Q9."}}).encode())]
    with pytest.raises(UserError, match=r"no-such-entity: No Q9\."):
        fetch(client, "Q1")
    site.plan = [(200, {}, b"<html>")]
    with pytest.raises(UserError, match="did not answer with JSON"):
        fetch(client, "Q1")


def test_a_server_that_stays_away(site: StandIn, client: Wikimedia) -> None:
    site.plan = [(503, {}, b"")] * ATTEMPTS
    with pytest.raises(FetchError, match="status 503"):
        client.query("SELECT")
    assert len(site.requests) == ATTEMPTS


def test_a_missing_picture_is_not_asked_for_twice_and_is_an_oserror(site: StandIn, client: Wikimedia) -> None:
    (entry,), _ = fetch(client, "Q1")
    site.requests.clear()
    site.plan = [(404, {}, b"")]
    with pytest.raises(OSError, match="status 404"):
        entry.photos[0].read()
    assert len(site.requests) == 1


def test_requests_keep_to_the_rate(site: StandIn) -> None:
    waits: list[float] = []
    wikimedia = Wikimedia("ops@example.org", endpoints=endpoints(site), rate=0.5, sleep=waits.append)
    for _ in range(3):
        wikimedia.query("SELECT")
    wikimedia.close()
    assert len(waits) == 2
    assert 1.5 < waits[0] <= 2
    assert 3 < waits[1] <= 4  # nobody slept in truth, so the second wait has both intervals ahead


@pytest.mark.parametrize(
    ("code", "label", "free"),
    [
        ("cc0", "CC0", True),
        ("pd", "Public domain", True),
        ("cc-by-sa-3.0-de", "CC BY-SA 3.0 de", True),
        ("cc-by-2.0", "CC BY 2.0", True),
        ("cc-by", "CC BY", True),
        ("", "CC BY 4.0", True),
        ("cc-by-nc-2.0", "CC BY-NC 2.0", False),
        ("cc-by-nd-2.0", "CC BY-ND 2.0", False),
        ("", "CC BY-NC-SA 3.0", False),
        ("fair use", "Fair use", False),
        ("", "", False),
        ("proprietary", "All rights reserved", False),
    ],
)
def test_only_free_licences(code: str, label: str, free: bool) -> None:
    assert is_free(code, label) is free
    assert not is_free(code, label, "true")


def test_attribution_is_plain_text() -> None:
    assert plain("<bdi><a href='#'>A &lt;b&gt;</a>\n  C</bdi>") == "A <b> C"


def test_the_query_for_an_occupation() -> None:
    query = people_query("Q33999", 50, 10)
    assert "wdt:P106 wd:Q33999" in query
    assert query.endswith("LIMIT 10")

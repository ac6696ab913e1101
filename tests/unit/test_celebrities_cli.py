"""`openrek celebrities`: people from folders, tables, exported galleries and Wikidata; list and remove."""

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from openrek.cli.celebrity_files import read_entries, without_scheme
from openrek.cli.common import UserError
from openrek.cli.main import app
from openrek.service import celebrity_import
from openrek.service.celebrity_photos import UnusableError
from openrek.store.celebrities import Celebrities, Person, Reference
from openrek.store.database import Database
from tests.unit.test_celebrities_wikidata import StandIn, site

__all__ = ["site"]

FACTS = """
name = "Ada Lovelace"
wikidata = "Q7259"
imdb = "nm0000001"
urls = ["https://www.example.org/ada"]
gender = "female"
licence = "CC BY 4.0"
source = "an archive"
consent = "asked in 2020"
attribution = "A. Photographer"
"""


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Photos whose face was computed. A photo here is `<axis> <anything>`, or the reason why it cannot be used."""
    seen: list[bytes] = []

    def face_vector(data: bytes, runtime: object, max_pixels: int) -> Any:
        seen.append(data)
        first = data.split()[0]
        if not first.isdigit():
            raise UnusableError(data.decode())
        vector = np.random.default_rng(len(data)).normal(scale=0.005, size=128).astype(np.float32)
        vector[int(first)] += 1
        return vector / np.linalg.norm(vector)

    monkeypatch.setattr(celebrity_import, "face_vector", face_vector)
    monkeypatch.setattr(celebrity_import, "cosine_for", lambda *_: 0.8)
    return seen


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("OPENREK_HOME", str(folder))
    return folder


@pytest.fixture
def people(home: Path) -> Iterator[Celebrities]:
    database = Database.open(f"sqlite:///{home / 'openrek.db'}")
    yield Celebrities(database)
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ada with three photos, one of no use and one of someone else; Bert with one."""
    root = tmp_path / "people"
    ada = root / "ada"
    ada.mkdir(parents=True)
    (ada / "person.toml").write_text(FACTS)
    for name, content in {"1": "1 a", "2": "1 bb", "3": "1 ccc", "4": "2 someone", "5": "no face"}.items():
        (ada / f"{name}.jpg").write_text(content)
    bert = root / "Bert_the_Second"
    bert.mkdir()
    (bert / "b.png").write_text("7 b")
    (bert / "notes.txt").write_text("8 no photo")
    return root


def call(*words: str | Path, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["celebrities", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def outcomes(result: Result) -> dict[str, dict[str, Any]]:
    return {line["Name"]: line for line in map(json.loads, result.stdout.splitlines())}


@pytest.mark.usefixtures("looked_at")
def test_a_folder_of_people(folder: Path, people: Celebrities) -> None:
    found = outcomes(call("import", folder, "--json"))
    ada = found["Ada Lovelace"]
    assert (ada["New"], ada["Added"], ada["Known"]) == (True, 3, 0)
    reasons = {Path(item["Photo"]).name: item["Reason"] for item in ada["Skipped"]}
    assert set(reasons) == {"4.jpg", "5.jpg"}
    assert "someone else" in reasons["4.jpg"]
    assert reasons["5.jpg"] == "no face"
    assert found["Bert the Second"]["Added"] == 1
    assert people.get(ada["Id"]) == Person(
        "Ada Lovelace",
        ("www.imdb.com/name/nm0000001", "www.wikidata.org/wiki/Q7259", "www.example.org/ada"),
        "Female",
        "Q7259",
        "an archive",
        "CC BY 4.0",
        "asked in 2020",
    )
    first = people.references(ada["Id"])[0]
    assert (first.source, first.licence, first.attribution) == ("an archive", "CC BY 4.0", "A. Photographer")


def test_importing_again_does_what_is_left(folder: Path, people: Celebrities, looked_at: list[bytes]) -> None:
    call("import", folder)
    ids = {celebrity.id for celebrity in people.everyone()}
    looked_at.clear()
    (folder / "ada" / "6.jpg").write_text("1 dddd")
    shutil.copy(folder / "ada" / "1.jpg", folder / "ada" / "copy.jpg")
    found = outcomes(call("import", folder, "--json"))
    assert (found["Ada Lovelace"]["New"], found["Ada Lovelace"]["Added"], found["Ada Lovelace"]["Known"]) == (
        False,
        1,
        3,
    )
    assert sorted(looked_at) == [b"1 dddd", b"2 someone", b"no face"]  # photos that are kept are not looked at again
    assert {celebrity.id for celebrity in people.everyone()} == ids


@pytest.mark.usefixtures("looked_at")
def test_the_summary_shows_everyone(folder: Path, home: Path) -> None:
    result = call("import", folder)
    assert "2 people, 4 photos added, 2 skipped, 0 people not kept." in result.stdout
    assert "looks like someone else" in result.stderr
    listed = call("list").stdout
    assert "Ada Lovelace" in listed
    assert "Bert the Second" in listed
    answer = json.loads(call("list", "--json").stdout)["Celebrities"]
    assert [(item["Name"], item["References"], item["Usable"]) for item in answer] == [
        ("Ada Lovelace", 3, 3),
        ("Bert the Second", 1, 1),
    ]


@pytest.mark.usefixtures("looked_at")
def test_someone_without_a_usable_photo_is_not_kept(folder: Path, people: Celebrities) -> None:
    (folder / "Bert_the_Second" / "b.png").write_text("no face")
    found = outcomes(call("import", folder, "--json", status=1))
    assert "Id" not in found["Bert the Second"]
    assert [celebrity.person.name for celebrity in people.everyone()] == ["Ada Lovelace"]


@pytest.mark.usefixtures("looked_at")
def test_outliers_are_kept_when_asked(folder: Path, home: Path) -> None:
    ada = outcomes(call("import", folder, "--json", "--keep-outliers"))["Ada Lovelace"]
    assert ada["Added"] == 4
    assert "4.jpg looks like someone else; kept as asked" in ada["Notes"][0]


@pytest.mark.usefixtures("looked_at")
def test_two_photos_that_disagree_are_pointed_out(folder: Path, home: Path) -> None:
    (folder / "Bert_the_Second" / "c.png").write_text("9 c")
    bert = outcomes(call("import", folder, "--json"))["Bert the Second"]
    assert bert["Added"] == 2
    assert "may show different people" in bert["Notes"][0]


@pytest.mark.usefixtures("looked_at")
def test_a_removed_person_stays_out_of_later_imports(folder: Path, people: Celebrities) -> None:
    ada = outcomes(call("import", folder, "--json"))["Ada Lovelace"]["Id"]
    assert f"Ada Lovelace ({ada}) is removed" in call("remove", ada).stdout
    assert people.get(ada) is None
    found = outcomes(call("import", folder, "--json", status=1))
    assert "was removed" in found["Ada Lovelace"]["Notes"][0]
    assert people.get(ada) is None
    call("import", folder, "--again")
    assert people.get(ada) is not None
    with pytest.raises(UserError, match="there is no zzzzzzz"):
        call("remove", "zzzzzzz")


@pytest.mark.usefixtures("looked_at")
def test_forgetting_a_removed_person(folder: Path, people: Celebrities) -> None:
    bert = outcomes(call("import", folder, "--json"))["Bert the Second"]["Id"]
    call("remove", bert, "--forget")
    again = outcomes(call("import", folder, "--json"))["Bert the Second"]
    assert again["New"]
    assert again["Id"] != bert  # a random id is not kept without the person


@pytest.mark.usefixtures("looked_at")
def test_export_and_import_keep_everything(folder: Path, tmp_path: Path, people: Celebrities) -> None:
    call("import", folder)
    target = tmp_path / "gallery.jsonl"
    assert "2 people" in call("export", target).stdout
    before = people.everyone()
    (version,) = before[0].references
    vectors = people.vectors(version)
    assert call("export", "-").stdout == target.read_text()
    for celebrity in before:
        people.remove(celebrity.id, remember=celebrity.person.name.startswith("Ada"))
    assert "1 people imported, 1 left out" in call("import", target).stdout
    assert "2 people imported, 0 left out" in call("import", target, "--again").stdout
    assert people.everyone() == before
    np.testing.assert_allclose(people.vectors(version).vectors, vectors.vectors, atol=1e-6)
    assert people.references(before[0].id)[0].attribution == "A. Photographer"


def test_an_export_is_private_whole_and_leaves_nothing_beside_it(
    people: Celebrities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.put(Person("P"), [Reference("0" * 64, "7.0", np.ones(4, np.float32))])
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / "gallery.jsonl"
    target.write_text("older")
    target.chmod(0o644)
    call("export", target)
    whole = target.read_text()
    assert target.stat().st_mode & 0o777 == 0o600

    def full(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Celebrities, "references", full)
    with pytest.raises(UserError, match="disk is full"):
        call("export", target)
    assert target.read_text() == whole
    assert list(folder.iterdir()) == [target]


def sealed(lines: list[bytes]) -> bytes:
    """Lines with the end line that proves them."""
    end = {"type": "end", "sha256": hashlib.sha256(b"".join(lines)).hexdigest()}
    return b"".join(lines) + json.dumps(end).encode() + b"\n"


def cut_vector(data: bytes) -> bytes:
    """The second person's vector without its last number, under a right check sum."""
    *lines, _ = data.splitlines(True)
    person = json.loads(lines[2])
    vector = base64.b64decode(person["references"][0]["vector"])
    person["references"][0]["vector"] = base64.b64encode(vector[:-4]).decode()
    return sealed([*lines[:2], json.dumps(person).encode() + b"\n"])


def other_vector(data: bytes, vector: Any) -> bytes:
    person = json.loads(data.splitlines()[1])
    person["references"][0]["vector"] = base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
    person["references"][0]["model_version"] = "7.1"
    return sealed([data.splitlines(True)[0].replace(b"2}", b"1}"), json.dumps(person).encode() + b"\n"])


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: b"", "no exported gallery"),
        (lambda data: data.replace(b'"version":2', b'"version":3'), "version 3 of the format; this openrek reads 1"),
        (lambda data: b"".join(data.splitlines(True)[:2]), "was cut off: it has no end line"),
        (lambda data: sealed(data.splitlines(True)[:2]), "ends after 1 of 2"),
        (lambda data: data[:-40], "was cut off: it has no end line"),
        (lambda data: data.replace(b"P2", b"P3"), "its SHA-256 is not"),
        (lambda data: sealed(data.replace(b'"vector":"', b'"vector":"!').splitlines(True)[:-1]), "line 2: cannot be"),
        (
            lambda data: sealed(data.replace(b'"photo":"', b'"photo":"x').splitlines(True)[:-1]),
            "line 2: cannot be read",
        ),
        (lambda data: sealed(data.replace(b'"name":"P2"', b'"name":[]').splitlines(True)[:-1]), "line 3: .*name"),
        (lambda data: sealed(data.replace(b'"id":"', b'"id":"/').splitlines(True)[:-1]), "line 2: .*id"),
        (cut_vector, "line 3: a vector of P2 has 12 bytes; model version 7.0 needs 16"),
        (lambda data: other_vector(data, np.eye(1, 127)), "line 2: a vector of P1 has 508 bytes; .* 7.1 needs 512"),
        (lambda data: other_vector(data, np.full((1, 128), np.nan)), "line 2: a vector of P1 is none of length 1"),
        (lambda data: other_vector(data, np.zeros((1, 128))), "line 2: a vector of P1 is none of length 1"),
    ],
)
def test_nothing_of_a_damaged_export_is_kept(people: Celebrities, tmp_path: Path, change: Any, problem: str) -> None:
    for number in (1, 2):
        people.put(Person(f"P{number}"), [Reference(f"{number:064x}", "7.0", np.ones(4, np.float32))])
    target = tmp_path / "gallery.jsonl"
    call("export", target)
    target.write_bytes(change(target.read_bytes()))
    for celebrity in people.everyone():
        people.remove(celebrity.id, remember=False)
    with pytest.raises(UserError, match=problem):
        call("import", target)
    assert people.everyone() == []


def test_an_export_of_version_1_is_read(people: Celebrities, tmp_path: Path) -> None:
    vector = base64.b64encode(np.eye(1, 128, dtype="<f4").tobytes()).decode()
    reference = {"photo": "0" * 64, "model_version": "7.1", "vector": vector, "source": None, "licence": "CC0"}
    target = tmp_path / "gallery.jsonl"
    target.write_text(
        '{"format": "openrek-celebrities", "version": 1, "people": 1}\n'
        + json.dumps({"id": "7", "name": "Ada", "urls": ["x.org"], "references": [{**reference, "attribution": None}]})
        + "\n"
    )
    assert "1 people imported" in call("import", target).stdout
    assert people.get("7") == Person("Ada", ("x.org",))
    assert people.references("7")[0].licence == "CC0"


def test_who_does_not_fit_into_this_gallery_is_named_and_the_rest_goes_on(people: Celebrities, tmp_path: Path) -> None:
    vector = np.eye(1, 128, dtype=np.float32)[0]
    for number in (1, 2, 3):
        people.put(Person(f"P{number}"), [Reference(f"{number:064x}", "7.1", vector)], celebrity_id=str(number))
    target = tmp_path / "gallery.jsonl"
    call("export", target)
    for number in (1, 2, 3):
        people.remove(str(number), remember=False)
    people.put(Person("Someone else"), [], celebrity_id="2")
    done = call("import", target, status=1)
    assert "P2: the id 2 of P2 belongs to someone else" in done.stderr
    assert "2 people imported, 1 left out" in done.stdout
    assert [celebrity.person.name for celebrity in people.everyone()] == ["P1", "P3", "Someone else"]


def test_an_export_needs_a_name_that_import_knows(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.json\.jsonl"):
        call("export", tmp_path / "x.json")


# --- tables and facts -------------------------------------------------------------------------------------------------


def test_a_table(folder: Path) -> None:
    table = folder / "people.csv"
    table.write_text(
        "name,photos,urls,gender,wikidata\n"
        "Ada,ada/1.jpg;ada/2.jpg,https://www.wikidata.org/wiki/Q7259; http://x.org/a,,\n"
        '"Bert, the second",Bert_the_Second,,nonbinary,Q2\n'
        "Cy,ada/*.jpg,,Unlisted,\n"
    )
    ada, bert, cy = read_entries(table)
    assert ada.person == Person("Ada", ("www.wikidata.org/wiki/Q7259", "x.org/a"), None, "Q7259")
    assert [Path(photo.name).name for photo in ada.photos] == ["1.jpg", "2.jpg"]
    assert bert.person == Person("Bert, the second", ("www.wikidata.org/wiki/Q2",), "Nonbinary", "Q2")
    assert [photo.read() for photo in bert.photos] == [b"7 b"]
    assert len(cy.photos) == 5


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("name,urls\nAda,x\n", "needs the columns name and photos"),
        ("name,photos\nAda,nothing/here.jpg\n", "line 2: there is no photo"),
        ("name,photos,colour\nAda,,red\n", "unknown 'colour'"),
        ("name,photos,gender\nAda,,woman\n", "line 2: the gender 'woman' is none of"),
        ("name,photos,imdb\nAda,,42\n", "no IMDb id"),
        ("name,photos,wikidata\nAda,,42\n", "no Wikidata id"),
        ("name,photos\nAda,,x\n", "more fields than columns"),
        ("name,photos,source\nAda,,\n,,\n,,x\n", "line 4: name: Field required"),
        ("name,photos\n \t,\nBert,**x\n", r"line 3: '\*\*x' is no pattern|line 3: there is no photo"),
    ],
)
def test_tables_with_mistakes(tmp_path: Path, table: str, problem: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(table)
    with pytest.raises(UserError, match=problem):
        read_entries(path)


def test_rows_that_a_spreadsheet_left_empty_are_skipped(folder: Path) -> None:
    table = folder / "people.csv"
    table.write_text("name,photos,urls\n,,\nAda,ada/1.jpg,\n , ,\n\nBert,,\n,,\n")
    assert [entry.person.name for entry in read_entries(table)] == ["Ada", "Bert"]


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ("urls = 5", "urls: Input should be a valid list"),
        ("urls = [5]", "urls: Input should be a valid string"),
        ('name = ["a"]', "name: Input should be a valid string"),
        ('name = " "', "name: String should have at least 1"),
        ("wikidata = 42", "wikidata: Input should be a valid string"),
        ("licence = 2020-01-01", "licence: Input should be a valid string"),
        ('[name]\nfirst = "Ada"', "name: Input should be a valid string"),
    ],
)
def test_facts_of_another_type(folder: Path, facts: str, problem: str) -> None:
    (folder / "ada" / "person.toml").write_text(facts)
    with pytest.raises(UserError, match=rf"person\.toml: {problem}"):
        read_entries(folder)


def test_facts_that_are_left_empty(folder: Path) -> None:
    (folder / "ada" / "person.toml").write_text('imdb = ""\ngender = ""\nsource = ""\nurls = "x.org; y.org"\n')
    _, ada = read_entries(folder)
    assert ada.person == Person("ada", ("x.org", "y.org"))


def test_a_person_file_with_mistakes(folder: Path) -> None:
    (folder / "ada" / "person.toml").write_text("name = Ada")
    with pytest.raises(UserError, match=r"person\.toml cannot be read"):
        read_entries(folder)
    with pytest.raises(UserError, match="no folders"):
        read_entries(folder / "ada")
    with pytest.raises(UserError, match="neither a folder"):
        read_entries(folder / "nothing")


@pytest.mark.parametrize("url", ["https://a.org/x", "http://a.org/x", " a.org/x ", "HTTPS://a.org/x"])
def test_urls_lose_their_scheme(url: str) -> None:
    assert without_scheme(url) == "a.org/x"


# --- Wikidata ---------------------------------------------------------------------------------------------------------


def import_wikidata(site: StandIn, *words: str | Path, status: int = 0) -> Result:
    addresses = {"wikidata": "wikidata", "commons": "commons", "uploads": "thumb/", "sparql": "sparql"}
    options = [word for name, path in addresses.items() for word in (f"--{name}-url", f"{site.url}/{path}")]
    common = ["--contact", "ops@example.org", "--rate", "1000", "--json"]
    return call("import-wikidata", *words, *options, *common, status=status)


@pytest.mark.usefixtures("looked_at")
def test_people_from_wikidata(site: StandIn, people: Celebrities) -> None:
    site.pictures = {"/thumb/Ada_Example.jpg": b"3 ada", "/thumb/Bert.jpg": b"no face"}
    result = import_wikidata(site, "Q1", "Q2", "Q4", status=1)
    found = outcomes(result)
    assert found["Ada Example"]["Added"] == 1
    assert found["Bert Example"]["Skipped"] == [{"Photo": "File:Bert.jpg", "Reason": "no face"}]
    assert "Q4: A Ship is no human" in result.stderr
    (ada,) = people.everyone()
    assert ada.person.urls == ("www.imdb.com/name/nm0000001", "www.wikidata.org/wiki/Q1")
    (reference,) = people.references(ada.id)
    assert (reference.licence, reference.attribution) == (
        "CC BY-SA 4.0 https://creativecommons.org/licenses/by-sa/4.0",
        "Jo & Co",
    )


@pytest.mark.usefixtures("looked_at", "people")
def test_portraits_are_listed_with_their_own_licences(site: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openrek.cli.celebrities.console", Console(width=400))
    site.pictures = {"/thumb/Ada_Example.jpg": b"3 ada"}
    import_wikidata(site, "Q1")
    licence = "CC BY-SA 4.0 https://creativecommons.org/licenses/by-sa/4.0"
    listed = call("list").stdout
    assert f"{licence} (Jo & Co)" in listed
    assert "CC0" not in listed  # the facts' licence is not the portrait's
    (ada,) = json.loads(call("list", "--json").stdout)["Celebrities"]
    (photo,) = ada["Photos"]
    assert (photo["Licence"], photo["Attribution"]) == (licence, "Jo & Co")
    assert photo["Source"].startswith("http")
    assert ada["Licence"] == "CC0-1.0"


@pytest.mark.usefixtures("looked_at")
def test_an_interrupted_import_goes_on(site: StandIn, people: Celebrities, tmp_path: Path) -> None:
    site.pictures = {"/thumb/Ada_Example.jpg": b"3 ada", "/thumb/Bert.jpg": b"4 bert"}
    import_wikidata(site, "Q1")
    ids = tmp_path / "ids.txt"
    ids.write_text("Q1  # Ada\n\nQ2\n")
    site.requests.clear()
    found = outcomes(import_wikidata(site, "--file", ids))
    assert list(found) == ["Bert Example"]
    assert [query.get("ids") for path, query, _ in site.requests if path == "/wikidata"] == ["Q2"]
    assert len(people.everyone()) == 2
    assert len(outcomes(import_wikidata(site, "--file", ids, "--refresh"))) == 2


@pytest.mark.usefixtures("looked_at")
def test_people_of_an_occupation(site: StandIn, people: Celebrities) -> None:
    site.pictures = {"/thumb/Ada_Example.jpg": b"3 ada", "/thumb/Bert.jpg": b"4 bert"}
    import_wikidata(site, "--occupation", "Q33999")
    assert [celebrity.person.wikidata for celebrity in people.everyone()] == ["Q1", "Q2"]


@pytest.mark.usefixtures("looked_at")
def test_a_removed_person_does_not_come_back_from_wikidata(site: StandIn, people: Celebrities) -> None:
    site.pictures = {"/thumb/Ada_Example.jpg": b"3 ada"}
    ada = outcomes(import_wikidata(site, "Q1"))["Ada Example"]["Id"]
    call("remove", ada)
    site.requests.clear()
    assert "was removed" in outcomes(import_wikidata(site, "Q1", status=1))["Ada Example"]["Notes"][0]
    assert not any(path.startswith("/thumb/") for path, _, _ in site.requests)
    assert outcomes(import_wikidata(site, "Q1", "--again"))["Ada Example"]["Id"] == ada


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("words", [(), ("42",), ("--occupation", "actor"), ("--file", "/nowhere/ids.txt")])
def test_what_to_import_must_be_said(site: StandIn, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError):
        import_wikidata(site, *words)
    assert site.requests == []

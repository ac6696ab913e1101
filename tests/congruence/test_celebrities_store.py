"""The gallery of well-known people on both databases."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert, select

from openrek.jobs import JobStore, NewJob
from openrek.store.celebrities import (
    AmbiguousNameError,
    Celebrities,
    Person,
    Reference,
    RemovedPersonError,
    Terms,
    derived_id,
    name_key,
)
from openrek.store.database import Database
from openrek.store.schema import job_results, jobs

ADA = Person("Ada Lovelace", ("www.imdb.com/name/nm0000001",), "Female", "Q7259", "a book", "CC0-1.0", "asked")


@pytest.fixture
def gallery(database: Database) -> Celebrities:
    return Celebrities(database)


def reference(number: int, version: str = "7.0") -> Reference:
    vector = np.random.default_rng(number).normal(size=128).astype(np.float32)
    return Reference(f"{number:064x}", version, vector, f"photo {number}", "CC BY 4.0", "A. Photographer")


def test_a_person_is_kept_with_all_facts(gallery: Celebrities) -> None:
    key = gallery.put(ADA, [reference(1), reference(2), reference(3, "8.0")])
    assert key == derived_id("Q7259")
    assert gallery.get(key) == ADA
    assert gallery.find(ADA) == key
    (found,) = gallery.everyone()
    assert (found.id, found.person, found.references) == (key, ADA, {"7.0": 2, "8.0": 1})
    first = gallery.references(key)[0]
    assert (first.photo, first.source, first.licence, first.attribution) == (
        f"{1:064x}",
        "photo 1",
        "CC BY 4.0",
        "A. Photographer",
    )
    vectors = gallery.vectors("7.0")
    assert vectors.ids.tolist() == [key, key]
    given = np.stack([reference(1).vector, reference(2).vector])
    np.testing.assert_allclose(vectors.vectors, given / np.linalg.norm(given, axis=1, keepdims=True), atol=1e-6)


def test_terms_of_photos_are_told_once_a_photo(gallery: Celebrities) -> None:
    key = gallery.put(ADA, [reference(2), reference(2, "8.0"), replace(reference(1), attribution=None)])
    gallery.put(Person("Bert"), [])
    two, one = (f"photo {number}" for number in (2, 1))
    assert gallery.terms() == {
        key: [Terms(two, "CC BY 4.0", "A. Photographer"), Terms(one, "CC BY 4.0")],
    }


def test_ids_of_wikidata_people_are_the_same_on_every_server() -> None:
    assert derived_id("Q42") == "hs6KA5A"
    assert derived_id("Q42", 9).startswith("hs6KA5A")


def test_an_id_taken_by_someone_else_grows(gallery: Celebrities) -> None:
    assert gallery.put(Person("Someone"), [], celebrity_id=derived_id("Q42")) == derived_id("Q42")
    assert gallery.put(Person("Other", wikidata="Q42"), []) == derived_id("Q42", 8)
    with pytest.raises(ValueError, match="belongs to someone else"):
        gallery.put(Person("Third"), [], celebrity_id=derived_id("Q42"))


def test_an_empty_gallery(gallery: Celebrities) -> None:
    assert gallery.change() == 0
    assert gallery.everyone() == []
    assert gallery.get("") is None
    assert len(gallery.vectors("7.0").ids) == 0


def test_putting_again_adds_what_is_new_and_keeps_the_rest(gallery: Celebrities) -> None:
    key = gallery.put(Person("Grace  HOPPER"), [reference(1)])
    change = gallery.change()
    assert gallery.put(Person("grace hopper", gender="Female"), [reference(1)]) == key
    assert gallery.change() == change  # facts alone change no vector
    assert gallery.put(Person("Grace Hopper", wikidata="Q11641"), [reference(1), reference(2)]) == key
    assert gallery.change() > change
    assert gallery.get(key) == Person("Grace Hopper", gender="Female", wikidata="Q11641")
    assert gallery.everyone()[0].references == {"7.0": 2}


def test_two_people_of_one_name_are_told_apart_by_wikidata(gallery: Celebrities) -> None:
    one, two = Person("Chris Evans", wikidata="Q1"), Person("Chris Evans", wikidata="Q2")
    assert gallery.put(one, []) != gallery.put(two, [])
    with pytest.raises(AmbiguousNameError, match="Wikidata"):
        gallery.put(Person("chris evans"), [])


def test_a_removed_person_is_gone_and_does_not_return_by_accident(gallery: Celebrities) -> None:
    key = gallery.put(ADA, [reference(1)])
    other = gallery.put(Person("Bert"), [reference(2)])
    change = gallery.change()
    assert gallery.remove(key) == ADA
    assert gallery.change() > change
    assert gallery.get(key) is None
    assert gallery.references(key) == []
    assert gallery.vectors("7.0").ids.tolist() == [other]
    assert gallery.remove(key) is None
    for same in (ADA, Person("ADA  lovelace"), Person("Augusta", wikidata="Q7259")):
        assert gallery.is_removed(same)
        with pytest.raises(RemovedPersonError):
            gallery.put(same, [reference(1)])
    assert not gallery.is_removed(Person("Ada Lovelace", wikidata="Q999"))  # someone else of that name
    assert gallery.put(ADA, [reference(1)], again=True) == key
    assert not gallery.is_removed(ADA)


def test_vectors_of_one_model_version_have_one_length(gallery: Celebrities) -> None:
    gallery.put(ADA, [reference(1)])
    short = Reference("2" * 64, "7.0", np.ones(127, np.float32))
    with pytest.raises(ValueError, match=r"version 7\.0 has 127 numbers, those in the gallery 128"):
        gallery.put(Person("Bert"), [reference(3), short])
    with pytest.raises(ValueError, match="127"):
        gallery.put(
            Person("Bert"), [Reference("2" * 64, "9.0", np.ones(128, np.float32)), replace(short, model_version="9.0")]
        )
    assert [found.person.name for found in gallery.everyone()] == ["Ada Lovelace"]
    assert gallery.vectors("7.0").vectors.shape == (1, 128)


def test_a_removed_person_leaves_the_results_of_videos(gallery: Celebrities, database: Database) -> None:
    ada, other = gallery.put(ADA, [reference(1)]), gallery.put(Person("Other"), [reference(2)])
    for operation in ("StartCelebrityRecognition", "StartLabelDetection"):
        with database.begin() as connection:
            new = NewJob(operation, "000000000000", "us-east-1", {})
            job_id = JobStore(database).create(connection, new, limit=None)
            number = connection.execute(select(jobs.c.id).where(jobs.c.job_id == job_id)).scalar_one()
            for position, who in enumerate((ada, other, ada, other, other)):
                item = json.dumps({"Timestamp": position, "Celebrity": {"Id": who, "Name": "?"}})
                row = {"job_number": number, "view": 0, "position": position, "sort_text": who, "sort_number": 0.0}
                connection.execute(insert(job_results).values(row | {"item": item}))
    gallery.remove(ada)

    def left(operation: str) -> list[tuple[int, str, int]]:
        columns = job_results.c.position, job_results.c.sort_text, job_results.c.item
        rows = select(*columns).join(jobs).where(jobs.c.operation == operation).order_by(job_results.c.position)
        with database.read() as connection:
            found = connection.execute(rows).all()
        return [(row.position, row.sort_text, json.loads(row.item)["Timestamp"]) for row in found]

    assert left("StartCelebrityRecognition") == [(1, other, 1), (3, other, 3), (4, other, 4)]
    assert len(left("StartLabelDetection")) == 5


def test_a_person_removed_by_name_stays_out_with_a_wikidata_id(gallery: Celebrities) -> None:
    gallery.remove(gallery.put(Person("Ada Lovelace"), []))
    with pytest.raises(RemovedPersonError):
        gallery.put(ADA, [])


def test_removal_without_remembering(gallery: Celebrities) -> None:
    gallery.remove(gallery.put(ADA, []), remember=False)
    assert not gallery.is_removed(ADA)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"name": " "}, "needs a name"),
        ({"name": "A", "gender": "male"}, "'male' of A is none of Male"),
        ({"name": "A", "wikidata": "42"}, "no Wikidata id"),
        ({"name": "A", "urls": ("x",) * 256}, "256 URLs"),
    ],
)
def test_facts_that_are_not_possible(facts: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Person(**facts)


def test_names_compare_by_what_a_person_sees() -> None:
    assert name_key("  Ｂjörk\tGuðmundsdóttir ") == name_key("BJÖRK Guðmundsdóttir") == "björk guðmundsdóttir"
    assert len(name_key("x" * 999)) == 255


def test_nothing_of_a_removed_person_stays_in_the_files(tmp_path: Path) -> None:
    """Among hundreds of others, after updates: the name, its key and every vector are gone from each byte."""
    database = Database.open(f"sqlite:///{tmp_path / 'openrek.db'}")
    gallery = Celebrities(database)
    for number in range(150):
        gallery.put(Person(f"Person {number}"), [reference(10 * number)])
    key = gallery.put(Person("Zebedee Quux", source="first"), [reference(5), reference(6)])
    for number in range(150):
        gallery.put(Person(f"Person {number}", source="x" * number), [reference(10 * number + 1)])
    gallery.put(Person("Zebedee Quux", ("www.example.org/quux",), source="second " * 50), [reference(7)])
    stored = [item.vector.astype("<f4").tobytes() for item in gallery.references(key)]

    def bytes_of_files() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()) if not path.name.endswith("-shm"))

    needles = [b"Zebedee", b"zebedee", b"quux", key.encode(), *(vector[:24] for vector in stored)]
    before = bytes_of_files()
    assert all(needle in before for needle in needles)
    gallery.remove(key)
    after = bytes_of_files()
    assert [needle for needle in needles if needle in after] == []
    assert b"Person 149" in after
    database.close()

"""A collection goes from one kind of database to the other as a file, and a person is erased from both."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from openrek.jobs import JobStore, NewJob
from openrek.store.database import Database
from openrek.store.erasure import erase_faces
from openrek.store.faces import Faces
from openrek.store.portable import PortableFileError
from openrek.store.schema import job_results, jobs
from openrek.store.users import Users
from tests.unit.test_portable import contents, export, fill, leftovers, load, number_of


def test_there_and_back_through_a_file(database: Database, tmp_path: Path) -> None:
    fill(database)
    export(database, tmp_path / "people.jsonl")
    load(database, tmp_path / "people.jsonl", "copy")
    other = Database.open(f"sqlite:///{tmp_path / 'other' / 'openrek.db'}")
    try:
        load(other, tmp_path / "people.jsonl")
        assert contents(other, "people") == contents(database, "people") == contents(database, "copy")
        export(other, tmp_path / "again.jsonl")
    finally:
        other.close()
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "people.jsonl").read_bytes()


def test_a_file_that_is_cut_off_leaves_nothing(database: Database, tmp_path: Path) -> None:
    fill(database)
    export(database, tmp_path / "people.jsonl")
    before = leftovers(database)
    (tmp_path / "cut.jsonl").write_bytes(b"\n".join((tmp_path / "people.jsonl").read_bytes().split(b"\n")[:-3]) + b"\n")
    with pytest.raises(PortableFileError, match="cut off"):
        load(database, tmp_path / "cut.jsonl", "copy")
    assert leftovers(database) == before


def test_erasing_a_person(database: Database) -> None:
    made = fill(database)
    number = number_of(database, "people")
    assert erase_faces(database, number, external_image_id="person-1").faces == [
        face.face_id for face in made if face.external_image_id == "person-1"
    ]
    assert {face.external_image_id for face in Faces(database).page(number, limit=99)} == {
        None,
        "person-0",
        "person-2",
        "person-3",
    }
    user = Users(database).find(number, "ada")
    assert user is not None
    assert user.face_count == 2


def test_erasing_a_person_takes_the_matches_in_videos_too(database: Database) -> None:
    made = fill(database)
    number = number_of(database, "people")
    gone, other = (next(face for face in made if face.external_image_id == name) for name in ("person-1", "person-2"))
    seen = [[gone], [gone, other], [other], []]
    found: dict[str, list[dict[str, Any]]] = {}
    for operation in ("StartFaceSearch", "StartLabelDetection"):
        with database.begin() as connection:
            new = NewJob(operation, "000000000000", "us-east-1", {})
            job_id = JobStore(database).create(connection, new, limit=None)
            job = connection.execute(select(jobs.c.id).where(jobs.c.job_id == job_id)).scalar_one()
            for position, faces in enumerate(seen):
                matches = [{"Similarity": 99.5, "Face": {"FaceId": face.face_id}} for face in faces]
                item = {"Timestamp": position, "Person": {"Index": 0}} | ({"FaceMatches": matches} if matches else {})
                row = {"job_number": job, "view": 0, "position": position, "sort_text": "", "sort_number": 0.0}
                connection.execute(insert(job_results).values(row | {"item": json.dumps(item)}))
    erase_faces(database, number, external_image_id="person-1")
    with database.read() as connection:
        for operation in ("StartFaceSearch", "StartLabelDetection"):
            rows = select(job_results.c.item).join(jobs).where(jobs.c.operation == operation)
            items = connection.execute(rows.order_by(job_results.c.position)).scalars().all()
            found[operation] = [json.loads(item) for item in items]
    left = [[match["Face"]["FaceId"] for match in item.get("FaceMatches", ())] for item in found["StartFaceSearch"]]
    assert left == [[], [other.face_id], [other.face_id], []]
    assert ["FaceMatches" in item for item in found["StartFaceSearch"]] == [False, True, True, False]
    assert [item["Timestamp"] for item in found["StartFaceSearch"]] == [0, 1, 2, 3]
    assert len(found["StartLabelDetection"][1]["FaceMatches"]) == 2  # other jobs' results are not looked through

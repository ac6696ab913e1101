"""A server whose disk takes no more: each refusal says so, what was acknowledged stays, and it goes on afterwards."""

import resource
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.pictures import People
from tests.acceptance.test_collections_crash import impatient, killed_server
from tests.full_disk import no_more_space

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process need Linux")


def test_indexing_on_a_disk_that_takes_no_more(photos: dict[str, Path], tmp_path: Path) -> None:
    people = People(photos)
    with killed_server(tmp_path / "home") as (patient, process):
        client = impatient(patient)
        client.create_collection(CollectionId="c")

        def index(picture: bytes) -> Any:
            return client.index_faces(CollectionId="c", Image={"Bytes": picture})["FaceRecords"]

        (kept,) = index(people.hopper)
        with no_more_space(process.pid):
            for _ in range(2):
                with pytest.raises(ClientError) as caught:
                    index(people.group())
                answer = caught.value.response
                assert answer["Error"]["Code"] == "InternalServerError"
                assert answer["ResponseMetadata"]["HTTPStatusCode"] == 500
                assert str(tmp_path / "home" / "openrek.db") in answer["Error"]["Message"]
                assert "check the disk" in answer["Error"]["Message"]
            # what needs no room goes on
            assert [face["FaceId"] for face in client.list_faces(CollectionId="c")["Faces"]] == [kept["Face"]["FaceId"]]
            found = client.search_faces_by_image(CollectionId="c", Image={"Bytes": people.hopper})["FaceMatches"]
            assert [match["Face"]["FaceId"] for match in found] == [kept["Face"]["FaceId"]]
        assert client.describe_collection(CollectionId="c")["FaceCount"] == 1
        assert len(index(people.group())) == 3
        assert client.describe_collection(CollectionId="c")["FaceCount"] == 4

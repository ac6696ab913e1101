"""`openrek faces` on real photos, beside a running server on the same home."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tests.acceptance.conftest import Server
from tests.acceptance.test_server import openrek

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient


def test_a_face_and_itself_made_smaller_and_two_people(photos: dict[str, Path], tmp_path: Path) -> None:
    with Image.open(photos["astronaut"]) as photo:
        photo.resize((300, 300)).save(tmp_path / "small.webp")
    same = openrek("faces", "compare", str(photos["astronaut"]), str(tmp_path / "small.webp"), "--json")
    assert same.returncode == 0, same.stderr
    assert json.loads(same.stdout)["FaceMatches"][0]["Similarity"] > 95
    other = openrek("faces", "compare", str(photos["astronaut"]), str(photos["hopper"]))
    assert other.returncode == 0, other.stderr
    assert "below 80" in other.stdout
    none = openrek("faces", "compare", str(photos["astronaut"]), str(photos["coffee"]))
    assert none.returncode == 1
    assert "no face in TargetImage" in none.stderr


def test_a_folder_is_indexed_searched_and_drawn_beside_a_server(
    server: Server, rekognition: "RekognitionClient", photos: dict[str, Path], tmp_path: Path
) -> None:
    album = tmp_path / "album"
    (album / "space").mkdir(parents=True)
    shutil.copy(photos["astronaut"], album / "space" / "astronaut.png")
    shutil.copy(photos["hopper"], album / "hopper.jpg")
    shutil.copy(photos["coffee"], album)
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    home = {"OPENREK_HOME": str(server.home)}

    def index(*more: str) -> dict[str, int]:
        done = openrek("faces", "index", str(album), "-c", "cli-album", "--json", *more, **home)
        assert done.returncode == 1, done.stderr
        assert "broken.jpg" in done.stderr
        assert "Traceback" not in done.stderr
        counts: dict[str, int] = json.loads(done.stdout)
        return counts

    try:
        first = index("--create")
        assert (first["Indexed"], first["NoFace"], first["Failed"], first["FacesIndexed"]) == (2, 1, 1, 2)
        second = index()
        assert (second["Indexed"], second["Known"], second["FacesIndexed"]) == (0, 2, 0)

        listed = rekognition.list_faces(CollectionId="cli-album")["Faces"]
        assert {face["ExternalImageId"] for face in listed} == {"space:astronaut.png", "hopper.jpg"}
        query = photos["astronaut"].read_bytes()
        found = rekognition.search_faces_by_image(CollectionId="cli-album", Image={"Bytes": query})["FaceMatches"]
        assert [match["Face"]["ExternalImageId"] for match in found] == ["space:astronaut.png"]

        # the API's own IndexFaces of the same picture and id is the same face
        rekognition.index_faces(
            CollectionId="cli-album",
            Image={"Bytes": query},
            ExternalImageId="space:astronaut.png",
            DetectionAttributes=[],
        )
        assert len(rekognition.list_faces(CollectionId="cli-album")["Faces"]) == 2

        sheet = tmp_path / "sheet.png"
        words = ("faces", "search", str(photos["astronaut"]), "-c", "cli-album", "--min-similarity", "0")
        done = openrek(*words, "--sheet", str(sheet), "--photos", str(album), **home)
        assert done.returncode == 0, done.stderr
        assert done.stdout.index("space:astronaut.png") < done.stdout.index("hopper.jpg")
        assert "no picture" not in done.stderr
        with Image.open(sheet) as drawn:
            assert drawn.width > 3 * 200
        (album / "hopper.jpg").unlink()
        done = openrek(*words, "--sheet", str(sheet), "--photos", str(album), **home)
        assert "1 of 2 matches have no picture" in done.stderr
    finally:
        rekognition.delete_collection(CollectionId="cli-album")

"""`openrek keys` and `openrek buckets`."""

import json
import re
from pathlib import Path

import pytest
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from openrek.cli import buckets, keys
from openrek.cli.common import UserError
from openrek.store.access_keys import AccessKeys
from openrek.store.database import Database
from openrek.store.errors import StoreError
from openrek.store.objects import FolderStore


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENREK_HOME", str(tmp_path / "home"))
    for name in ("OPENREK_S3_ENDPOINT", "OPENREK_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def run(app: Typer, *arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_key_that_was_made_here_is_the_servers(home: Path) -> None:
    output = run(keys.app, "create", "--label", "my [b]laptop[/b]").stdout
    exported = dict(re.findall(r"^export (\w+)=(\S+)$", output, re.MULTILINE))
    assert exported.keys() == {
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL_REKOGNITION"
    }  # fmt: skip
    database = Database.open(f"sqlite:///{home / 'openrek.db'}")
    assert AccessKeys(database).secret_of(exported["AWS_ACCESS_KEY_ID"]) == exported["AWS_SECRET_ACCESS_KEY"]
    database.close()

    listed = run(keys.app, "list").stdout
    assert exported["AWS_ACCESS_KEY_ID"] in listed
    assert "my [b]laptop[/b]" in listed
    assert exported["AWS_SECRET_ACCESS_KEY"] not in listed


def test_keys_as_json(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    made = json.loads(run(keys.app, "create", "--json", "--home", elsewhere).stdout)
    assert made.keys() == {"AccessKeyId", "SecretAccessKey", "Label", "Created"}
    del made["SecretAccessKey"]
    assert json.loads(run(keys.app, "list", "--json", "--home", elsewhere).stdout) == {"AccessKeys": [made]}
    assert json.loads(run(keys.app, "list", "--json").stdout) == {"AccessKeys": []}


def test_a_key_is_revoked_once() -> None:
    made = json.loads(run(keys.app, "create", "--json").stdout)
    assert run(keys.app, "revoke", made["AccessKeyId"]).exit_code == 0
    assert json.loads(run(keys.app, "list", "--json").stdout) == {"AccessKeys": []}
    with pytest.raises(UserError, match=f"there is no key {made['AccessKeyId']}"):
        run(keys.app, "revoke", made["AccessKeyId"])
    assert "openrek keys create" in run(keys.app, "list").stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "sea").mkdir(parents=True)
    (folder / "one.jpg").write_bytes(b"one")
    (folder / "sea" / "two [2].jpg").write_bytes(b"twotwo")
    return folder


def test_a_folder_is_stored_with_its_paths_as_keys(home: Path, folder: Path) -> None:
    assert "openrek buckets create" in run(buckets.app, "list").stderr
    assert str(home / "buckets" / "photos") in run(buckets.app, "create", "photos").stdout
    assert run(buckets.app, "list").stdout == "photos\n"
    assert "2 objects in photos, 9 bytes" in run(buckets.app, "put", "photos", folder, "--prefix", "2024/").stdout
    run(buckets.app, "put", "photos", folder / "one.jpg", "--key", "../up.jpg")
    store = FolderStore(home / "buckets")
    assert store.read("photos", "2024/sea/two [2].jpg", limit=9) == b"twotwo"
    assert store.read("photos", "../up.jpg", limit=9) == b"one"

    listed = json.loads(run(buckets.app, "list", "photos", "--json").stdout)["Objects"]
    assert [item["Key"] for item in listed] == ["../up.jpg", "2024/one.jpg", "2024/sea/two [2].jpg"]
    assert [item["Size"] for item in listed] == [3, 3, 6]
    assert "two [2].jpg" in run(buckets.app, "list", "photos", "--prefix", "2024/sea").stdout
    assert run(buckets.app, "list", "photos", "--prefix", "2025/").stdout == ""


def test_removing(home: Path, folder: Path) -> None:
    run(buckets.app, "create", "photos")
    run(buckets.app, "put", "photos", folder, "--prefix", "a/")
    run(buckets.app, "put", "photos", folder, "--prefix", "b/")
    with pytest.raises(StoreError, match=r"not empty.*--recursive"):
        run(buckets.app, "rm", "photos")
    with pytest.raises(StoreError, match="there is no object 'a/absent'"):
        run(buckets.app, "rm", "photos", "a/absent")
    with pytest.raises(UserError, match="no key in photos begins with 'c/'"):
        run(buckets.app, "rm", "photos", "c/", "--recursive")
    run(buckets.app, "rm", "photos", "a/one.jpg")
    run(buckets.app, "rm", "photos", "b/", "--recursive")
    store = FolderStore(home / "buckets")
    assert [item.key for item in store.list_objects("photos")] == ["a/sea/two [2].jpg"]
    run(buckets.app, "rm", "photos", "--recursive")
    assert store.buckets() == []


def test_versions_are_shown_and_purged(home: Path, folder: Path) -> None:
    run(buckets.app, "create", "kept", "--versioning")
    assert json.loads(run(buckets.app, "list", "--json").stdout) == {"Buckets": [{"Name": "kept", "Versioning": True}]}
    for _ in range(2):
        run(buckets.app, "put", "kept", folder / "one.jpg")
    listed = json.loads(run(buckets.app, "list", "kept", "--versions", "--json").stdout)["Objects"]
    versions = [item["VersionId"] for item in listed]
    assert len(set(versions)) == 2
    table = run(buckets.app, "list", "kept", "--versions").stdout
    assert all(version in table for version in versions)
    run(buckets.app, "rm", "kept", "one.jpg", "--purge")
    assert FolderStore(home / "buckets").versions("kept", "one.jpg") == []


def test_what_cannot_be_stored_is_said(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(StoreError, match="is not a bucket name"):
        run(buckets.app, "create", "../photos")
    with pytest.raises(StoreError, match="there is no bucket 'absent'"):
        run(buckets.app, "put", "absent", folder)
    run(buckets.app, "create", "photos")
    with pytest.raises(UserError, match="--key is for one file"):
        run(buckets.app, "put", "photos", folder, "--key", "k")
    with pytest.raises(StoreError, match=r"absent\.jpg: No such file"):
        run(buckets.app, "put", "photos", tmp_path / "absent.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there is no file"):
        run(buckets.app, "put", "photos", tmp_path / "empty")


def test_an_s3_endpoint_in_the_settings_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENREK_S3_ENDPOINT", "http://127.0.0.1:9000")
    assert "OPENREK_S3_ENDPOINT is http://127.0.0.1:9000" in run(buckets.app, "create", "photos").stderr

"""Access keys, the first key pair, and server secrets."""

import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from openrek.store.access_keys import AccessKeys
from openrek.store.database import Database
from openrek.store.errors import StoreError
from openrek.store.server_secret import ServerSecret

RUN = (
    "import sys; from pathlib import Path; from openrek.store.database import Database; "
    "from openrek.store.access_keys import AccessKeys; keys = AccessKeys(Database.open(sys.argv[1])); "
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'openrek.db'}"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database.open(url)
    yield database
    database.close()


@pytest.fixture
def keys(database: Database) -> AccessKeys:
    return AccessKeys(database)


def elsewhere(code: str, *arguments: str) -> str:
    """What another process prints."""
    command = [sys.executable, "-c", RUN + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_a_key_pair_looks_like_one_of_aws(keys: AccessKeys) -> None:
    pairs = [keys.create() for _ in range(20)]
    assert all(re.fullmatch(r"OREK[A-Z2-7]{16}", pair.access_key_id) for pair in pairs)
    assert all(re.fullmatch(r"[A-Za-z0-9+/]{40}", pair.secret) for pair in pairs)
    assert len({pair.access_key_id for pair in pairs}) == len({pair.secret for pair in pairs}) == 20


def test_no_secret_is_shown_by_accident(keys: AccessKeys) -> None:
    pair = keys.create("laptop")
    assert pair.secret not in repr(pair)
    assert pair.secret not in repr(keys.list())
    assert [(key.access_key_id, key.label) for key in keys.list()] == [(pair.access_key_id, "laptop")]
    assert abs(keys.list()[0].created.timestamp() - time.time()) < 10


def test_a_long_label_is_refused(keys: AccessKeys) -> None:
    with pytest.raises(StoreError, match="at most 255 characters, not 256"):
        keys.create("x" * 256)


def test_secrets_are_found_until_the_key_is_revoked(keys: AccessKeys) -> None:
    pair, other = keys.create(), keys.create()
    assert keys.secret_of(pair.access_key_id) == pair.secret
    assert keys.revoke(pair.access_key_id)
    assert keys.secret_of(pair.access_key_id) is None
    assert keys.secret_of(other.access_key_id) == other.secret
    assert not keys.revoke(pair.access_key_id)


@pytest.mark.parametrize("key", ["", "OREK", "orek" * 5, "' OR 1=1 --' OR 1=1 ", "\x00" * 20, "OREK\ud800" * 4])
def test_what_is_no_key_id_is_unknown(keys: AccessKeys, key: str) -> None:
    keys.create()
    assert keys.secret_of(key) is None


def test_a_key_that_another_process_makes_or_revokes_is_known_or_refused_at_once(keys: AccessKeys, url: str) -> None:
    access_key_id, secret = elsewhere("pair = keys.create(); print(pair.access_key_id, pair.secret)", url).split()
    assert keys.secret_of(access_key_id) == secret
    elsewhere("keys.revoke(sys.argv[2])", url, access_key_id)
    assert keys.secret_of(access_key_id) is None


# --- the first start ------------------------------------------------------------------------------------------------


def test_the_first_key_works_as_an_aws_profile(
    keys: AccessKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keys.first_key(tmp_path, "eu-west-3")
    assert first is not None
    assert first.created
    assert first.path == tmp_path / "credentials"
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(first.path))
    monkeypatch.setenv("AWS_PROFILE", "openrek")
    session = boto3.Session()
    credentials = session.get_credentials()
    assert credentials is not None
    assert credentials.access_key == first.access_key_id
    assert credentials.secret_key == keys.secret_of(first.access_key_id)
    assert session.region_name == "eu-west-3"


def test_a_second_start_makes_no_other_key(keys: AccessKeys, tmp_path: Path) -> None:
    first = keys.first_key(tmp_path)
    again = keys.first_key(tmp_path)
    assert first is not None
    assert again is not None
    assert again.access_key_id == first.access_key_id
    assert not again.created
    assert len(keys.list()) == 1


def test_a_lost_credentials_file_is_written_again(keys: AccessKeys, tmp_path: Path) -> None:
    first = keys.first_key(tmp_path)
    assert first is not None
    content = first.path.read_text()
    first.path.unlink()
    again = keys.first_key(tmp_path)
    assert again is not None
    assert again.created
    assert first.path.read_text() == content


def test_no_key_is_made_when_the_owner_manages_them(keys: AccessKeys, tmp_path: Path) -> None:
    keys.create("by hand")
    assert keys.first_key(tmp_path) is None
    assert not (tmp_path / "credentials").exists()


def test_a_revoked_first_key_is_not_replaced_behind_the_owners_back(keys: AccessKeys, tmp_path: Path) -> None:
    first = keys.first_key(tmp_path)
    assert first is not None
    keys.revoke(first.access_key_id)
    assert keys.first_key(tmp_path) is None
    assert keys.list() == []
    first.path.unlink()
    fresh = keys.first_key(tmp_path)
    assert fresh is not None
    assert fresh.access_key_id != first.access_key_id


def test_a_file_that_is_not_ours_is_left_alone(keys: AccessKeys, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_bytes(b"\xff\xfe[default\naws_access_key_id AKIA")
    assert keys.first_key(tmp_path) is None
    assert file.read_bytes() == b"\xff\xfe[default\naws_access_key_id AKIA"
    assert keys.list() == []


def test_a_folder_that_takes_no_file_gives_one_sentence(keys: AccessKeys, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write the key pair to .*file/credentials"):
        keys.first_key(tmp_path / "file")


def test_several_first_starts_agree_on_one_key(url: str, tmp_path: Path) -> None:
    code = RUN + "first = keys.first_key(Path(sys.argv[2])); print(first.access_key_id, first.created)"
    command = [sys.executable, "-c", code, url, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [process.communicate(timeout=120)[0].split() for process in processes]
    assert len({access_key_id for access_key_id, _ in answers}) == 1
    assert sorted(created for _, created in answers) == ["False", "False", "False", "True"]
    assert sorted(file.name for file in tmp_path.iterdir() if "credentials" in file.name) == ["credentials"]


# --- server secrets -------------------------------------------------------------------------------------------------


def test_a_server_secret_is_made_once_and_kept(url: str) -> None:
    def secret(name: str = "page-tokens") -> bytes:
        database = Database.open(url)
        try:
            return ServerSecret(database, name).value
        finally:
            database.close()

    assert len(secret()) == 32
    assert secret() == secret()
    assert secret("another") != secret()


def test_all_who_race_for_a_secret_get_the_same(database: Database) -> None:
    barrier, found = threading.Barrier(8), []

    def race() -> None:
        barrier.wait()
        found.append(ServerSecret(database, "raced").value)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1

"""Buckets in a folder: every key has its place, and no key another place."""

import os
import shutil
import threading
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openrek.settings import Settings
from openrek.store.objects import (
    FolderStore,
    ObjectNotFoundError,
    ObjectStoreError,
    ObjectTooLargeError,
    S3Store,
    open_objects,
)
from openrek.store.objects.files import STALE_SECONDS
from openrek.store.objects.names import InvalidKeyError, decode_key, encode_key

LIMIT = 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    (tmp_path / "secret.txt").write_text("outside")
    store = FolderStore(tmp_path / "buckets")
    store.create_bucket("photos")
    return store


# --- names ----------------------------------------------------------------------------------------------------------

tricky = st.sampled_from(
    [
        "", ".", "..", "...", "a", "A", "b", "%", "%2F", "%2f", "%2E", "%2B", "%25", "%2", "2F", "%%", "%00", "~", " ",
        "\\", "\0", "\n", "\x7f", "..\\", "é", "e\u0301", "図", "x" * 239, "x" * 240, "x" * 252, "x" * 253, "y" * 600,
        "é" * 126, "é" * 127, "\\" * 84, "\\" * 85, "%2F" * 60, ".openrek", ".versions", ".lock", "C:", "-rf", "*",
    ]
)  # fmt: skip
segments = st.lists(tricky | st.text(max_size=4), max_size=3).map("".join)
keys = st.lists(segments, min_size=1, max_size=5).map("/".join)


def storable(key: str) -> bool:
    try:
        encode_key(key)
    except InvalidKeyError:
        return False
    return True


storable_keys = keys.filter(storable)


@settings(deadline=None, max_examples=400)
@given(keys)
def test_a_name_is_one_plain_step_and_gives_the_key_back(key: str) -> None:
    try:
        place = encode_key(key)
    except InvalidKeyError:
        assert not 1 <= len(key.encode("utf-8", "replace")) <= 1024 or any("\ud800" <= c <= "\udfff" for c in key)
        return
    for name in (*place.folders, place.name, place.beside):
        assert name not in ("", ".", "..")
        assert not set(name) & {"/", "\\", "\0"}
        assert len(name.encode()) <= 255
    assert decode_key(place.folders, place.name) == key


@pytest.mark.parametrize(
    "key", ["photo.jpg", "2024/summer/beach 1.JPG", ".hidden", "été/図.png", "100%.jpg", "a%20b.jpg", "a+b&c=d?e#f.jpg"]
)
def test_an_ordinary_key_is_its_own_path(key: str) -> None:
    place = encode_key(key)
    assert "/".join((*place.folders, place.name)) == key


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"),
        ("/etc/passwd", "%2F/etc/passwd"),
        ("a//b", "a/%2F/b"),
        ("folder/", "folder/%2F"),
        ("..\\x", "..%5Cx"),
        ("a\0b", "a%00b"),
        ("a%2Fb", "a%252Fb"),
        ("z" * 300, "z" * 240 + "%2B/" + "z" * 60),
        ("z" * 240 + "x" * 12 + ".", "z" * 240 + "%2B/" + "x" * 12 + "."),
        ("\\" * 80 + "x" * 12 + "y", "%5C" * 80 + "%2B/" + "x" * 12 + "y"),
    ],
)
def test_what_a_file_system_would_misread_is_written_as_codes(key: str, path: str) -> None:
    place = encode_key(key)
    assert "/".join((*place.folders, place.name)) == path


def test_the_rest_of_a_long_segment_is_no_dot() -> None:
    for dots in (".", ".."):
        place = encode_key("z" * 480 + dots)
        assert place.name == "%2E" * len(dots)
        assert decode_key(place.folders, place.name) == "z" * 480 + dots


@pytest.mark.parametrize("version", [None, "null", "0" * 16])
def test_a_missing_bucket_is_named_as_such(store: FolderStore, version: str | None) -> None:
    for key in ("k", "folder/k"):
        with pytest.raises(ObjectNotFoundError, match=r"^there is no bucket 'nobucket'$"):
            store.read("nobucket", key, version, limit=LIMIT)


@pytest.mark.parametrize("key", ["", "x" * 1025, "é" * 513, "\ud800", "/" * 256])
def test_keys_that_cannot_be_stored(store: FolderStore, key: str) -> None:
    with pytest.raises(ObjectNotFoundError):
        store.read("photos", key, limit=LIMIT)
    with pytest.raises(ObjectNotFoundError):
        store.head("photos", key)
    with pytest.raises(ObjectStoreError):
        store.put("photos", key, b"x")
    assert store.list_objects("photos") == []


# --- nothing escapes, everything comes back -------------------------------------------------------------------------


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.dictionaries(storable_keys, st.binary(max_size=20), min_size=1, max_size=8), data=st.data())
def test_any_keys_live_side_by_side(tmp_path: Path, contents: dict[str, bytes], data: st.DataObject) -> None:
    shutil.rmtree(tmp_path / "case", ignore_errors=True)
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "secret.txt").write_text("outside")
    store = FolderStore(tmp_path / "case" / "buckets")
    store.create_bucket("photos")
    for key, content in contents.items():
        assert store.put("photos", key, b"first").size == 5
        assert store.put("photos", key, content).size == len(content)

    left = dict(contents)
    for key in data.draw(st.permutations(list(contents))):
        for name, content in left.items():
            assert store.read("photos", name, limit=LIMIT) == content
        assert [item.key for item in store.list_objects("photos")] == sorted(left, key=str.encode)
        prefix = key[: len(key) // 2]
        expected = sorted((name for name in left if name.startswith(prefix)), key=str.encode)
        assert [item.key for item in store.list_objects("photos", prefix)] == expected
        store.delete("photos", key)
        del left[key]
        with pytest.raises(ObjectNotFoundError):
            store.read("photos", key, limit=LIMIT)

    assert os.listdir(store.root / "photos") == []
    assert sorted(os.listdir(store.root)) == [".incoming", ".lock", "photos"]
    assert os.listdir(store.root / ".incoming") == []
    assert sorted(os.listdir(store.root.parent)) == ["buckets", "secret.txt"]
    assert (store.root.parent / "secret.txt").read_text() == "outside"


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bucket=keys | st.sampled_from(["..", "../..", "/", "/etc", ".", "photos/..", "photos/", ".incoming"]), key=keys)
def test_made_up_names_read_nothing(store: FolderStore, bucket: str, key: str) -> None:
    for version in (None, "null", "../../../secret.txt", "0" * 16):
        for name in (bucket, "photos"):
            with pytest.raises(ObjectNotFoundError):
                store.read(name, key, version, limit=LIMIT)
            with pytest.raises(ObjectNotFoundError):
                store.head(name, key, version)


@pytest.mark.parametrize(
    "bucket", ["", "ab", "..", "...", ".hidden", "a/b", "../up", "a\\b", "a\0b", "x" * 256, "bücket", "a b", "abc\n"]
)
def test_bucket_names_that_are_refused(store: FolderStore, bucket: str) -> None:
    with pytest.raises(ObjectStoreError, match="is not a bucket name"):
        store.create_bucket(bucket)
    for attempt in (
        lambda: store.put(bucket, "k", b"x"),
        lambda: store.delete(bucket, "k"),
        lambda: store.list_objects(bucket),
        lambda: store.delete_bucket(bucket, recursive=True),
    ):
        with pytest.raises(ObjectNotFoundError):
            attempt()
    assert store.buckets() == ["photos"]


@pytest.mark.parametrize("bucket", ["abc", "A-b_c.d", "0" * 255, "a..b", "-ab"])
def test_bucket_names_that_the_api_takes(store: FolderStore, bucket: str) -> None:
    assert store.create_bucket(bucket)
    assert not store.create_bucket(bucket)
    store.put(bucket, "k", b"x")
    assert store.read(bucket, "k", limit=1) == b"x"


def test_symbolic_links_are_not_followed(store: FolderStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f.txt").write_text("outside")
    (store.root / "linked").symlink_to(outside)
    (store.root / "photos" / "file").symlink_to(outside / "f.txt")
    (store.root / "photos" / "folder").symlink_to(outside)
    for bucket, key in (("linked", "f.txt"), ("photos", "file"), ("photos", "folder/f.txt")):
        with pytest.raises(ObjectNotFoundError):
            store.read(bucket, key, limit=LIMIT)
        with pytest.raises(ObjectStoreError):
            store.put(bucket, key, b"changed")
        with pytest.raises(ObjectStoreError):
            store.delete(bucket, key)
    assert store.buckets() == ["photos"]
    assert store.list_objects("photos") == []
    assert (outside / "f.txt").read_text() == "outside"
    store.delete_bucket("photos", recursive=True)
    assert (outside / "f.txt").read_text() == "outside"


def test_a_pipe_in_a_bucket_does_not_hang_the_server(store: FolderStore) -> None:
    os.mkfifo(store.root / "photos" / "pipe")
    with pytest.raises(ObjectNotFoundError):
        store.read("photos", "pipe", limit=LIMIT)
    assert store.list_objects("photos") == []


def test_a_root_that_is_a_link_works(store: FolderStore, tmp_path: Path) -> None:
    store.put("photos", "k", b"x")
    (tmp_path / "link").symlink_to(store.root)
    assert FolderStore(tmp_path / "link").read("photos", "k", limit=1) == b"x"


# --- reading --------------------------------------------------------------------------------------------------------


def test_files_put_in_by_hand_are_objects(store: FolderStore) -> None:
    folder = store.root / "photos" / "2024" / "sommer"
    folder.mkdir(parents=True)
    (folder / "Strand 100%.jpg").write_bytes(b"sea")
    assert store.read("photos", "2024/sommer/Strand 100%.jpg", limit=LIMIT) == b"sea"
    assert [item.key for item in store.list_objects("photos", "2024/")] == ["2024/sommer/Strand 100%.jpg"]
    assert store.list_objects("photos", "2025/") == []


def test_names_that_no_key_has_are_not_listed(store: FolderStore) -> None:
    folder = os.fsencode(store.root / "photos")
    for name in (b"a%2Eb", b"\xff.jpg", b"x%2B"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(b"?")
    (store.root / "photos" / "y%2B").mkdir()
    (store.root / "photos" / "y%2B" / "z").write_bytes(b"?")
    assert store.list_objects("photos") == []


def test_the_limit_holds(store: FolderStore) -> None:
    store.put("photos", "k", b"12345")
    assert store.read("photos", "k", limit=5) == b"12345"
    with pytest.raises(ObjectTooLargeError, match="has 5 bytes; the limit is 4") as caught:
        store.read("photos", "k", limit=4)
    assert (caught.value.size, caught.value.limit) == (5, 4)


def test_a_large_sparse_file_is_refused_unread(store: FolderStore) -> None:
    with (store.root / "photos" / "big").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ObjectTooLargeError):
        store.read("photos", "big", limit=LIMIT)
    assert store.head("photos", "big").size == 1 << 40


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_not_found(store: FolderStore) -> None:
    store.put("photos", "k", b"x")
    (store.root / "photos" / "k").chmod(0)
    with pytest.raises(ObjectNotFoundError, match="Permission denied"):
        store.read("photos", "k", limit=1)


# --- writing --------------------------------------------------------------------------------------------------------


def test_content_may_be_bytes_a_stream_or_a_file(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"file")
    for key, content in (("a", b"bytes"), ("b", BytesIO(b"stream")), ("c", tmp_path / "source")):
        store.put("photos", key, content)
    assert [store.read("photos", key, limit=9) for key in "abc"] == [b"bytes", b"stream", b"file"]


def test_a_source_that_cannot_be_read_gives_one_sentence(store: FolderStore, tmp_path: Path) -> None:
    with pytest.raises(ObjectStoreError, match=r"cannot store the object: .*/absent: No such file"):
        store.put("photos", "k", tmp_path / "absent")
    assert store.list_objects("photos") == []
    assert os.listdir(store.root / ".incoming") == []


def test_what_is_written_is_on_the_disk_before_it_has_a_name(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def spy_fsync(descriptor: int) -> None:
        steps.append("sync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))[:8])
        fsync(descriptor)

    def spy_rename(*arguments: object, **options: object) -> None:
        steps.append("rename")
        rename(*arguments, **options)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "rename", spy_rename)
    store.put("photos", "new/k", b"x")
    content, folder, renamed, name = steps[-4:]
    assert content.startswith("sync ")
    assert [folder, renamed, name] == ["sync photos", "rename", "sync new"]


def test_litter_of_a_crash_is_swept_up_later(store: FolderStore) -> None:
    store.put("photos", "k", b"x")
    incoming = store.root / ".incoming"
    (incoming / "old").write_bytes(b"half")
    (incoming / "old-bucket").mkdir()
    (incoming / "old-bucket" / "k").write_bytes(b"x")
    (incoming / "young").write_bytes(b"still being written")
    past = (incoming / "young").stat().st_mtime - STALE_SECONDS - 60
    os.utime(incoming / "old", (past, past))
    os.utime(incoming / "old-bucket", (past, past))
    store.put("photos", "k", b"y")
    assert os.listdir(incoming) == ["young"]


def test_an_etag_changes_with_the_content(store: FolderStore) -> None:
    first = store.put("photos", "k", b"one")
    assert store.head("photos", "k") == first
    assert store.put("photos", "k", b"two").etag != first.etag


def test_a_bucket_with_something_in_it_stays(store: FolderStore) -> None:
    store.put("photos", "a/b", b"x")
    with pytest.raises(ObjectStoreError, match="is not empty"):
        store.delete_bucket("photos")
    assert store.read("photos", "a/b", limit=1) == b"x"
    store.delete("photos", "a/b")
    store.delete_bucket("photos")
    assert store.buckets() == []
    with pytest.raises(ObjectNotFoundError):
        store.read("photos", "a/b", limit=1)
    with pytest.raises(ObjectNotFoundError):
        store.delete_bucket("photos")


def test_writers_and_readers_of_colliding_keys_never_see_a_gap(store: FolderStore) -> None:
    """`a` is moved aside when `a/b` needs a folder; a reader must find it before, during and after."""
    names = ["a", "a/b", "a/b/c", "a/b/c/d"]
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                content = store.read("photos", "a", limit=100_000)
            except ObjectNotFoundError as error:
                wrong.append(str(error))
            else:
                if len(set(content)) != 1 or len(content) != 50_000:
                    wrong.append("torn")

    def write(number: int) -> None:
        for turn in range(12):
            key = names[(number + turn) % len(names)]
            store.put("photos", key, bytes([65 + turn]) * 50_000)
            if key != "a":
                with suppress(ObjectNotFoundError):
                    store.delete("photos", names[1 + turn % 3])

    store.put("photos", "a", b"@" * 50_000)
    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert wrong == []


# --- versions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(store: FolderStore) -> FolderStore:
    store.create_bucket("kept", versioning=True)
    return store


def test_earlier_contents_stay_readable(kept: FolderStore) -> None:
    infos = [kept.put("kept", "a/k", content) for content in (b"1", b"22", b"333")]
    versions = [info.version for info in infos]
    assert len(set(versions)) == 3
    assert [kept.read("kept", "a/k", version, limit=9) for version in versions] == [b"1", b"22", b"333"]
    assert [kept.head("kept", "a/k", version) for version in versions] == infos
    assert kept.head("kept", "a/k") == infos[-1]
    assert kept.versions("kept", "a/k") == infos[::-1]
    for version in ("null", "f" * 16, "", "../" + str(versions[0]), str(versions[0]).upper() + " "):
        with pytest.raises(ObjectNotFoundError):
            kept.read("kept", "a/k", version, limit=9)


def test_versions_ascend_even_when_the_clock_goes_back(kept: FolderStore, tmp_path: Path) -> None:
    first = kept.put("kept", "k", b"1")
    future = tmp_path / "buckets" / "kept" / "k"
    os.utime(future, ns=(0, int(str(first.version), 16) + 10**18))
    infos = [kept.put("kept", "k", bytes([48 + n])) for n in range(3)]
    versions = [str(info.version) for info in infos]
    assert versions == sorted(versions)
    assert versions[0] > str(first.version)
    assert [kept.read("kept", "k", version, limit=1) for version in versions] == [b"0", b"1", b"2"]
    assert kept.read("kept", "k", limit=1) == b"2"


def test_a_removed_object_keeps_its_versions_until_they_are_purged(kept: FolderStore) -> None:
    first, second = kept.put("kept", "k", b"1"), kept.put("kept", "k", b"2")
    kept.delete("kept", "k")
    with pytest.raises(ObjectNotFoundError):
        kept.read("kept", "k", limit=9)
    assert [kept.read("kept", "k", info.version, limit=9) for info in (first, second)] == [b"1", b"2"]
    with pytest.raises(ObjectStoreError, match="is not empty"):
        kept.delete_bucket("kept")
    kept.delete("kept", "k", purge=True)
    assert kept.versions("kept", "k") == []
    assert not any(files for _, _, files in os.walk(kept.root / ".versions"))
    kept.delete_bucket("kept")
    assert kept.buckets() == ["photos"]


def test_keys_that_are_files_and_folders_have_versions_of_their_own(kept: FolderStore) -> None:
    names = ["a", "a/", "a//", "a/b", "a/b/"]
    infos = {(key, n): kept.put("kept", key, f"{key} {n}".encode()) for n in range(2) for key in names}
    for (key, n), info in infos.items():
        assert kept.read("kept", key, info.version, limit=99) == f"{key} {n}".encode()
    for key in names:
        assert len(kept.versions("kept", key)) == 2


def test_a_bucket_without_versioning_has_the_version_null(store: FolderStore) -> None:
    info = store.put("photos", "k", b"x")
    assert info.version is None
    assert store.read("photos", "k", "null", limit=1) == b"x"
    with pytest.raises(ObjectNotFoundError):
        store.read("photos", "k", "0" * 16, limit=1)


def test_versioning_can_be_added_to_a_bucket(store: FolderStore) -> None:
    store.put("photos", "k", b"before")
    assert not store.create_bucket("photos", versioning=True)
    before = store.head("photos", "k")
    store.put("photos", "k", b"after")
    assert store.read("photos", "k", before.version, limit=9) == b"before"


# --- which store ----------------------------------------------------------------------------------------------------


def test_the_settings_choose_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    folder = open_objects(Settings(home=tmp_path))
    assert isinstance(folder, FolderStore)
    assert folder.root == tmp_path / "buckets"
    own = open_objects(Settings(home=tmp_path, s3_endpoint="http://127.0.0.1:9000"))
    assert isinstance(own, S3Store)
    assert own.endpoint == "http://127.0.0.1:9000"
    amazon = open_objects(Settings(home=tmp_path, s3_endpoint="aws", region="eu-west-3"))
    assert isinstance(amazon, S3Store)
    assert amazon.endpoint is None
    with pytest.raises(ObjectStoreError, match="is not an address"):
        open_objects(Settings(home=tmp_path, s3_endpoint="not an address"))

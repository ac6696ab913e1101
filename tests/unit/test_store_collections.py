"""ListCollections: order, pages, scope, cost."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import delete, insert

from openrek.contract.call import Call, Caller
from openrek.contract.errors import InvalidPaginationTokenException
from openrek.service.collections import list_collections
from openrek.service.pagination import PageTokens
from openrek.service.services import Services
from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.schema import collections

ACCOUNT = "000000000000"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    settings = Settings(home=tmp_path)
    database = Database.open(settings.database_address)
    yield cast(Services, SimpleNamespace(settings=settings, database=database, page_tokens=PageTokens(b"s" * 32)))
    database.close()


def add(services: Services, *names: str, account: str = ACCOUNT, region: str = "us-east-1") -> None:
    with services.database.begin() as connection:
        for name in names:
            row = {"account_id": account, "region": region, "collection_id": name, "created_ms": 1}
            connection.execute(insert(collections).values(face_model_version="v" + name[:8], **row))


def remove(services: Services, *names: str) -> None:
    with services.database.begin() as connection:
        connection.execute(delete(collections).where(collections.c.collection_id.in_(names)))


def ask(services: Services, **request: Any) -> dict[str, Any]:
    call = Call("ListCollections", "id", Caller("OREKAAAAAAAAAAAAAAAA", ACCOUNT, "us-east-1"), request)
    return dict(list_collections(cast(Any, request), call, services))


def pages(services: Services, size: int) -> list[list[str]]:
    found, token = [], None
    while True:
        answer = ask(services, MaxResults=size, **({"NextToken": token} if token else {}))
        assert len(answer["CollectionIds"]) == len(answer["FaceModelVersions"])
        found.append(answer["CollectionIds"])
        token = answer.get("NextToken")
        if token is None:
            return found
        assert len(token) <= 255


def test_an_empty_store(services: Services) -> None:
    assert ask(services) == {"CollectionIds": [], "FaceModelVersions": []}


def test_ids_ascend_and_versions_are_parallel(services: Services) -> None:
    add(services, "b", "a", "B", "_", "a.b", "a-b", "10", "9")
    answer = ask(services)
    assert answer["CollectionIds"] == ["10", "9", "B", "_", "a", "a-b", "a.b", "b"]
    assert answer["FaceModelVersions"] == ["v" + name for name in answer["CollectionIds"]]
    assert "NextToken" not in answer


def test_only_the_callers_account_and_region(services: Services) -> None:
    add(services, "mine")
    add(services, "other-account", account="111111111111")
    add(services, "other-region", region="eu-west-1")
    assert ask(services)["CollectionIds"] == ["mine"]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 4096])
def test_pages_cover_everything_once(services: Services, size: int) -> None:
    names = [f"c{n}" for n in range(7)]
    add(services, *names)
    found = pages(services, size)
    assert [name for page in found for name in page] == names
    assert all(len(page) == size for page in found[:-1])
    assert len(found) == -(-7 // size)


@pytest.mark.parametrize("request_part", [{}, {"MaxResults": 0}])
def test_the_largest_page_is_the_default_and_what_0_means(services: Services, request_part: dict[str, int]) -> None:
    names = [f"c{n:04d}" for n in range(4098)]
    add(services, *names)
    answer = ask(services, **request_part)
    assert answer["CollectionIds"] == names[:4096]
    assert ask(services, NextToken=answer["NextToken"], **request_part)["CollectionIds"] == names[4096:]


@pytest.mark.parametrize("size", [1, 3])
def test_the_longest_ids_fit_into_tokens(services: Services, size: int) -> None:
    names = [letter * 250 + digit * 5 for letter in "ab" for digit in "0123"]
    add(services, *names)
    assert [name for page in pages(services, size) for name in page] == names


@pytest.mark.parametrize("length", [1, 250])
def test_deleting_each_page_while_paging_leaves_nothing_behind(services: Services, length: int) -> None:
    names = [letter * length + digit for letter in "abc" for digit in "0123"]
    add(services, *names)
    seen: set[str] = set()
    token = None
    for _ in range(len(names) + 2):
        answer = ask(services, MaxResults=2, **({"NextToken": token} if token else {}))
        seen.update(answer["CollectionIds"])
        remove(services, *answer["CollectionIds"])
        token = answer.get("NextToken")
        if token is None:
            break
    assert token is None
    assert seen == set(names)
    assert ask(services)["CollectionIds"] == []


def test_a_foreign_token_is_refused(services: Services) -> None:
    with pytest.raises(InvalidPaginationTokenException):
        ask(services, NextToken="made-up")


def test_a_write_of_another_process_is_seen_at_once(services: Services) -> None:
    other = Database.open(services.settings.database_address)
    elsewhere = cast(Services, SimpleNamespace(database=other))
    for number in range(3):
        add(elsewhere, f"c{number}")
        assert len(ask(services)["CollectionIds"]) == number + 1
    other.close()


def test_a_list_is_read_by_the_driver_alone(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on the event loop, where an execution by SQLAlchemy would cost ten times the query."""
    add(services, "a")

    def execute(*_: object, **__: object) -> None:
        raise AssertionError("SQLAlchemy was asked")

    for name in ("execute", "exec_driver_sql", "scalars", "scalar"):
        monkeypatch.setattr(f"sqlalchemy.Connection.{name}", execute)
    assert ask(services)["CollectionIds"] == ["a"]

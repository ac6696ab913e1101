"""One script on both databases: a SQLite file, and a real PostgreSQL server beside us."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from openrek.contract.call import Call, Caller
from openrek.contract.errors import IdempotentParameterMismatchException
from openrek.service.collections import list_collections
from openrek.service.idempotency import once
from openrek.service.pagination import PageTokens
from openrek.service.services import Services
from openrek.settings import Settings
from openrek.store.access_keys import AccessKeys
from openrek.store.database import Database
from openrek.store.errors import StoreError, TokenMismatchError
from openrek.store.request_tokens import RequestTokens, TokenScope
from openrek.store.schema import HEAD, collections, metadata, request_tokens
from openrek.store.server_secret import ServerSecret

ACCOUNT = "000000000000"


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns in `count` threads that start at the same time."""
    barrier = threading.Barrier(count)

    def start(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


def add(database: Database, *names: str, region: str = "us-east-1") -> None:
    with database.begin() as connection:
        for name in names:
            row = {"account_id": ACCOUNT, "region": region, "collection_id": name, "face_model_version": "7.0"}
            connection.execute(insert(collections).values(created_ms=1, **row))


# --- opening --------------------------------------------------------------------------------------------------------


def test_the_migrations_make_the_tables(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, metadata) == []


def test_first_openings_at_the_same_time_agree(address: str) -> None:
    def opening(_: int) -> bytes:
        database = Database.open(address)
        secret = ServerSecret(database).value
        database.close()
        return secret

    assert len(set(together(4, opening))) == 1


def test_a_newer_database_is_refused(address: str) -> None:
    database = Database.open(address)
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(StoreError, match="has schema revision 9999, but this openrek knows revisions up to"):
        Database.open(address)


# --- transactions ---------------------------------------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    def fail() -> None:
        with database.begin() as connection:
            row = {"account_id": ACCOUNT, "region": "r", "face_model_version": "7.0", "created_ms": 1}
            connection.execute(insert(collections).values(collection_id="a", **row))
            connection.execute(insert(collections).values(collection_id="a", **row))

    with pytest.raises(IntegrityError):
        fail()
    with database.read() as connection:
        assert connection.execute(select(collections)).all() == []


def test_a_mistake_in_a_statement_is_one_sentence(database: Database) -> None:
    def ask() -> None:
        with database.read() as connection:
            connection.execute(text("SELECT * FROM absent"))

    with pytest.raises(StoreError, match="absent") as caught:
        ask()
    assert "\n" not in str(caught.value)


def test_numbers_are_never_given_twice(database: Database) -> None:
    numbers = []
    for _ in range(3):
        add(database, "c")
        with database.begin() as connection:
            numbers.append(connection.execute(select(collections.c.id)).scalar_one())
            connection.execute(collections.delete())
    assert len(set(numbers)) == 3


# --- access keys and secrets ----------------------------------------------------------------------------------------


def test_the_life_of_a_key(database: Database, address: str, tmp_path: Path) -> None:
    keys, other_database = AccessKeys(database), Database.open(address)
    elsewhere = AccessKeys(other_database)
    assert keys.list() == []
    first = keys.first_key(tmp_path)
    assert first is not None
    pair = keys.create("Größe")
    assert elsewhere.secret_of(pair.access_key_id) == keys.secret_of(pair.access_key_id) == pair.secret
    assert [key.label for key in elsewhere.list()] == ["made by the first start", "Größe"]
    assert keys.revoke(pair.access_key_id)
    assert not elsewhere.revoke(pair.access_key_id)
    assert elsewhere.secret_of(pair.access_key_id) is keys.secret_of(pair.access_key_id) is None
    assert keys.secret_of("\x00" * 20) is None
    again = elsewhere.first_key(tmp_path)
    assert again is not None
    assert (again.access_key_id, again.created) == (first.access_key_id, False)
    other_database.close()


def test_several_first_starts_agree_on_one_key(database: Database, tmp_path: Path) -> None:
    firsts = together(4, lambda _: AccessKeys(database).first_key(tmp_path))
    assert len({first.access_key_id for first in firsts}) == 1
    assert sorted(first.created for first in firsts) == [False, False, False, True]
    assert len(AccessKeys(database).list()) == 1


def test_all_who_race_for_a_secret_get_the_same(database: Database) -> None:
    assert len(set(together(8, lambda _: ServerSecret(database, "raced").value))) == 1
    assert ServerSecret(database, "another").value != ServerSecret(database, "raced").value


# --- request tokens -------------------------------------------------------------------------------------------------

SCOPE = TokenScope(ACCOUNT, "us-east-1", "CreateUser", "t")


def test_a_token_is_done_once(database: Database) -> None:
    tokens = RequestTokens(database)
    assert tokens.once(SCOPE, "f", lambda _: "first") == "first"
    assert tokens.once(SCOPE, "f", lambda _: "second") == "first"
    assert tokens.once(SCOPE._replace(token="T"), "f", lambda _: "third") == "third"
    with pytest.raises(TokenMismatchError):
        tokens.once(SCOPE, "g", lambda _: "fourth")
    assert tokens.count() == 2


def test_repeats_wait_for_the_first(database: Database) -> None:
    tokens = RequestTokens(database)
    runs: list[int] = []

    def ask(number: int) -> str:
        def work(_: object) -> str:
            runs.append(number)
            time.sleep(0.1)
            return f"by {number}"

        return tokens.once(SCOPE, "f", work)

    answers = together(6, ask)
    assert len(runs) == 1
    assert set(answers) == {f"by {runs[0]}"}


def test_a_repeat_does_the_work_when_the_first_fails(database: Database) -> None:
    tokens = RequestTokens(database)
    runs: list[int] = []

    def ask(number: int) -> str:
        def work(connection: Any) -> str:
            row = {"account_id": ACCOUNT, "region": "r", "face_model_version": "7.0", "created_ms": 1}
            connection.execute(insert(collections).values(collection_id=f"c{number}", **row))
            runs.append(number)
            time.sleep(0.05)
            if len(runs) == 1:
                raise ValueError("the first one fails")
            return f"by {number}"

        try:
            return tokens.once(SCOPE, "f", work)
        except ValueError:
            return "failed"

    answers = together(4, ask)
    assert len(runs) == 2
    assert sorted(answers) == sorted(["failed"] + [f"by {runs[1]}"] * 3)
    with database.read() as connection:
        assert connection.execute(select(collections.c.collection_id)).scalars().all() == [f"c{runs[1]}"]


def test_different_tokens_at_the_same_time(database: Database) -> None:
    tokens = RequestTokens(database)
    answers = together(8, lambda n: tokens.once(SCOPE._replace(token=str(n)), "f", lambda _: str(n)))
    assert answers == [str(number) for number in range(8)]


def test_expired_tokens_count_no_more_and_are_pruned(database: Database) -> None:
    short, long = RequestTokens(database, lifetime=0.02), RequestTokens(database)
    for number in range(5):
        short.once(SCOPE._replace(token=str(number)), "f", lambda _: "old")
    long.once(SCOPE, "f", lambda _: "kept")
    time.sleep(0.03)
    assert long.once(SCOPE._replace(token="0"), "other", lambda _: "new") == "new"
    together(4, lambda _: long.prune())
    with database.read() as connection:
        left = connection.execute(select(request_tokens.c.token, request_tokens.c.response)).all()
    assert sorted(tuple(row) for row in left) == [("0", "new"), ("t", "kept")]


def test_once_for_an_operation(database: Database, tmp_path: Path) -> None:
    services = cast(Services, SimpleNamespace(settings=Settings(home=tmp_path), database=database))
    caller = Caller("OREKAAAAAAAAAAAAAAAA", ACCOUNT, "us-east-1")

    def ask(user: str, answer: str) -> Any:
        request = {"UserId": user, "ClientRequestToken": "t"}
        return once(services, Call("CreateUser", "id", caller, request), lambda _: {"Answer": answer})

    assert ask("ü", "1") == {"Answer": "1"}
    assert ask("ü", "2") == {"Answer": "1"}
    with pytest.raises(IdempotentParameterMismatchException):
        ask("u", "3")


# --- collections ----------------------------------------------------------------------------------------------------


def test_collections_are_listed_by_code_point(database: Database) -> None:
    names = ["b", "a", "B", "_", "a.b", "a-b", "aB", "10", "9", "Z" * 255, "z"]
    add(database, *names)
    add(database, "elsewhere", region="eu-west-1")
    services = cast(Services, SimpleNamespace(database=database, page_tokens=PageTokens(b"s" * 32)))

    def ask(**request: Any) -> Any:
        caller = Caller("OREKAAAAAAAAAAAAAAAA", ACCOUNT, "us-east-1")
        return list_collections(cast(Any, request), Call("ListCollections", "id", caller, request), services)

    assert ask()["CollectionIds"] == sorted(names)
    found: list[str] = []
    answer = ask(MaxResults=4)
    while True:
        found += answer["CollectionIds"]
        if "NextToken" not in answer:
            break
        answer = ask(MaxResults=4, NextToken=answer["NextToken"])
    assert found == sorted(names)

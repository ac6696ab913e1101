"""ClientRequestToken: done once, answered alike."""

import math
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from openrek.contract.call import Call, Caller
from openrek.contract.errors import ConflictException, IdempotentParameterMismatchException
from openrek.service.idempotency import fingerprint, once
from openrek.service.services import Services
from openrek.settings import Settings
from openrek.store.database import Database
from openrek.store.request_tokens import RequestTokens
from openrek.store.schema import collections


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    defaults = Settings(home=tmp_path)
    database = Database.open(defaults.database_address)
    yield cast(Services, SimpleNamespace(settings=defaults, database=database))
    database.close()


def lived(services: Services, seconds: float) -> Services:
    """The same services with another lifetime of tokens."""
    other = Settings(home=services.settings.home, request_token_lifetime=seconds)
    return cast(Services, SimpleNamespace(settings=other, database=services.database))


def call(
    token: str | None = "token-1", *, operation: str = "CreateUser", region: str = "us-east-1", **request: Any
) -> Call:
    parameters = request | ({"ClientRequestToken": token} if token is not None else {})
    return Call(operation, "id", Caller("OREKAAAAAAAAAAAAAAAA", "000000000000", region), parameters)


class Work:
    """A handler's work: adds a collection, and answers with how often it was asked."""

    def __init__(self, *, fails: int = 0, seconds: float = 0) -> None:
        self.runs = 0
        self.fails = fails
        self.seconds = seconds

    def __call__(self, connection: Connection) -> Mapping[str, Any]:
        self.runs += 1
        connection.execute(
            insert(collections).values(
                account_id="000000000000",
                region="us-east-1",
                collection_id=f"run-{self.runs}",
                face_model_version="7.0",
                created_ms=self.runs,
            )
        )
        time.sleep(self.seconds)
        if self.runs <= self.fails:
            raise ConflictException("not now")
        return {"Run": self.runs, "Part": {"List": [1.5, "ü", None, True]}}


def written(services: Services) -> list[str]:
    with services.database.read() as connection:
        return list(connection.execute(select(collections.c.collection_id).order_by(collections.c.id)).scalars())


def test_the_same_request_is_done_once(services: Services) -> None:
    work = Work()
    answers = [once(services, call(UserId="u"), work) for _ in range(3)]
    assert work.runs == 1
    assert answers[0] == {"Run": 1, "Part": {"List": [1.5, "ü", None, True]}}
    assert answers[1] == answers[2] == answers[0]
    assert written(services) == ["run-1"]


def test_a_record_outlives_the_process(services: Services) -> None:
    once(services, call(), Work())
    services.database.close()
    database = Database.open(services.settings.database_address)
    other = cast(Services, SimpleNamespace(settings=services.settings, database=database))
    work = Work()
    assert once(other, call(), work)["Run"] == 1
    assert work.runs == 0
    database.close()


def test_other_parameters_are_refused(services: Services) -> None:
    work = Work()
    once(services, call(UserId="u"), work)
    with pytest.raises(IdempotentParameterMismatchException) as caught:
        once(services, call(UserId="v"), work)
    assert caught.value.message == "The ClientRequestToken: token-1 you have supplied is already in use."
    assert work.runs == 1


def test_another_token_region_or_operation_is_another_request(services: Services) -> None:
    work = Work()
    for other in (call(), call("token-2"), call(region="eu-west-1"), call(operation="DeleteUser"), call("TOKEN-1")):
        once(services, other, work)
    assert work.runs == 5


def test_without_a_token_the_work_is_done_each_time(services: Services) -> None:
    work = Work()
    assert [once(services, call(None), work)["Run"] for _ in range(3)] == [1, 2, 3]
    assert len(written(services)) == 3


def test_a_failure_leaves_nothing_and_may_be_tried_again(services: Services) -> None:
    work = Work(fails=1)
    with pytest.raises(ConflictException):
        once(services, call(), work)
    assert written(services) == []
    assert RequestTokens(services.database).count() == 0
    assert once(services, call(), work)["Run"] == 2
    assert written(services) == ["run-2"]


def test_repeats_wait_for_the_first(services: Services) -> None:
    work, answers = Work(seconds=0.2), []
    barrier = threading.Barrier(6)

    def ask() -> None:
        barrier.wait()
        answers.append(once(services, call(), work))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert work.runs == 1
    assert [answer["Run"] for answer in answers] == [1] * 6


def test_a_token_expires(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000
    monkeypatch.setattr("openrek.store.request_tokens.now_ms", lambda: now)
    short = lived(services, 10)
    work = Work()
    assert once(short, call(), work)["Run"] == 1
    now += 9_999
    assert once(short, call(), work)["Run"] == 1
    now += 1
    assert once(short, call(UserId="other"), work)["Run"] == 2  # other parameters: the old record counts no more
    assert RequestTokens(services.database).count() == 1


def test_tokens_live_seven_days_by_default(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    once(services, call(), work)
    monkeypatch.setattr("openrek.store.request_tokens.now_ms", lambda: round((time.time() + 7 * 86400 - 60) * 1000))
    once(services, call(), work)
    assert work.runs == 1
    monkeypatch.setattr("openrek.store.request_tokens.now_ms", lambda: round((time.time() + 7 * 86400 + 60) * 1000))
    once(services, call(), work)
    assert work.runs == 2


def test_expired_records_are_pruned(services: Services) -> None:
    tokens, short = RequestTokens(services.database), lived(services, 0.001)
    for number in range(20):
        once(short, call(f"short-{number}"), lambda _: {})
    once(services, call("long"), lambda _: {"Kept": True})
    time.sleep(0.01)
    tokens.prune()
    assert tokens.count() == 1
    assert once(services, call("long"), lambda _: {}) == {"Kept": True}


def test_an_answer_that_cannot_be_kept_is_an_error_and_undone(services: Services) -> None:
    for answer in ({"Time": datetime.now(UTC)}, {"Bytes": b"x"}):
        with pytest.raises(TypeError):
            once(services, call(), lambda _, answer=answer: answer)
    assert RequestTokens(services.database).count() == 0


# --- fingerprints ---------------------------------------------------------------------------------------------------

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5)
)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3))
requests = st.dictionaries(st.text(max_size=3), values, max_size=4)


def same(one: object, two: object) -> bool:
    """Equal, with types: 1, 1.0 and True are three parameters."""
    if type(one) is not type(two):
        return False
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, float) and isinstance(two, float):
        return one == two and math.copysign(1, one) == math.copysign(1, two)
    return one == two


@settings(deadline=None)
@given(requests, requests)
def test_fingerprints_are_equal_exactly_for_equal_parameters(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert fingerprint(one) == fingerprint(dict(reversed(one.items())) | {"ClientRequestToken": "any"})
    assert (fingerprint(one) == fingerprint(two)) == same(one, two)


def test_every_kind_of_parameter_counts() -> None:
    now = datetime(2030, 1, 2, tzinfo=UTC)
    base: dict[str, Any] = {"Image": {"Bytes": b"abc"}, "When": now, "Names": ["a", "b"], "Max": 5}
    others = [
        base | {"Image": {"Bytes": b"abd"}},
        base | {"When": datetime(2030, 1, 3, tzinfo=UTC)},
        base | {"Names": ["b", "a"]},
        base | {"Max": 6},
        {name: value for name, value in base.items() if name != "Max"},
    ]
    assert len({fingerprint(request) for request in (base, *others)}) == 6

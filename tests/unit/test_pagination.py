"""Page tokens: what opens them, and all that does not."""

import json
import time
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrek.contract.call import Call, Caller
from openrek.contract.errors import InvalidPaginationTokenException
from openrek.contract.model import operation_model, operation_names
from openrek.service.pagination import LONGEST_TOKEN, PageTokens

SECRET = bytes(range(32))
CALLER = Caller("KEY", "000000000000", "us-east-1")
tokens = PageTokens(SECRET)


def call(operation: str = "ListFaces", caller: Caller = CALLER, **request: Any) -> Call:
    return Call(operation, "request", caller, {"CollectionId": "a", **request})


def refused(made: PageTokens, asked: Call, token: str) -> str:
    with pytest.raises(InvalidPaginationTokenException) as caught:
        made.open(asked, token)
    return caught.value.message


STATE = st.dictionaries(st.text(max_size=4), st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.none(), max_size=3)


@given(STATE)
def test_a_token_brings_its_state_back(state: dict[str, Any]) -> None:
    token = tokens.seal(call(), state)
    assert tokens.open(call(), token) == state
    assert len(token) <= LONGEST_TOKEN
    assert token.isascii()


def test_page_size_and_the_token_itself_may_change() -> None:
    token = tokens.seal(call(MaxResults=5), {"after": 1})
    assert tokens.open(call(MaxResults=9, NextToken=token), token) == {"after": 1}
    assert tokens.open(call(NextToken=token), token) == {"after": 1}


def test_another_access_key_of_the_same_account_may_go_on() -> None:
    token = tokens.seal(call(), {"after": 1})
    assert tokens.open(call(caller=Caller("OTHER", "000000000000", "us-east-1")), token) == {"after": 1}


@pytest.mark.parametrize(
    "other",
    [
        call(CollectionId="b"),
        call(UserId="u"),
        call("ListUsers"),
        call(caller=Caller("KEY", "111111111111", "us-east-1")),
        call(caller=Caller("KEY", "000000000000", "eu-west-1")),
    ],
)
def test_another_question_is_refused(other: Call) -> None:
    assert refused(tokens, other, tokens.seal(call(), {"after": 1})) == "Invalid Pagination Token"


def test_another_secret_is_refused() -> None:
    assert refused(PageTokens(b"x" * 32), call(), tokens.seal(call(), {})) == "Invalid Pagination Token"


def test_a_changed_character_is_refused() -> None:
    """Every character at every place, of a token whose signature holds a letter that base64 spells in two ways."""
    sealed = (tokens.seal(call(), {"after": "face", "number": number}) for number in range(1000))
    token = next(token for token in sealed if {"-", "_"} & set(token.rpartition(".")[2]))
    for index, letter in product(range(len(token)), map(chr, range(0x21, 0x7F))):
        if letter != token[index]:
            refused(tokens, call(), token[:index] + letter + token[index + 1 :])


@pytest.mark.parametrize("more", ["=", "!", "\n", "A"])
def test_a_lengthened_token_is_refused(more: str) -> None:
    refused(tokens, call(), tokens.seal(call(), {}) + more)


@given(st.text(max_size=255))
def test_any_text_is_refused(text: str) -> None:
    refused(tokens, call(), text)


@pytest.mark.parametrize("part", [0, 2])
def test_parts_of_two_tokens_do_not_mix(part: int) -> None:
    first = tokens.seal(call(), {"after": 1}).split(".")
    second = tokens.seal(call(CollectionId="b"), {"after": 2}).split(".")
    mixed = [*first]
    mixed[part] = second[part]
    if mixed != first:
        refused(tokens, call(), ".".join(mixed))


def test_tokens_live_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    token = tokens.seal(call(), {"after": 1})
    monkeypatch.setattr(time, "time", lambda: now + 86_390)
    assert tokens.open(call(), token) == {"after": 1}
    monkeypatch.setattr(time, "time", lambda: now + 86_410)
    message = refused(tokens, call(), token)
    assert message == "Invalid Pagination Token: tokens expire after 24 hours; begin without one."


def test_the_state_does_not_depend_on_the_order_of_parameters() -> None:
    one = Call("ListFaces", "r", CALLER, {"CollectionId": "a", "FaceIds": ["x"], "UserId": "u"})
    two = Call("ListFaces", "r", CALLER, {"UserId": "u", "FaceIds": ["x"], "CollectionId": "a"})
    assert tokens.open(two, tokens.seal(one, {"after": 1})) == {"after": 1}


def test_150_bytes_of_json_fit_and_much_more_does_not() -> None:
    import random

    noise = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", k=400))
    state = {"after": noise[:138]}
    assert len(json.dumps(state, separators=(",", ":"))) == 150
    assert tokens.open(call(), tokens.seal(call(), state)) == state
    with pytest.raises(ValueError, match="255 are allowed"):
        tokens.seal(call(), {"after": noise})


def test_every_paged_operation_takes_tokens_of_this_length() -> None:
    """The model's own limit of NextToken is never below ours, and the only page size member is MaxResults."""
    paged = 0
    for operation in operation_names():
        shape = operation_model(operation).input_shape
        assert shape is not None
        members = shape.members
        if "NextToken" in members:
            paged += 1
            assert members["NextToken"].metadata["max"] >= LONGEST_TOKEN
            assert "MaxResults" in members
    assert paged >= 18

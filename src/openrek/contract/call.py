"""What a call is: who asked for which operation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of the access key that signed the request."""

    access_key_id: str
    account_id: str
    region: str

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:user/{self.access_key_id}"


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated, validated request on its way to a handler. `request` holds the parsed parameters."""

    operation: str
    request_id: str
    caller: Caller
    request: Mapping[str, Any]

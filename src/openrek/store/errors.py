"""The errors of the store. Their messages are one sentence that a person can act on."""


class StoreError(RuntimeError):
    """The database or the object store cannot do what was asked: unreachable, read-only, full, damaged, too new."""


class TokenMismatchError(StoreError):
    """A request token was used before with other parameters."""


class MissingError(LookupError):
    """What a write refers to is not there, or no more."""


class CollectionMissingError(MissingError):
    """The collection is gone."""


class UserMissingError(MissingError):
    """The collection has no such user."""


class ExistsError(ValueError):
    """A name that must be new is in use."""


class FullError(ValueError):
    """A write would go beyond a limit; `limit` is that."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"at most {limit:,} are allowed")
        self.limit = limit

"""The errors of the store. Their messages are one sentence that a person can act on."""


class StoreError(RuntimeError):
    """The database or the object store cannot do what was asked: unreachable, read-only, full, damaged, too new."""


class TokenMismatchError(StoreError):
    """A request token was used before with other parameters."""

"""What can go wrong with a model. Every message is a whole sentence that a person can act on."""


class ModelError(Exception):
    """Base of the model errors."""


class CardError(ModelError, ValueError):
    """A model card is not valid, or two cards bear one name."""


class UnknownModelError(ModelError, LookupError):
    """No card or pack has this name."""


class ModelUnavailableError(ModelError):
    """The model's file is missing and cannot be had, or is not what its card says."""


class ModelRunError(ModelError):
    """The model does not load or a run of it failed: wrong inputs, out of memory, an operator that is not supported."""

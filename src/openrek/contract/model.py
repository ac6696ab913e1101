"""The Rekognition service model that ships in botocore: the single source of names, shapes and constraints."""

from functools import cache
from typing import Final

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

SERVICE: Final = "rekognition"


@cache
def service_model() -> ServiceModel:
    """The service model, loaded once (about 20 ms)."""
    return ServiceModel(Loader().load_service_model(SERVICE, "service-2"), service_name=SERVICE)


@cache
def operation_names() -> tuple[str, ...]:
    """The names of all operations, sorted."""
    return tuple(sorted(service_model().operation_names))


@cache
def operation_model(name: str) -> OperationModel:
    """The model of one operation; raises botocore's OperationNotFoundError for an unknown name."""
    return service_model().operation_model(name)

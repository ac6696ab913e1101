"""Which object store the settings ask for."""

from openrek.settings import Settings
from openrek.store.objects.base import ObjectStore
from openrek.store.objects.folder import FolderStore
from openrek.store.objects.s3 import S3Store


def open_objects(settings: Settings) -> ObjectStore:
    """The folder `<home>/buckets`, AWS S3 itself (`s3_endpoint` is "aws"), or the S3 endpoint of the settings."""
    if settings.s3_endpoint is None:
        return FolderStore(settings.home / "buckets")
    endpoint = None if settings.s3_endpoint == "aws" else settings.s3_endpoint
    return S3Store(endpoint, region=settings.region)

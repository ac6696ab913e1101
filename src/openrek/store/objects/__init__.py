"""Objects: pictures and videos in buckets, in a folder of this machine or in S3."""

from openrek.store.objects.base import (
    ObjectInfo,
    ObjectNotFoundError,
    ObjectStore,
    ObjectStoreError,
    ObjectTooLargeError,
)
from openrek.store.objects.folder import FolderStore, ListedObject
from openrek.store.objects.s3 import S3Store
from openrek.store.objects.select import open_objects

__all__ = [
    "FolderStore",
    "ListedObject",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectStore",
    "ObjectStoreError",
    "ObjectTooLargeError",
    "S3Store",
    "open_objects",
]

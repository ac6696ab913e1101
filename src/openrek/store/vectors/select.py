"""Which search a database gets."""

from pathlib import Path

from openrek.store.database import Database
from openrek.store.vectors.base import VectorSearch
from openrek.store.vectors.embedded import EmbeddedSearch
from openrek.store.vectors.source import StoredVectors


def open_search(database: Database, folder: Path) -> VectorSearch:
    """The search over a database's vectors; `folder` is for its indexes."""
    return EmbeddedSearch(folder, StoredVectors(database))

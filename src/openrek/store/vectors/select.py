"""Which search a database gets."""

from pathlib import Path

from openrek.store.database import Database
from openrek.store.vectors.base import VectorSearch
from openrek.store.vectors.embedded import EmbeddedSearch
from openrek.store.vectors.pgvector import PgVectorSearch, prepare
from openrek.store.vectors.source import StoredVectors


def open_search(database: Database, folder: Path) -> VectorSearch:
    """pgvector where PostgreSQL has it, so that servers share one index; else indexes of this machine in `folder`.

    Raises StoreError.
    """
    source = StoredVectors(database)
    return PgVectorSearch(database, source) if prepare(database) else EmbeddedSearch(folder, source)

"""Which search a database gets."""

from pathlib import Path

from openrek.store.database import Database
from openrek.store.vectors.base import VectorSearch
from openrek.store.vectors.embedded import EmbeddedSearch
from openrek.store.vectors.pgvector import PgVectorSearch, prepare
from openrek.store.vectors.source import StoredVectors


def open_search(database: Database, folder: Path, *, embedded: bool = False) -> VectorSearch:
    """pgvector where PostgreSQL has it, so that servers share one index; else, or where `embedded` asks for it, indexes
    of this machine in `folder`.

    Raises StoreError.
    """
    source = StoredVectors(database)
    if embedded or not prepare(database):
        return EmbeddedSearch(folder, source)
    return PgVectorSearch(database, source)

"""Search over the vectors of a collection. The database has the truth; all that is kept here can be made again."""

from openrek.store.vectors.base import Matches, VectorSearch, VectorSource
from openrek.store.vectors.embedded import EmbeddedSearch
from openrek.store.vectors.select import open_search
from openrek.store.vectors.source import StoredVectors

__all__ = ["EmbeddedSearch", "Matches", "StoredVectors", "VectorSearch", "VectorSource", "open_search"]

"""Vector search inside PostgreSQL, by its extension pgvector (0.8 or newer): several servers share one index.

The vectors of the collections are copied, at half precision, to a table of the schema `openrek_search`, which can be
dropped at any time: the change numbers say how far it is, and any server takes in what is missing before it answers.
A small collection is looked at whole; a large one gets an HNSW graph (Malkov and Yashunin, 2018), built in the
background. What comes back is ranked by the exact vectors.
"""

import logging
import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import OperationalError

from openrek.store.database import Database
from openrek.store.errors import CollectionMissingError, StoreError
from openrek.store.schema import collections
from openrek.store.vector_changes import Changes, Floats, Kind
from openrek.store.vectors.base import Matches, Numbers, VectorSource

log = logging.getLogger(__name__)

HALF_ERROR: Final = 1.5e-3
"""More than half precision of both vectors can change a cosine: 2 * 2**-11, and the rounding of the sum."""

GRAPH_FROM: Final = 50_000
"""Rows of a collection from which on it gets a graph; 50,000 are looked at in about 30 ms."""

EF_SEARCH: Final = 600
"""Rows that a search in a graph keeps in view, at least. Of a million faces 200, 400, 600 and 1000 find 97.6, 99.4,
99.8 and 99.95 % of the ten best, in 11, 16, 21 and 31 ms."""

COUNT_AFTER: Final = 500  # changes, after which it is counted again whether a graph is due
BUILD_MEMORY: Final = "1GB"
DROP_PATIENCE: Final = "1s"
LEAST_SLACK: Final = 1e-6

# statistics would be samples of the vectors, and outlive an erasure
_TABLES: Final = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA IF NOT EXISTS openrek_search;
CREATE TABLE IF NOT EXISTS openrek_search.vectors (
    collection bigint NOT NULL, kind "char" NOT NULL, number bigint NOT NULL, vector halfvec NOT NULL,
    PRIMARY KEY (collection, kind, number)
);
ALTER TABLE openrek_search.vectors ALTER COLUMN vector SET STORAGE PLAIN;
ALTER TABLE openrek_search.vectors ALTER COLUMN vector SET STATISTICS 0;
CREATE TABLE IF NOT EXISTS openrek_search.progress (
    collection bigint NOT NULL, kind "char" NOT NULL, change bigint NOT NULL, dimension integer NOT NULL,
    PRIMARY KEY (collection, kind)
);
"""
_MADE: Final = """
SELECT count(*) FROM pg_attribute WHERE attname = 'vector' AND attstattarget = 0
AND attrelid = to_regclass('openrek_search.vectors') AND to_regclass('openrek_search.progress') IS NOT NULL
"""
"""1 where all of _TABLES is there."""

_KEPT: Final = """
SELECT collection FROM openrek_search.progress UNION
SELECT CAST(substring(relname FROM '^graph_([0-9]+)_') AS bigint) FROM pg_class
WHERE relkind = 'i' AND relnamespace = 'openrek_search'::regnamespace AND relname ~ '^graph_[0-9]+_'
"""
"""The collections of which there are vectors or graphs."""

_LETTERS: Final[dict[Kind, str]] = {"faces": "f", "users": "u"}


def prepare(database: Database) -> bool:
    """Make the extension and the tables; False where pgvector is not installed, too old, or not allowed."""
    if database.embedded:
        return False
    query = "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
    with database.read() as connection:
        version = connection.execute(text(query)).scalar()
        made = connection.execute(text(_MADE)).scalar()
    if version is None or tuple(int(part) for part in str(version).split(".")[:2]) < (0, 8):
        return False
    if made:  # making sure again would wait for whoever builds a graph, and let every search wait meanwhile
        return True
    try:
        with database.begin(alone="pgvector") as connection:
            for statement in _TABLES.split(";\n"):
                if statement.strip():
                    connection.execute(text(statement))
    except StoreError as error:
        log.warning("pgvector is installed but cannot be used, each server keeps its own index: %s", error)
        return False
    return True


class PgVectorSearch:
    """A VectorSearch in the database. Needs `prepare`."""

    def __init__(self, database: Database, source: VectorSource, *, graph_from: int = GRAPH_FROM) -> None:
        self._database = database
        self._source = source
        self._graph_from = graph_from
        self._known: dict[tuple[int, Kind], tuple[int, int]] = {}  # change and dimension: never less in the database
        self._graphs: set[tuple[int, Kind]] = set()
        self._building: set[tuple[int, Kind]] = set()
        self._counted: dict[tuple[int, Kind], int] = {}
        self._lock = threading.Lock()

    def search(self, collection: int, query: Floats, *, least: float = -1.0, limit: int, kind: Kind) -> Matches:
        """As VectorSearch.search; in a collection with a graph, a vector may rarely be missed."""
        exact = np.asarray(query, np.float64)
        length = float(np.linalg.norm(exact))
        if not np.isfinite(length) or length == 0:
            raise ValueError("a query vector needs a finite length above 0")
        exact = exact / length
        dimension = self._catch_up(collection, kind)
        if not dimension:
            return Matches(np.zeros(0, np.int64), np.zeros(0, np.float32))
        if dimension != len(exact):
            raise ValueError(f"the vectors have {dimension} dimensions, the query {len(exact)}")
        asked = 2 * limit + 100
        while True:
            numbers, rough = self._nearest(collection, kind, exact, asked)
            matches, missing = self._ranked(collection, kind, exact, numbers, least, limit)
            # who was not asked for is no better than the last one who was
            reached = rough[-1] + HALF_ERROR if len(rough) == asked else -1.0
            worst = float(matches.cosines[-1]) if len(matches.numbers) == limit else least
            if reached <= worst or missing:
                return matches
            asked *= 4

    def forget(self, collection: int) -> None:
        """As VectorSearch.forget."""
        kinds: tuple[Kind, ...] = ("faces", "users")
        if self._source.newest(collection) is not None:
            for kind in kinds:
                self._catch_up(collection, kind)
            return
        with self._database.begin() as connection:
            for table in ("vectors", "progress"):
                connection.execute(
                    text(f"DELETE FROM openrek_search.{table} WHERE collection = :collection"),
                    {"collection": collection},
                )
        for kind in kinds:
            self._known.pop((collection, kind), None)
            self._drop_graph(_graph(collection, kind))

    def sweep(self) -> None:
        """As VectorSearch.sweep: a server may have died before `forget`, or another may have taken vectors in then."""
        with self._database.read() as connection:
            kept = {int(number) for number in connection.execute(text(_KEPT)).scalars()}
            there = set(connection.execute(select(collections.c.id)).scalars()) if kept else set()
        for number in sorted(kept - there):
            self.forget(number)

    def close(self) -> None:
        """Nothing is kept here."""

    @property
    def building(self) -> bool:
        """Whether a graph is being built by this process."""
        return bool(self._building)

    # --- searching ----------------------------------------------------------------------------------------------------

    def _nearest(
        self, collection: int, kind: Kind, query: NDArray[np.float64], count: int
    ) -> tuple[Numbers, NDArray[np.float64]]:
        """The `count` rows with the greatest cosines at half precision, as far as the graph finds them."""
        code = f"vector::halfvec({len(query)}) <#> '[{','.join(f'{value:.7g}' for value in query)}]'"
        statement = (
            f"SELECT number, -({code}) FROM openrek_search.vectors "
            f"WHERE collection = {int(collection)} AND kind = '{_LETTERS[kind]}' ORDER BY {code} LIMIT {int(count)}"
        )
        with self._database.read() as connection:
            connection.execute(text(f"SET LOCAL hnsw.ef_search = {min(1000, max(EF_SEARCH, count))}"))
            connection.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
            connection.execute(text("SET LOCAL hnsw.max_scan_tuples = 200000"))
            rows = connection.exec_driver_sql(statement).all()
        numbers = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        return numbers, np.fromiter((row[1] for row in rows), np.float64, len(rows))

    def _ranked(
        self, collection: int, kind: Kind, query: NDArray[np.float64], numbers: Numbers, least: float, limit: int
    ) -> tuple[Matches, int]:
        fresh, vectors = self._source.vectors(collection, kind, numbers.tolist())
        if not len(fresh):
            return Matches(fresh, np.zeros(0, np.float32)), len(numbers)
        cosines = (vectors * query).sum(axis=1)
        kept = np.nonzero(cosines >= least - LEAST_SLACK)[0]
        order = kept[np.lexsort((fresh[kept], -cosines[kept]))[:limit]]
        found = Matches(fresh[order], np.clip(cosines[order], -1, 1).astype(np.float32))
        return found, len(numbers) - len(fresh)

    # --- keeping up ---------------------------------------------------------------------------------------------------

    def _catch_up(self, collection: int, kind: Kind) -> int:
        """Take in what was committed before this call, by whichever server; the dimension, 0 without vectors."""
        newest = self._source.newest(collection)
        if newest is None:
            self.forget(collection)
            raise CollectionMissingError(f"collection {collection} is gone")
        key = (collection, kind)
        known = self._known.get(key, (-1, 0))
        if known[0] < newest:
            known = self._follow(collection, kind, newest)
            self._known[key] = known
            self._maintain(collection, kind, known[1])
        return known[1]

    def _follow(self, collection: int, kind: Kind, newest: int) -> tuple[int, int]:
        """Take in what the table misses, from the start where removals are not told any more; how far it is then."""
        begun = known = self._progress(collection, kind)
        while known[0] < newest:
            changes = self._source.since(collection, known[0], kind)
            known = self._take_in(collection, kind, known, changes)
        if self._source.forgotten(collection) <= (begun[0] or newest):
            return known
        with self._database.begin(alone=f"vectors {collection} {kind}") as connection:
            if self._progress(collection, kind, connection) == known:  # else another server is at it
                for table in ("vectors", "progress"):
                    connection.execute(
                        text(f"DELETE FROM openrek_search.{table} WHERE collection = :collection AND kind = :kind"),
                        {"collection": collection, "kind": _LETTERS[kind]},
                    )
        return self._follow(collection, kind, self._source.newest(collection) or 0)

    def _progress(self, collection: int, kind: Kind, connection: Connection | None = None) -> tuple[int, int]:
        if connection is None:
            with self._database.read() as connection:
                return self._progress(collection, kind, connection)
        statement = (
            "SELECT change, dimension FROM openrek_search.progress WHERE collection = :collection AND kind = :kind"
        )
        row = connection.execute(text(statement), {"collection": collection, "kind": _LETTERS[kind]}).one_or_none()
        return (int(row[0]), int(row[1])) if row is not None else (0, 0)

    def _take_in(self, collection: int, kind: Kind, known: tuple[int, int], changes: Changes) -> tuple[int, int]:
        """One portion, all or none; how far the table is then. Another server may have been faster."""
        dimension = changes.vectors.shape[1] or known[1]
        if known[1] not in (0, dimension):
            raise ValueError(f"a vector of {dimension} dimensions among those of {known[1]}")
        letter = _LETTERS[kind]
        with self._database.begin(alone=f"vectors {collection} {kind}") as connection:
            there = self._progress(collection, kind, connection)
            if there != known:
                return there
            gone = np.concatenate([changes.removed, changes.numbers]) if known[0] else changes.removed
            if len(gone):
                connection.execute(
                    text(
                        "DELETE FROM openrek_search.vectors WHERE collection = :collection AND kind = :kind "
                        "AND number = ANY(CAST(:numbers AS bigint[]))"
                    ),
                    {"collection": collection, "kind": letter, "numbers": gone.tolist()},
                )
            if len(changes.numbers):
                _copy(connection, collection, letter, changes)
            connection.execute(
                text(
                    "INSERT INTO openrek_search.progress VALUES (:collection, :kind, :change, :dimension) "
                    "ON CONFLICT (collection, kind) DO UPDATE SET change = :change, dimension = :dimension"
                ),
                {"collection": collection, "kind": letter, "change": changes.upto, "dimension": dimension},
            )
        return changes.upto, dimension

    # --- the graph ----------------------------------------------------------------------------------------------------

    def _maintain(self, collection: int, kind: Kind, dimension: int) -> None:
        """Begin to build a graph where one is due."""
        key = (collection, kind)
        change = self._known[key][0]
        if key in self._graphs or key in self._building or change - self._counted.get(key, -COUNT_AFTER) < COUNT_AFTER:
            return
        first = "SELECT FROM openrek_search.vectors WHERE collection = :c AND kind = :k LIMIT :n"
        with self._database.read() as connection:
            parameters = {"c": collection, "k": _LETTERS[kind], "n": self._graph_from}
            rows = int(connection.execute(text(f"SELECT count(*) FROM ({first}) AS counted"), parameters).scalar_one())
        self._counted[key] = change
        if rows < self._graph_from:
            return
        with self._lock:
            if key in self._building:
                return
            self._building.add(key)
        thread = threading.Thread(
            target=self._build, args=(collection, kind, dimension), name="vectors-graph", daemon=True
        )
        thread.start()

    def _build(self, collection: int, kind: Kind, dimension: int) -> None:
        try:
            if self.build_graph(collection, kind, dimension):
                self._graphs.add((collection, kind))
        except Exception as error:  # every search goes on looking at all rows: slower, not wrong
            log.warning("building the graph of collection %d failed: %s", collection, error)
        finally:
            self._building.discard((collection, kind))

    def build_graph(self, collection: int, kind: Kind, dimension: int) -> bool:
        """Build the graph of a collection unless it is there; others wait for nothing meanwhile.

        Whether it is there now: not where another server is building it, which may die at it.
        """
        name, letter = _graph(collection, kind), _LETTERS[kind]
        with self._database.apart() as connection:
            locked = connection.execute(text("SELECT pg_try_advisory_lock(hashtext(:name))"), {"name": name}).scalar()
            if not locked:
                return False
            try:
                valid = connection.execute(
                    text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"),
                    {"name": f"openrek_search.{name}"},
                ).scalar()
                if valid:
                    return True
                if valid is not None:  # left over from a server that was killed
                    connection.execute(text(f"DROP INDEX IF EXISTS openrek_search.{name}"))
                connection.execute(text(f"SET maintenance_work_mem = '{BUILD_MEMORY}'"))
                connection.exec_driver_sql(
                    f"CREATE INDEX CONCURRENTLY {name} ON openrek_search.vectors "
                    f"USING hnsw ((vector::halfvec({int(dimension)})) halfvec_ip_ops) "
                    f"WITH (m = 16, ef_construction = 100) WHERE collection = {int(collection)} AND kind = '{letter}'"
                )
                # the planner takes a large collection that it knows nothing of for a few rows, and reads all of it
                connection.execute(text("ANALYZE openrek_search.vectors"))
                return True
            finally:
                connection.execute(text("RESET maintenance_work_mem"))
                connection.execute(text("SELECT pg_advisory_unlock(hashtext(:name))"), {"name": name})

    def _drop_graph(self, name: str) -> None:
        """Searches go on meanwhile. Where another graph is being built, the next sweep drops this one: the builder
        would wait for us."""
        with self._database.apart() as connection:
            if connection.execute(text(f"SELECT to_regclass('openrek_search.{name}')")).scalar() is None:
                return
            connection.execute(text(f"SET lock_timeout = '{DROP_PATIENCE}'"))
            try:
                connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS openrek_search.{name}")
            except OperationalError as error:
                log.info("the graph %s is dropped later: %s", name, error.orig)
            finally:
                connection.execute(text("RESET lock_timeout"))


def _graph(collection: int, kind: Kind) -> str:
    return f"graph_{int(collection)}_{_LETTERS[kind]}"


def _copy(connection: Connection, collection: int, letter: str, changes: Changes) -> None:
    """Send rows in PostgreSQL's binary COPY format: each a count of fields, then length and bytes of every field."""
    count, dimension = changes.vectors.shape
    fields = [("fields", ">i2"), ("c_size", ">i4"), ("c", ">i8"), ("k_size", ">i4"), ("k", "S1"), ("n_size", ">i4")]
    fields += [("n", ">i8"), ("v_size", ">i4"), ("v_dimension", ">i2"), ("v_unused", ">i2")]
    rows = np.zeros(count, np.dtype([*fields, ("v", ">f2", (dimension,))]))
    rows["fields"], rows["c_size"], rows["k_size"], rows["n_size"] = 4, 8, 1, 8
    rows["c"], rows["k"], rows["n"] = collection, letter.encode(), changes.numbers
    rows["v_size"], rows["v_dimension"], rows["v"] = 4 + 2 * dimension, dimension, changes.vectors
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy("COPY openrek_search.vectors FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff")

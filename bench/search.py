"""Vector search at 10 thousand to 10 million faces: latency, recall, build time, memory, disk, adds while searching.

    python -m bench.search [--ten-million] [--postgresql postgresql://user@/empty_database?host=...] [--write FILE]

The vectors are made up after the statistics of real embeddings of 2,500 photographed faces: cosines of two people
0.894 on average with a standard deviation of 0.027, 8 photos a person at 0.965, and the variance about the mean
falling over 75 of the 128 directions (about 24 of them count). Recall is held against the product of all float32
vectors. Queries are photos that are in the collection, lightly changed. Memory is what the search adds to the process.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert

from bench.__main__ import machine, put, table
from openrek.store.collections import Collections
from openrek.store.database import Database
from openrek.store.faces import Faces, NewFace
from openrek.store.schema import faces as faces_table
from openrek.store.vector_changes import next_change, pack
from openrek.store.vectors import EmbeddedSearch, VectorSearch, open_search
from openrek.store.vectors.pgvector import PgVectorSearch

Vectors = NDArray[np.float32]
DIMENSION = 128
BATCH = 20_000
PER_PERSON = 8
QUERIES = 200
LIMIT = 10


def portions(count: int, seed: int = 0) -> Iterator[Vectors]:
    """`count` made-up embeddings, BATCH at a time."""
    random = np.random.default_rng(seed)
    cone = random.standard_normal(DIMENSION)
    cone = (0.9455 * cone / np.linalg.norm(cone)).astype(np.float32)
    spectrum = np.where(np.arange(DIMENSION) < 75, 1 / (np.arange(DIMENSION) + 2), 0)
    turned = np.linalg.qr(random.standard_normal((DIMENSION, DIMENSION)))[0]
    basis = (np.sqrt(spectrum / spectrum.sum())[:, None] * turned).astype(np.float32)
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        people = random.standard_normal((-(-size // PER_PERSON), DIMENSION), dtype=np.float32)
        shots = random.standard_normal((size, DIMENSION), dtype=np.float32)
        vectors = cone + (0.265 * np.repeat(people, PER_PERSON, axis=0)[:size] + 0.187 * shots) @ basis
        yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def fill(database: Database, count: int) -> int:
    """Write `count` faces straight to the table: the way of IndexFaces would be the larger part of the benchmark."""
    collections = Collections(database)
    collections.create("0", "bench", "bench", "7.0", resource="arn", tags={})
    found = collections.find("0", "bench", "bench")
    assert found is not None
    done = 0
    box = {"box_left": 0.1, "box_top": 0.1, "box_width": 0.2, "box_height": 0.3, "confidence": 99.0}
    for vectors in portions(count):
        with database.begin() as connection:
            change = next_change(connection, found.number)
            base = {"collection_number": found.number, "image_id": "i", "model_version": "7.0", "created_ms": 0}
            rows = [
                base | box | {"face_id": f"{done + i:036d}", "vector": pack(vector), "change": change}
                for i, vector in enumerate(vectors)
            ]
            connection.execute(insert(faces_table), rows)
        done += len(vectors)
    return found.number


def queries(count: int) -> Vectors:
    """QUERIES vectors near some of those that `portions(count)` gives."""
    random = np.random.default_rng(1)
    first = next(portions(count))
    chosen = first[random.integers(0, len(first), QUERIES)]
    changed = chosen + 0.03 * random.standard_normal(chosen.shape).astype(np.float32) / DIMENSION**0.5
    return np.asarray(changed / np.linalg.norm(changed, axis=1, keepdims=True), np.float32)


def truth(asked: Vectors, count: int) -> list[set[int]]:
    """The LIMIT best positions for each query, from 0."""
    best = np.full((len(asked), LIMIT), -2.0, np.float32)
    places = np.zeros((len(asked), LIMIT), np.int64)
    start = 0
    for vectors in portions(count):
        cosines = np.concatenate([best, asked @ vectors.T], axis=1)
        here = np.broadcast_to(np.arange(start, start + len(vectors)), (len(asked), len(vectors)))
        positions = np.concatenate([places, here], axis=1)
        order = np.argpartition(-cosines, LIMIT, axis=1)[:, :LIMIT]
        best, places = np.take_along_axis(cosines, order, axis=1), np.take_along_axis(positions, order, axis=1)
        start += len(vectors)
    return [set(row.tolist()) for row in places]


def resident() -> float:
    """MB of this process in memory, mapped files included."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def timed(search: VectorSearch, collection: int, asked: Vectors, limit: int) -> tuple[list[float], list[list[int]]]:
    times, found = [], []
    for query in asked:
        start = time.perf_counter()
        matches = search.search(collection, query, limit=limit, kind="faces")
        times.append(1000 * (time.perf_counter() - start))
        found.append(matches.numbers.tolist())
    return times, found


def settle(search: VectorSearch, collection: int) -> None:
    """Wait for what goes on in the background."""
    if isinstance(search, EmbeddedSearch):
        index = search.index(collection, "faces")
        while index.rewriting:
            time.sleep(0.2)
    else:
        assert isinstance(search, PgVectorSearch)
        while search.building:
            time.sleep(0.2)


def adds_while_searching(
    database: Database, search: VectorSearch, collection: int, asked: Vectors
) -> tuple[float, float]:
    """Faces a second that one writer adds one by one while one searcher searches; the searcher's median in ms."""
    stop = threading.Event()
    times: list[float] = []

    def look() -> None:
        while not stop.is_set():
            times.extend(timed(search, collection, asked[:5], LIMIT)[0])

    searcher = threading.Thread(target=look)
    searcher.start()
    store, random, added, start = Faces(database), np.random.default_rng(2), 0, time.perf_counter()
    while time.perf_counter() - start < 5:
        vector = random.standard_normal(DIMENSION).astype(np.float32)
        store.add(collection, [NewFace(f"later-{added}", "i", None, (0, 0, 1, 1), 99.0, "7.0", vector)])
        added += 1
    rate = added / (time.perf_counter() - start)
    stop.set()
    searcher.join()
    return rate, statistics.median(times)


def measure(address: str, folder: Path, count: int) -> list[str]:
    """One line of the table."""
    database = Database.open(address)
    collection = fill(database, count)
    asked = queries(count)
    before = resident()
    search = open_search(database, folder / "vectors")
    start = time.perf_counter()
    search.search(collection, asked[0], limit=LIMIT, kind="faces")
    ready = time.perf_counter() - start
    settle(search, collection)
    built = time.perf_counter() - start
    timed(search, collection, asked[:10], LIMIT)
    times, found = timed(search, collection, asked, LIMIT)
    many, _ = timed(search, collection, asked[:20], 4096)
    memory = resident() - before
    exact = truth(asked, count)
    # numbers begin at 1, in the order of the rows
    hits = sum(len({number - 1 for number in row} & best) for row, best in zip(found, exact, strict=True))
    rate, meanwhile = adds_while_searching(database, search, collection, asked)
    search.close()
    disk = sum(path.stat().st_size for path in (folder / "vectors").rglob("*") if path.is_file())
    database.close()
    p95 = statistics.quantiles(times, n=20)[-1]
    return [
        f"{count:,}",
        "pgvector" if not isinstance(search, EmbeddedSearch) else "embedded",
        f"{statistics.median(times):.1f}",
        f"{p95:.1f}",
        f"{statistics.median(many):.1f}",
        f"{hits / (LIMIT * len(asked)):.4f}",
        f"{ready:.1f}",
        f"{built:.1f}",
        f"{memory:.0f}",
        f"{disk / 1e6:.0f}",
        f"{rate:.0f}",
        f"{meanwhile:.1f}",
    ]


HEAD = [
    "faces",
    "engine",
    "p50 ms",
    "p95 ms",
    "p50 ms, 4096 results",
    "recall@10",
    "first answer s",
    "built s",
    "memory MB",
    "disk MB",
    "adds/s while searching",
    "p50 ms meanwhile",
]


HEADING = "## Search among many faces"
NOTE = (
    "Made-up embeddings of 128 numbers with the statistics of real ones, the ten best of each query, one query at a "
    "time; recall against the exact products. The index is made at the first search; cells and graphs come later, in "
    "the background."
)


def section(sizes: Sequence[int], postgresql: str | None = None) -> str:
    """The part of docs/benchmarks.md."""
    lines = []
    for count in sizes:
        folder = Path(tempfile.mkdtemp(prefix="openrek-bench-"))
        try:
            address = postgresql or f"sqlite:///{folder / 'openrek.db'}"
            lines.append(measure(address, folder, count))
        finally:
            shutil.rmtree(folder)
    engine = " in PostgreSQL with pgvector" if postgresql else ""
    return f"{HEADING}{engine}\n\n{NOTE}\n\n" + table(HEAD, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--ten-million", action="store_true", help="needs about 12 GB of disk and half an hour")
    parser.add_argument("--postgresql", help="address of an empty database; measured in place of the embedded search")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown file")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    if options.postgresql and len(options.faces) + options.ten_million != 1:
        parser.error("an empty database is good for one size: give --faces with one number")
    text = section(options.faces + ([10_000_000] if options.ten_million else []), options.postgresql)
    print(machine(), text, sep="\n\n")
    if options.write:
        put(options.write, [text])


if __name__ == "__main__":
    main()

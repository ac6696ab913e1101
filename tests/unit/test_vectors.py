"""The embedded vector search: exact, up to date, and safe while rows come and go."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrek.store.errors import CollectionMissingError
from openrek.store.vectors import EmbeddedSearch, Matches
from openrek.store.vectors import index as index_module
from openrek.store.vectors.cells import Cells, in_line
from openrek.store.vectors.kernel import PIECES, products
from openrek.store.vectors.quantise import QUERY_STEPS, quantise, quantise_query
from tests.unit.vectors_kit import COLLECTION, MemorySource, faces, unit


def search_in(folder: Path, source: MemorySource, **options: int) -> EmbeddedSearch:
    return EmbeddedSearch(folder / "vectors", source, **options)


@pytest.fixture
def source() -> MemorySource:
    return MemorySource(faces(3000))


@pytest.fixture
def search(tmp_path: Path, source: MemorySource) -> Iterator[EmbeddedSearch]:
    search = search_in(tmp_path, source)
    yield search
    search.close()


def look(search: EmbeddedSearch, query: np.ndarray, limit: int = 10, least: float = -1.0) -> Matches:
    return search.search(COLLECTION, query, least=least, limit=limit, kind="faces")


def check(found: Matches, truth: list[tuple[int, float]]) -> None:
    assert found.numbers.tolist() == [number for number, _ in truth]
    np.testing.assert_allclose(found.cosines, [cosine for _, cosine in truth], atol=1e-6)


# --- the codes --------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), dimension=st.sampled_from([2, 7, 64, 128, 512]), power=st.sampled_from([1, 3, 9]))
def test_codes_keep_a_cosine_within_their_bound(seed: int, dimension: int, power: int) -> None:
    random = np.random.default_rng(seed)
    rows = unit(random.standard_normal((50, dimension)) ** power)  # a high power: few components have all the length
    query = quantise_query(random.standard_normal(dimension).astype(np.float32))
    coded = quantise(rows)
    approximate = (products([coded.codes], query.columns) @ query.weights) * coded.scales
    exact = rows.astype(np.float64) @ query.exact
    assert (np.abs(approximate - exact) <= coded.errors + query.error).all()
    assert coded.errors.max() < 0.06


@given(seed=st.integers(0, 1000), rows=st.integers(1, 70), width=st.sampled_from([4, 128, 512]))
def test_products_are_exact(seed: int, rows: int, width: int) -> None:
    random = np.random.default_rng(seed)
    codes = random.choice(np.array([0, 1, 127, 128, 129, 254, 255], np.uint8), (rows, width))
    columns = random.choice(np.array([-QUERY_STEPS, -1, 0, 1, QUERY_STEPS], np.int8), (width, 2))
    expected = (codes.astype(np.int64) - 128) @ columns.astype(np.int64)
    assert (products([codes], columns) == expected).all()
    pieces = np.array_split(codes, random.integers(1, PIECES + 1))  # some of them without rows
    assert (products(pieces, columns) == expected).all()


def test_products_of_the_largest_codes_do_not_overflow() -> None:
    codes = np.full((3, 512), 255, np.uint8)
    assert (products([codes], np.full((512, 2), QUERY_STEPS, np.int8)) == 127 * QUERY_STEPS * 512).all()


@pytest.mark.parametrize("query", [np.zeros(128), np.full(128, np.nan), np.full(128, np.inf)])
def test_a_query_without_direction_is_refused(search: EmbeddedSearch, query: np.ndarray) -> None:
    with pytest.raises(ValueError, match="length"):
        look(search, query.astype(np.float32))


# --- exactness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 10, 100, 2999, 3000, 4096])
def test_the_answer_is_that_of_looking_at_every_vector(
    search: EmbeddedSearch, source: MemorySource, limit: int
) -> None:
    for query in faces(5, seed=1):
        check(look(search, query, limit), source.truth(query, limit))


def test_every_vector_finds_itself(search: EmbeddedSearch, source: MemorySource) -> None:
    for number in range(1, 3001, 97):
        found = look(search, source.there[number][1], 1)
        assert found.numbers.tolist() == [number]
        assert found.cosines[0] == pytest.approx(1)


def test_least_is_a_bound_that_belongs_to_the_answer(search: EmbeddedSearch, source: MemorySource) -> None:
    query = source.there[50][1]
    truth = source.truth(query, 40)
    least = truth[20][1]
    check(look(search, query, 4096, least), truth[:21])
    check(look(search, query, 5, least), truth[:5])
    assert len(look(search, -query, 10, 0.99).numbers) == 0


def test_many_threads_share_a_large_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openrek.store.vectors.scan.BLOCK", 256)
    source = MemorySource(faces(5000, seed=3))
    search = search_in(tmp_path, source, threads=3)
    for query in faces(5, seed=4):
        for limit in (1, 17, 900):
            check(look(search, query, limit), source.truth(query, limit))
    search.close()


def test_equal_vectors_are_all_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    vectors = faces(100)
    source = MemorySource(np.concatenate([vectors, np.repeat(vectors[:1], 50, axis=0)]))
    search = search_in(tmp_path, source)
    found = look(search, vectors[0], 51)
    assert found.numbers.tolist() == [1, *range(101, 151)]
    search.close()


@pytest.mark.parametrize("dimension", [3, 64, 130, 512])
def test_any_dimension(tmp_path: Path, dimension: int) -> None:
    source = MemorySource(faces(500, dimension=dimension))
    search = search_in(tmp_path, source)
    query = faces(1, seed=9, dimension=dimension)[0]
    check(look(search, query), source.truth(query, 10))
    with pytest.raises(ValueError, match="dimensions"):
        look(search, faces(1, dimension=dimension + 1)[0])
    search.close()


def test_an_empty_collection_gives_nothing(tmp_path: Path) -> None:
    search = search_in(tmp_path, MemorySource())
    assert len(look(search, faces(1)[0]).numbers) == 0
    search.close()


# --- changes ----------------------------------------------------------------------------------------------------------


def test_a_search_sees_every_write_before_it(search: EmbeddedSearch, source: MemorySource) -> None:
    for query in faces(20, seed=5):
        (number,) = source.add(query[None])
        assert look(search, query, 1).numbers.tolist() == [number]
        source.remove([number])
        assert number not in look(search, query, 100).numbers


def test_a_replaced_vector_is_found_where_it_is_now(search: EmbeddedSearch, source: MemorySource) -> None:
    before, after = source.there[5][1], faces(1, seed=6)[0]
    assert look(search, before, 1).numbers.tolist() == [5]
    source.replace(5, after)
    assert look(search, after, 1).numbers.tolist() == [5]
    found = look(search, before, 3000)
    check(found, source.truth(before, 3000))
    source.replace(5, before)
    check(look(search, before, 3000), source.truth(before, 3000))


def test_changes_come_in_portions(tmp_path: Path) -> None:
    source = MemorySource(faces(1000), chunk=64)
    source.remove(list(range(1, 100)))
    search = search_in(tmp_path, source)
    query = faces(1, seed=8)[0]
    check(look(search, query, 1000), source.truth(query, 1000))
    assert source.reads > 10
    search.close()


def test_a_vector_that_goes_during_the_search_takes_no_place(
    search: EmbeddedSearch, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = faces(1, seed=2)[0]
    truth = source.truth(query, 30)
    original = source.vectors
    removed = False

    def vectors(collection: int, kind: str, numbers: list[int]):
        nonlocal removed
        if not removed:
            removed = True
            source.remove([number for number, _ in truth[:20]])
        return original(collection, "faces", numbers)

    look(search, query)
    monkeypatch.setattr(source, "vectors", vectors)
    check(look(search, query), truth[20:])


def test_what_is_removed_does_not_stay_in_the_files(tmp_path: Path, source: MemorySource) -> None:
    search = search_in(tmp_path, source)
    look(search, faces(1)[0])
    codes = quantise(source.there[77][1][None]).codes.tobytes()
    search.forget(COLLECTION)

    def holds() -> bool:
        return any(codes in path.read_bytes() for path in (tmp_path / "vectors").rglob("*.rows"))

    assert holds()
    source.remove([77])
    search.forget(COLLECTION)
    assert not holds()
    search.close()


def test_a_collection_that_is_gone(tmp_path: Path, source: MemorySource) -> None:
    search = search_in(tmp_path, source)
    look(search, faces(1)[0])
    search.forget(COLLECTION)
    assert list((tmp_path / "vectors").rglob("*.rows"))
    source.gone = True
    with pytest.raises(CollectionMissingError):
        look(search, faces(1)[0])
    assert not list((tmp_path / "vectors").rglob("*.rows"))
    search.close()


# --- while others write -----------------------------------------------------------------------------------------------


def hammer(search: EmbeddedSearch, source: MemorySource, seconds: float) -> int:
    """8 writers and 8 searchers; each writer's face is found once added, and not once removed."""
    failures: list[BaseException] = []
    stop = time.monotonic() + seconds
    searches = 0

    def write(seed: int) -> None:
        random = np.random.default_rng(seed)
        try:
            while time.monotonic() < stop:
                vector = unit(random.standard_normal((1, 128)))
                (number,) = source.add(vector)
                assert look(search, vector[0], 1).numbers.tolist() == [number]
                if random.random() < 0.7:
                    source.remove([number])
                    assert number not in look(search, vector[0], 5).numbers
        except BaseException as error:
            failures.append(error)

    def read(seed: int) -> None:
        nonlocal searches
        random = np.random.default_rng(seed)
        try:
            while time.monotonic() < stop:
                number = int(random.integers(1, 1000))
                found = look(search, source.there[number][1], 4)
                assert found.numbers[0] == number
                assert (np.diff(found.cosines) <= 0).all()
                searches += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(100, 108)]
    threads += [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    return searches


def test_eight_writers_and_eight_searchers(search: EmbeddedSearch, source: MemorySource) -> None:
    assert hammer(search, source, 2.0) > 20
    query = faces(1, seed=12)[0]
    check(look(search, query, 100), source.truth(query, 100))


# --- cells ------------------------------------------------------------------------------------------------------------


def wait_for_rewriting(search: EmbeddedSearch) -> None:
    deadline = time.monotonic() + 60
    while search.index(COLLECTION, "faces").rewriting:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@given(seed=st.integers(0, 1000), count=st.integers(1, 60), share=st.floats(0, 1))
def test_the_nearest_cells_are_ranges_that_do_not_touch(seed: int, count: int, share: float) -> None:
    random = np.random.default_rng(seed)
    cells = Cells(in_line(faces(count, seed=seed)), np.cumsum([0, *random.integers(0, 9, count)]))
    total = int(cells.offsets[-1])
    query = random.standard_normal(128)
    order = np.argsort(-(cells.centres @ query.astype(np.float32)))
    wanted = set(order[: int(np.searchsorted(np.cumsum(np.diff(cells.offsets)[order]), int(share * total))) + 1])
    rows = {row for cell in wanted for row in range(cells.offsets[cell], cells.offsets[cell + 1])}
    found = cells.nearest(query, int(share * total))
    assert sorted(row for start, stop in found for row in range(start, stop)) == sorted(rows)
    first, last = cells.offsets[order[0]], cells.offsets[order[0] + 1]
    assert found[0][0] <= first <= last <= found[0][1]
    ends = {stop for start, stop in found if stop > start}
    starts = {start for start, stop in found if stop > start}
    hollow = {int(cells.offsets[cell]) for cell in range(count) if cells.offsets[cell] == cells.offsets[cell + 1]}
    assert not (ends & starts) - hollow  # an empty cell between two is not looked for


def test_centres_in_line_are_the_same_ones_and_alike_ones_are_near() -> None:
    groups = np.repeat(faces(8, seed=1), 16, axis=0)
    centres = np.random.default_rng(2).permutation(groups)
    found = in_line(centres)
    assert sorted(map(tuple, found)) == sorted(map(tuple, groups))
    assert (np.diff(found, axis=0) != 0).any(axis=1).sum() == 7


def test_a_large_collection_is_put_in_cells_and_stays_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "PROBE_LEAST", 4000)
    source = MemorySource(faces(20_000, seed=1, factors=16))
    search = search_in(tmp_path, source, cells_from=10_000)
    look(search, faces(1)[0])
    wait_for_rewriting(search)
    assert search.index(COLLECTION, "faces").has_cells
    hits = 0
    for number in range(1, 20_001, 400):
        query = source.there[number][1]
        found = look(search, query, 10)
        hits += len({number for number, _ in source.truth(query, 10)} & set(found.numbers.tolist()))
        assert found.numbers[0] == number
    assert hits >= 485, f"recall at 10 is {hits / 500}"
    # new rows, outside the cells, and removed ones, inside
    query = faces(1, seed=77)[0]
    (number,) = source.add(query[None])
    source.remove([1, 401])
    assert look(search, query, 1).numbers.tolist() == [number]
    assert not {1, 401} & set(look(search, query, 4096).numbers.tolist())
    search.close()
    again = search_in(tmp_path, source, cells_from=10_000)
    reads = source.reads
    assert look(again, query, 1).numbers.tolist() == [number]
    assert again.index(COLLECTION, "faces").has_cells
    assert source.reads == reads, "the files were not used"
    again.close()


def test_rows_come_and_go_during_a_rewriting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "PROBE_LEAST", 100_000)  # all cells, so that the answer is exact
    source = MemorySource(faces(6000, seed=1))
    search = search_in(tmp_path, source, cells_from=3000)
    arrange = index_module.arrange
    query = faces(1, seed=3)[0]

    def slow(*args):
        result = arrange(*args)
        source.remove(list(range(10, 600)))
        source.replace(700, query)
        (number,) = source.add(faces(1, seed=55))
        source.remove([number])
        source.add(faces(50, seed=56))
        look(search, query)
        return result

    monkeypatch.setattr(index_module, "arrange", slow)
    look(search, query)
    wait_for_rewriting(search)
    assert search.index(COLLECTION, "faces").has_cells
    check(look(search, query, 8000), source.truth(query, 8000))
    search.close()


def test_many_removed_rows_are_given_back(tmp_path: Path) -> None:
    source = MemorySource(faces(15_000, per_person=1))
    search = search_in(tmp_path, source)
    query = faces(1, seed=3)[0]
    look(search, query)
    source.remove(list(range(1, 12_001)))
    look(search, query)
    wait_for_rewriting(search)
    assert search.index(COLLECTION, "faces").rows == 3000
    check(look(search, query, 4000), source.truth(query, 4000))
    search.close()

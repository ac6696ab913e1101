"""The runtime: loading once, running from many threads, unloading when idle, batching."""

import gc
import platform
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from openrek.vision.runtime import (
    Model,
    ModelError,
    ModelRunError,
    ModelUnavailableError,
    Runtime,
    UnknownModelError,
    subnormals,
)
from openrek.vision.runtime import runtime as module
from openrek.vision.runtime.batching import Batcher
from openrek.vision.runtime.hardware import usable_cores
from openrek.vision.runtime.session import Session, execution_providers
from tests.unit.runtime_kit import tiny_model, write_card

ONE = np.array([[1.0, 2.0, 3.0]], np.float32)


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    folder = tmp_path / "models.d"
    for name, factor in (("double", 2.0), ("triple", 3.0)):
        content = tiny_model(factor)
        write_card(folder, name, content, f"file:{name}.onnx")
        (folder / f"{name}.onnx").write_bytes(content)
    return folder


@pytest.fixture
def make(cards: Path, tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    made: list[Runtime] = []

    def make(**options: Any) -> Runtime:
        made.append(Runtime(cache=tmp_path / "cache", extra_cards=cards, threads=1, **options))
        return made[-1]

    yield make
    for runtime in made:
        runtime.close()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sessions made, in order; making one takes a little while."""
    names: list[str] = []

    def counted(name: str, path: Path, threads: int) -> Session:
        names.append(name)
        time.sleep(0.02)
        return Session(name, path, threads)

    monkeypatch.setattr(module, "Session", counted)
    return names


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited ten seconds in vain"
        time.sleep(0.01)


def together(count: int, call: Callable[[int], None]) -> None:
    """Run `call(0..count-1)` in threads; the first failure is raised."""
    errors: list[BaseException] = []

    def run(place: int) -> None:
        try:
            call(place)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


# --- running ----------------------------------------------------------------------------------------------------------


def test_a_model_runs(make: Callable[..., Runtime]) -> None:
    model = make().model("double")
    assert model.card.name == "double"
    assert (model.input_names, model.output_names) == (("x",), ("y",))
    assert model.metadata == {"character": "abc"}
    assert model.providers[-1] == "CPUExecutionProvider"
    [result] = model.run({"x": ONE})
    assert result.dtype == np.float32
    assert result.tolist() == [[2.0, 4.0, 6.0]]
    assert model.run({"x": ONE}, ["y"])[0].tolist() == [[2.0, 4.0, 6.0]]
    assert model.run({"x": ONE.repeat(5, axis=0)})[0].shape == (5, 3)


@pytest.mark.parametrize(
    ("feeds", "outputs"),
    [
        ({}, None),
        ({"z": ONE}, None),
        ({"x": ONE.astype(np.float64)}, None),
        ({"x": ONE[:, :2]}, None),
        ({"x": ONE}, ["z"]),
    ],
)
def test_wrong_inputs_are_one_sentence(make: Callable[..., Runtime], feeds: Any, outputs: Any) -> None:
    with pytest.raises(ModelRunError, match=r"^The model 'double' cannot be run: [^\n]+\.$"):
        make().model("double").run(feeds, outputs)


def test_subnormal_numbers_are_zero_while_a_model_runs_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(tiny_model(1e-30))
    session = Session("tiny", tmp_path / "tiny.onnx", threads=1)
    answers: list[Any] = []

    def ask() -> (
        None
    ):  # in a thread of its own: ONNX Runtime sets the mode in the first one that makes a session, for good
        answers.append(session.run({"x": np.array([[1e-12, 1.0, 0.0]], np.float32)})[0])
        answers.append(np.float32(1e-30) * np.full(4, 1e-12, np.float32))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    within, after = answers
    assert within[0, 1] == np.float32(1e-30)
    assert within[0, 0] == 0 or sys.platform != "linux" or platform.machine() != "x86_64"
    assert (after > 0).all()


def test_subnormal_numbers_come_back_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), subnormals.as_zero():
        raise ZeroDivisionError
    assert np.float32(1e-30) * np.float32(1e-12) > 0


def test_unknown_and_missing_models(make: Callable[..., Runtime], cards: Path) -> None:
    runtime = make(offline=True)
    with pytest.raises(UnknownModelError, match="no model 'nope'"):
        runtime.model("nope")
    (cards / "triple.onnx").unlink()
    with pytest.raises(ModelUnavailableError, match="'triple'"):
        runtime.model("triple")
    with pytest.raises(ModelUnavailableError, match="openrek models pull base"):
        runtime.model("centerface")
    assert runtime.model("double").run({"x": ONE})


def test_a_file_that_is_no_model(make: Callable[..., Runtime], cards: Path) -> None:
    write_card(cards, "junk", b"junk", "file:junk.onnx")
    (cards / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ModelRunError, match=r"^The model 'junk' \(.*\) cannot be loaded: [^\n]+\.$"):
        make().model("junk")


def test_nothing_is_made_before_it_is_asked_for(make: Callable[..., Runtime], loads: list[str], tmp_path: Path) -> None:
    runtime = make()
    assert loads == []
    assert not (tmp_path / "cache").exists()
    runtime.warm(["double", runtime.catalogue["triple"]])
    assert loads == ["double", "triple"]
    assert runtime.loaded() == ("double", "triple")


def test_threads_load_once_and_run_together(make: Callable[..., Runtime], loads: list[str]) -> None:
    runtime = make()

    def call(place: int) -> None:
        name, factor = ("double", 2) if place % 2 else ("triple", 3)
        array = np.full((1 + place % 3, 3), place, np.float32)
        for _ in range(20):
            [result] = runtime.model(name).run({"x": array})
            assert (result == place * factor).all()

    together(8, call)
    assert sorted(loads) == ["double", "triple"]
    assert runtime.model("double") is runtime.model("double")


def test_a_failed_load_is_tried_again(make: Callable[..., Runtime], cards: Path) -> None:
    runtime = make()
    content = (cards / "double.onnx").read_bytes()
    (cards / "double.onnx").unlink()
    with pytest.raises(ModelUnavailableError):
        runtime.model("double")
    (cards / "double.onnx").write_bytes(content)
    assert runtime.model("double").loaded


# --- idle time --------------------------------------------------------------------------------------------------------


def test_idle_models_leave_memory_and_come_back(make: Callable[..., Runtime], loads: list[str]) -> None:
    runtime = make(idle=0.5)
    model = runtime.model("double")
    eventually(lambda: runtime.loaded() == ())
    assert model.metadata == {"character": "abc"}
    assert model.run({"x": ONE})[0].tolist() == [[2.0, 4.0, 6.0]]
    assert loads == ["double", "double"]
    assert runtime.model("double") is model
    eventually(lambda: runtime.loaded() == ())


def test_used_models_stay(make: Callable[..., Runtime]) -> None:
    model = make().model("double")
    model.last_used -= 100
    model.run({"x": ONE})
    assert not model.unload(idle=60)
    assert model.loaded
    model.last_used -= 100
    assert model.unload(idle=60)
    assert not model.loaded


def test_a_model_in_use_is_not_unloaded(make: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch) -> None:
    started, finish = threading.Event(), threading.Event()

    class Slow(Session):
        def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
            started.set()
            assert finish.wait(10)
            return super().run(feeds, outputs)

    monkeypatch.setattr(module, "Session", Slow)
    runtime = make(idle=0.05)
    model = runtime.model("double")
    thread = threading.Thread(target=model.run, args=({"x": ONE},))
    thread.start()
    assert started.wait(10)
    time.sleep(0.3)
    assert not model.unload()
    assert runtime.loaded() == ("double",)
    finish.set()
    thread.join()
    eventually(lambda: runtime.loaded() == ())


def test_a_closed_runtime_says_so(make: Callable[..., Runtime]) -> None:
    runtime = make()
    model = runtime.model("double")
    with runtime:
        model.run({"x": ONE})
    assert not model.loaded
    with pytest.raises(ModelError, match="after the runtime was closed"):
        model.run({"x": ONE})


def test_a_forgotten_runtime_keeps_no_thread(cards: Path, tmp_path: Path) -> None:
    runtime = Runtime(cache=tmp_path, extra_cards=cards, threads=1, idle=0.2)
    runtime.model("double")
    reaper = runtime._reaper
    forgotten = weakref.ref(runtime)
    del runtime
    gc.collect()
    assert forgotten() is None
    assert reaper is not None
    reaper.join(5)
    assert not reaper.is_alive()


def test_memory_that_no_run_needs_is_given_back(make: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[float] = []
    monkeypatch.setattr(module, "TICK", 0.05)
    monkeypatch.setattr(module.memory, "release", lambda: released.append(time.monotonic()))
    model = make().model("double")
    eventually(lambda: len(released) == 1)
    time.sleep(0.2)
    assert len(released) == 1  # nothing ran since
    model.run({"x": ONE})
    eventually(lambda: len(released) == 2)


BALLOON = """
import pathlib, sys
import numpy as np
from openrek.vision.runtime import Runtime, memory

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

runtime = Runtime(cache=pathlib.Path(sys.argv[1]), extra_cards=pathlib.Path(sys.argv[1]), threads=1)
model = runtime.model("balloon")
before = resident()
model.run({"x": np.ones((10, 3), np.float32)})
after = resident()
memory.release()
print(before, after, resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_arena_is_shrunk(tmp_path: Path) -> None:
    """A model whose inner tensor takes 256 MiB: held by the arena after the run, gone after `release`."""
    content = balloon()
    write_card(tmp_path, "balloon", content, "file:balloon.onnx")
    (tmp_path / "balloon.onnx").write_bytes(content)
    done = subprocess.run([sys.executable, "-c", BALLOON, tmp_path], capture_output=True, text=True, check=True)
    before, after, released = map(int, done.stdout.split())
    assert after - before > 200
    assert released - before < 50


def balloon() -> bytes:
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
            helper.make_node("Expand", ["total", "shape"], ["large"]),
            helper.make_node("Exp", ["large"], ["larger"]),
            helper.make_node("ReduceMax", ["larger"], ["y"], keepdims=0),
        ],
        "balloon",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [helper.make_tensor("shape", TensorProto.INT64, [1], [64 * 2**20])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def test_memory_of_unloaded_models_is_trimmed(make: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed: list[bool] = []
    monkeypatch.setattr(module.memory, "trim", lambda: trimmed.append(True))
    runtime = make(idle=0.1)
    runtime.model("double")
    eventually(lambda: runtime.loaded() == ())
    eventually(lambda: trimmed == [True])


def test_trimming_does_no_harm() -> None:
    module.memory.trim()


def test_the_smallest_model_is_sound() -> None:
    model = onnx.load_from_string(module.memory.IDENTITY)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Identity"]


# --- batches ----------------------------------------------------------------------------------------------------------


class Engine:
    """A model that doubles, remembers the size of each run, and takes as long as it is told."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.sizes: list[int] = []
        self.names: list[Sequence[str] | None] = []
        self.busy = threading.Event()
        self.finish = threading.Event()

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        array = feeds["x"]
        self.sizes.append(len(array))
        self.names.append(outputs)
        if (array < 0).any():
            self.busy.set()
            assert self.finish.wait(10)
        if np.isnan(array).any():
            raise ModelRunError("not a number")
        time.sleep(self.pause)
        return [array * 2]


def occupied(engine: Engine, batcher: Batcher) -> threading.Thread:
    """A run under way, of another shape, until `engine.finish` is set."""
    thread = threading.Thread(target=batcher.run, args=({"x": np.full((1, 1), -1.0)},))
    thread.start()
    assert engine.busy.wait(10)
    return thread


def test_a_caller_who_is_alone_does_not_wait() -> None:
    engine = Engine()
    batcher = Batcher(engine.run, window=20.0, limit=8)
    started = time.monotonic()
    for _ in range(3):
        assert batcher.run({"x": ONE})[0].tolist() == [[2.0, 4.0, 6.0]]
    assert time.monotonic() - started < 15
    assert engine.sizes == [1, 1, 1]


def test_concurrent_runs_are_joined_and_taken_apart() -> None:
    engine = Engine()
    batcher = Batcher(engine.run, window=10.0, limit=6)
    other = occupied(engine, batcher)

    def call(place: int) -> None:
        [result] = batcher.run({"x": np.full((1, 3), place, np.float32)})
        assert result.shape == (1, 3)
        assert (result == 2 * place).all()

    together(6, call)
    engine.finish.set()
    other.join()
    assert engine.sizes == [1, 6]  # full, so that nobody waited for the window's end


def test_the_window_ends_the_wait() -> None:
    engine = Engine()
    batcher = Batcher(engine.run, window=1.0, limit=100)
    other = occupied(engine, batcher)
    together(3, lambda place: batcher.run({"x": ONE}) and None)
    engine.finish.set()
    other.join()
    assert engine.sizes == [1, 3]


def test_only_like_is_joined_with_like() -> None:
    engine = Engine()
    batcher = Batcher(engine.run, window=1.0, limit=100)
    other = occupied(engine, batcher)
    cases: list[tuple[NDArray[Any], list[str] | None]] = [
        (np.ones((1, 3), np.float32), None),
        (np.ones((1, 4), np.float32), None),
        (np.ones((1, 3), np.float64), None),
        (np.ones((1, 3), np.float32), ["y"]),
        (np.ones((2, 3), np.float32), None),
    ]
    results: dict[int, NDArray[Any]] = {}

    def call(place: int) -> None:
        array, outputs = cases[place]
        results[place] = batcher.run({"x": array}, outputs)[0]

    together(5, call)
    engine.finish.set()
    other.join()
    assert sorted(engine.sizes) == [1, 1, 1, 1, 1, 2]
    for place, (array, _) in enumerate(cases):
        assert (results[place].shape, results[place].dtype) == (array.shape, array.dtype)


def test_a_bad_item_fails_alone() -> None:
    engine = Engine()
    batcher = Batcher(engine.run, window=10.0, limit=4)
    other = occupied(engine, batcher)
    outcomes: dict[int, str] = {}

    def call(place: int) -> None:
        try:
            [result] = batcher.run({"x": np.full((1, 3), np.nan if place == 2 else place, np.float32)})
            outcomes[place] = f"{result[0, 0]:g}"
        except ModelRunError as error:
            outcomes[place] = str(error)

    together(4, call)
    engine.finish.set()
    other.join()
    assert outcomes == {0: "0", 1: "2", 2: "not a number", 3: "6"}
    assert engine.sizes == [1, 4, 1, 1, 1, 1]


def test_results_that_cannot_be_taken_apart_are_run_one_by_one() -> None:
    sizes: list[int] = []

    def total(feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None) -> list[NDArray[Any]]:
        sizes.append(len(feeds["x"]))
        time.sleep(0.05)
        return [feeds["x"].sum(axis=0)]

    batcher = Batcher(total, window=0.5, limit=3)
    results: list[float] = []
    together(4, lambda place: results.append(float(batcher.run({"x": np.full((1, 5), place)})[0][0])))
    assert sorted(results) == [0, 1, 2, 3]


def test_many_callers_all_get_their_own() -> None:
    engine = Engine(pause=0.002)
    batcher = Batcher(engine.run, window=0.005, limit=4)

    def call(place: int) -> None:
        for step in range(25):
            value = 100 * place + step
            assert batcher.run({"x": np.full((1, 3), value, np.float64)})[0].tolist() == [[2 * value] * 3]

    together(8, call)
    assert sum(engine.sizes) == 200
    assert max(engine.sizes) == 4
    assert batcher._running == 0
    assert batcher._open == {}


def test_a_card_allows_batches(make: Callable[..., Runtime], cards: Path) -> None:
    content = tiny_model()
    write_card(cards, "joined", content, "file:double.onnx", batch_window=0.01, batch_limit=4)
    model = make().model("joined")
    assert isinstance(model, Model)
    assert isinstance(model._batcher, Batcher)

    def call(place: int) -> None:
        for _ in range(20):
            assert (model.run({"x": np.full((1, 3), place, np.float32)})[0] == 2 * place).all()

    together(6, call)


# --- the machine ------------------------------------------------------------------------------------------------------


def pretend(system: Path, siblings: list[str], quota: str | None = None) -> None:
    for cpu, text in enumerate(siblings):
        folder = system / f"devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(text + "\n")
    if quota is not None:
        (system / "fs/cgroup").mkdir(parents=True)
        (system / "fs/cgroup/cpu.max").write_text(quota)


@pytest.mark.parametrize(
    ("siblings", "affinity", "quota", "cores"),
    [
        (["0", "1", "2", "3"], {0, 1, 2, 3}, None, 4),
        (["0-1", "0-1", "2-3", "2-3"], {0, 1, 2, 3}, None, 2),
        (["0,2", "1,3", "0,2", "1,3"], {0, 2}, None, 1),
        (["0", "1", "2", "3"], {1}, None, 1),
        (["0", "1", "2", "3"], {0, 1, 2, 3}, "max 100000\n", 4),
        (["0", "1", "2", "3"], {0, 1, 2, 3}, "150000 100000\n", 2),
        (["0", "1", "2", "3"], {0, 1, 2, 3}, "10000 100000\n", 1),
        (["0", "1"], {0, 1}, "900000 100000\n", 2),
        ([], {0, 1, 2}, None, 3),
        (["0"], {0}, "nonsense", 1),
    ],
)
def test_cores_that_may_be_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    siblings: list[str],
    affinity: set[int],
    quota: str | None,
    cores: int,
) -> None:
    pretend(tmp_path, siblings, quota)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: affinity, raising=False)
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize(("limit", "cores"), [("-1", 4), ("200000", 2)])
def test_quota_of_older_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, cores: int) -> None:
    pretend(tmp_path, ["0", "1", "2", "3"])
    (tmp_path / "fs/cgroup/cpu").mkdir(parents=True)
    (tmp_path / "fs/cgroup/cpu/cpu.cfs_quota_us").write_text(limit)
    (tmp_path / "fs/cgroup/cpu/cpu.cfs_period_us").write_text("100000")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize(
    ("available", "chosen"),
    [
        (["CPUExecutionProvider"], ("CPUExecutionProvider",)),
        (["AzureExecutionProvider", "CPUExecutionProvider"], ("CPUExecutionProvider",)),
        (
            ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
            ("CUDAExecutionProvider", "CPUExecutionProvider"),
        ),
        (
            ["OpenVINOExecutionProvider", "CPUExecutionProvider"],
            ("OpenVINOExecutionProvider", "CPUExecutionProvider"),
        ),
    ],
)
def test_accelerators_come_before_the_cpu(
    monkeypatch: pytest.MonkeyPatch, available: list[str], chosen: tuple[str, ...]
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: available)
    assert execution_providers() == chosen

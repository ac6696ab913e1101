"""A look asks each model once, wherever that happens."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from openrek.vision import look as module
from openrek.vision.image import Picture
from openrek.vision.look import NOTHING, Look
from openrek.vision.runtime import Runtime
from openrek.vision.runtime.errors import ModelRunError, UnknownModelError

PICTURE = Picture(np.zeros((10, 10, 3), np.uint8), 10, 10)
RUNTIME = cast(Runtime, SimpleNamespace(catalogue={"objects"}))


class Detector:
    """Stands in for the detector: remembers the threads that asked."""

    def __init__(self) -> None:
        self.models: list[str] = []
        self.threads: list[str] = []
        self.error: Exception | None = None

    def __call__(self, picture: Picture, runtime: Any, *, model: str) -> Any:
        self.models.append(model)
        self.threads.append(threading.current_thread().name)
        if self.error:
            raise self.error
        return "found" if model == "objects" else f"found by {model}"


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Detector:
    detector = Detector()
    monkeypatch.setattr(module, "detect_objects", detector)
    return detector


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, thread_name_prefix="other") as pool:
        monkeypatch.setattr(module, "_others", lambda: pool)
        yield pool


def test_objects_are_looked_for_once_and_meanwhile(detector: Detector, pool: ThreadPoolExecutor) -> None:
    look = Look(PICTURE, RUNTIME)
    look.begin()
    look.begin()
    assert pool.submit(lambda: list(detector.threads)).result() == ["other_0"]  # before anyone asked for them
    assert (look.objects, look.objects) == ("found", "found")
    look.begin()
    assert len(detector.threads) == 1


def test_where_all_others_are_busy_the_caller_looks(detector: Detector, pool: ThreadPoolExecutor) -> None:
    release = threading.Event()
    pool.submit(release.wait)
    look = Look(PICTURE, RUNTIME)
    look.begin()
    assert look.objects == "found"
    assert detector.threads == [threading.current_thread().name]
    release.set()
    assert pool.submit(lambda: len(detector.threads)).result() == 1


def test_what_goes_wrong_meanwhile_is_told_to_who_asks(detector: Detector, pool: ThreadPoolExecutor) -> None:
    detector.error = ModelRunError("no")
    look = Look(PICTURE, RUNTIME)
    look.begin()
    with pytest.raises(ModelRunError, match="no"):
        _ = look.objects


def test_without_the_base_detector_there_is_nothing(detector: Detector, pool: ThreadPoolExecutor) -> None:
    look = Look(PICTURE, cast(Runtime, SimpleNamespace(catalogue={"another"})))
    look.begin()
    assert look.objects is look.base_objects is NOTHING
    assert not detector.threads


def test_the_chosen_detector_and_the_base_one_are_asked_once_each(detector: Detector, pool: ThreadPoolExecutor) -> None:
    look = Look(PICTURE, RUNTIME, detector="another")
    for _ in range(2):
        look.begin()
        look.begin(base=True)
        assert (look.objects, look.base_objects) == ("found by another", "found")
    assert sorted(detector.models) == ["another", "objects"]


def test_where_the_base_detector_is_chosen_its_boxes_serve_both(detector: Detector, pool: ThreadPoolExecutor) -> None:
    look = Look(PICTURE, RUNTIME)
    look.begin()
    look.begin(base=True)
    assert (look.objects, look.base_objects) == ("found", "found")
    look.begin(base=True)
    assert detector.models == ["objects"]


def test_a_detector_that_is_not_there_is_said(tmp_path: Path) -> None:
    with Runtime(cache=tmp_path, offline=True) as runtime, pytest.raises(UnknownModelError, match="no model 'typo'"):
        _ = Look(PICTURE, runtime, detector="typo").objects

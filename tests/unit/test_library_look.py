"""What the photo library asks the models of a photo."""

import io
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from openrek.cli.library_look import Looker
from openrek.service.services import Services
from openrek.settings import Settings
from openrek.store.library import Kind
from openrek.vision.image import Picture
from openrek.vision.moderation import nudity
from openrek.vision.objects import Objects
from openrek.vision.runtime import Model, Runtime
from tests.unit.runtime_kit import tiny_model, write_card


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (160, 120), (120, 130, 140)).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_models_that_are_written_down_are_those_that_are_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photos: dict[str, Path]
) -> None:
    asked: set[str] = set()
    model = Runtime.model

    def remembered(self: Runtime, name: str) -> Model:
        asked.add(name)
        return model(self, name)

    monkeypatch.setattr(Runtime, "model", remembered)
    with closing(Services(Settings(home=tmp_path))) as services:
        looker = Looker(services)
        looked = looker(photos["astronaut"].read_bytes(), b"")
        assert (looked.faces, looked.models) == (1, looker.models)
        assert looked.models.split() == sorted(f"{name}:{services.runtime.catalogue[name].version}" for name in asked)


def models(home: Path, **settings: Any) -> set[str]:
    with closing(Services(Settings(home=home, **settings))) as services:
        return set(Looker(services).models.split())


def test_another_detector_and_models_of_ones_own_are_written_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = models(tmp_path)
    monkeypatch.setattr(nudity, "PACKAGE", "nudenet_stand_in")
    assert models(tmp_path, nudenet=True) == base
    (tmp_path / "nudenet_stand_in.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert models(tmp_path) == base
    assert models(tmp_path, nudenet=True) - base == {"nudenet_stand_in:"}
    assert models(tmp_path, detector="yolox-nano") - base == {"yolox-nano:0.1.1rc0"}
    cards = tmp_path / "models.d"
    for name, task in {
        "mine": "label-classification",
        "ours": "moderation-classification",
        "image": "label-zero-shot",
        "text": "label-text-encoder",
        "other-text": "label-text-encoder",
        "faces": "face-embedding",
    }.items():
        more = {"preprocess": {"text": "text"}} if name == "image" else {}
        write_card(cards, name, tiny_model(), f"file:{name}.onnx", task=task, version="7", **more)
    assert models(tmp_path) - base == {"mine:7", "ours:7", "image:7", "text:7"}


def test_labels_and_moderation_of_a_photo_have_their_own_detectors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def detect_objects(picture: Picture, runtime: Runtime, *, model: str) -> Objects:
        asked.append(model)
        names = ("pistol",) if model == "objects" else ("dog",)
        return Objects(np.float32([[10, 10, 60, 60]]), np.float32([0.9]), np.array([0]), names)

    monkeypatch.setattr("openrek.vision.look.detect_objects", detect_objects)
    with closing(Services(Settings(home=tmp_path, detector="yolox-nano"))) as services:
        seen = Looker(services)(png(), b"").seen
    assert sorted(asked) == ["objects", "yolox-nano"]
    assert "Weapons" in [each.name for each in seen if each.kind is Kind.FLAG]
    labels = [each.name for each in seen if each.kind is Kind.LABEL]
    assert "Dog" in labels
    assert "Handgun" not in labels

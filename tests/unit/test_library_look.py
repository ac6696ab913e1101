"""What the photo library asks the models of a photo."""

import io
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openrek.cli.library_look import Looker
from openrek.service.services import Services
from openrek.settings import Settings
from openrek.store.library import Kind
from openrek.vision.image import Picture
from openrek.vision.objects import Objects
from openrek.vision.runtime import Runtime


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (160, 120), (120, 130, 140)).save(buffer, "PNG")
    return buffer.getvalue()


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

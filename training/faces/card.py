"""Write what was measured into the model's card.

    python -m training.faces.card --run RUN --card src/openrek/vision/models/face-attributes.toml

A run of `training.faces.expression_train` goes into the card of its own, with what both networks say together.
Replaces the file's size and SHA-256 and all entries of accuracy; the rest of the card is written by hand.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.faces.expression import SAID

COMMAND = "python -m training.faces.evaluate --cache CACHE --run RUN"
_HELD = "held back by identity and picture hash"
_NAMES = {
    "male": ("gender accuracy", "CelebA and UTKFace"),
    "male in face-attributes": ("gender accuracy", "CelebA"),
    "male in age-gender": ("gender accuracy, babies and children included", "UTKFace"),
    "male, 16 years and older": ("gender accuracy from 16 years on", "UTKFace"),
    "smile": ("smile accuracy", "CelebA"),
    "eyeglasses": ("eyeglasses accuracy", "CelebA"),
    "sunglasses": ("sunglasses accuracy", "CelebA"),
    "mouth_open": ("open mouth accuracy", "CelebA"),
    "beard": ("beard accuracy", "CelebA"),
    "mustache": ("moustache accuracy", "CelebA"),
    "occluded": ("occlusion accuracy", "all sets but FER2013"),
    "occluded in face-mask-crops": ("mask accuracy", "close crops of masked and bare faces"),
    "occluded in face-mask-boxes": ("mask accuracy", "faces in street and crowd photos"),
}


def entries(told: dict[str, Any], second: bool) -> Iterator[tuple[str, float, str]]:
    """Metric, value and data of every number worth telling; of the `second` opinion, what it takes part in."""
    for name, (metric, data) in _NAMES.items():
        if second and name not in SAID:
            continue
        found = told["attributes"][name]
        aside = f"(balanced {found['balanced']:.3f}, ECE {found['ece']:.3f}; {found['positive']:.0%} positive)"
        yield f"{metric} {aside}", found["accuracy"], f"{data}: {found['n']:,} faces, {_HELD}"
    for name, what in (("emotion", "seven classes"), ("emotion, face detected", "seven classes, detected faces alone")):
        found = told[name]
        recall = ", ".join(f"{kind} {value:.2f}" for kind, value in found["recall"].items())
        aside = f"(balanced {found['balanced']:.3f}, ECE {found['ece']:.3f}; recall: {recall})"
        yield f"expression accuracy over {what} {aside}", found["accuracy"], f"FER2013: {found['n']:,} faces, {_HELD}"
    if second:
        return
    age = told["age"]
    width = f"(median width {age['median_width']:.0f} years, mean error {age['mean_error_years']:.1f})"
    yield f"share of ages inside the range {width}", age["inside"], f"UTKFace: {age['n']:,} faces, {_HELD}"
    found = told["landmarks"]
    where = f"HELEN: {found['n']:,} faces, {_HELD}"
    yield "mean error of the 30 landmarks, in distances of the eye centres", found["error_30_points"], where
    corners = found["error_30_points_by_outer_corners"]
    yield "mean error of the 30 landmarks, in distances of the outer eye corners", corners, where
    for axis in ("roll", "yaw", "pitch"):
        metric = f"mean degrees of {axis} between the pose solved from these landmarks and from the true ones"
        yield metric, found[f"pose_{axis}_degrees"], where
    for group, found in told["groups"].items():
        metric = f"gender accuracy; share of ages inside the range {found['inside']:.3f}"
        width = f"median width {found['median_width']:.0f} years, mean error {found['mean_error_years']:.1f}"
        yield f"{metric} ({width})", found["gender_accuracy"], f"UTKFace, {group}: {found['n']:,} faces, {_HELD}"


def write(run: Path, card: Path) -> None:
    """Bring the card at `card` up to date with the report of `run` and the ONNX file beside it."""
    model = card.with_suffix(".onnx").read_bytes()
    text = card.read_text()
    text = re.sub(r'^sha256 = ".*"$', f'sha256 = "{hashlib.sha256(model).hexdigest()}"', text, flags=re.M)
    text = re.sub(r"^size = \d+$", f"size = {len(model)}", text, flags=re.M)
    blocks = [block for block in text.rstrip().split("\n\n") if not block.startswith("[[accuracy]]")]
    told, calibration = (json.loads((run / f"{name}.json").read_text()) for name in ("report", "calibration"))
    second = bool(calibration.get("second"))
    command = f"{COMMAND} --second EXPRESSION" if second else COMMAND
    for metric, value, data in entries(told, second):
        lines = ["[[accuracy]]", f'metric = "{metric}"', f"value = {value:.4g}", f'data = "{data}"']
        blocks.append("\n".join([*lines, f'command = "{command}"']))
    card.write_text("\n\n".join(blocks) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--card", type=Path, required=True)
    asked = parser.parse_args()
    write(asked.run, asked.card)

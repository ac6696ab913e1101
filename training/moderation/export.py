"""Calibrate the trained heads and write src/openrek/vision/models/moderation.onnx.

    python -m training.moderation.export --trained OUT

A head that has a class of the object detector beside it (`evidence.READS`) first adds what the best box says
(`fusion`). A head's confidence is a logistic function of its score, set so that 60 % is where its share of ordinary
photos passes (`PASSING`, together about 2 %): ordinary photos scored by a network that never saw their set, and by a
detector that did not learn from them. The slope is that of a logistic regression of held-back pictures with the thing
against the ordinary ones.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.faces.splits import TEST, TRAIN, TUNE
from training.moderation.drawn import TYPES
from training.moderation.evidence import OBJECTS, READS
from training.moderation.fusion import LEAST, MOST, logistic, raised, weight_of
from training.moderation.model import CLASSES, SHARPNESS
from training.moderation.pictures import HEADS
from training.moderation.train import ORDINARY, auc

TARGET: Final = Path(__file__).parents[2] / "src/openrek/vision/models/moderation.onnx"
PASSING: Final = {
    "pistol": 0.003, "knife": 0.002, "long_gun": 0.002, "smoking": 0.004, "fire": 0.001, "playing_card": 0.001,
    "alcohol": 0.003, "pills": 0.001, "syringe": 0.001, "female_swimwear": 0.002, "male_swimwear": 0.001,
}  # fmt: skip
"""Share of ordinary photos that a head may call with 60 % or more."""

SLOT_MACHINE: Final = 800
"""ImageNet's class: no pictures at hand show one, so the backbone's own probability is taken as it is."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Pictures and what the heads said of them without having seen them: keys and sources (N,), scores (N, heads),
    truths (N, heads) 1, 0 or -1; boxes (N, heads): what the detector adds at weight 1, NaN where it learnt from the
    picture or was not asked; sides (N,): TUNE or TEST of the detector, TRAIN where boxes are NaN."""

    keys: NDArray[np.str_]
    sources: NDArray[np.str_]
    scores: NDArray[np.float32]
    truths: NDArray[np.int8]
    boxes: NDArray[np.float32]
    sides: NDArray[np.int64]

    def fused(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, heads): NaN where a head reads boxes and there are none."""
        return np.where(weights > 0, self.scores + weights * self.boxes, self.scores)


def scored(folder: Path) -> Scored:
    """Scores of `train` beside the boxes of `evidence`."""
    with np.load(folder / "scores.npz") as file:
        keys, scores, truths = file["keys"], file["scores"], file["truths"]
    with np.load(folder / "evidence.npz") as file:
        place = {key: number for number, key in enumerate(file["keys"])}
        best, known = raised(file["best"]), file["sides"]
    boxes, sides = np.full(scores.shape, np.nan, np.float32), np.full(len(keys), TRAIN)
    for number, key in enumerate(keys):
        if key in place:
            sides[number] = known[place[key]]
            boxes[number] = 0
            for head, name in READS.items():
                boxes[number, HEADS.index(head)] = best[place[key], OBJECTS.index(name)]
    sources = np.array([key.partition("/")[0] for key in keys])
    return Scored(keys, sources, scores, truths, boxes, sides)


def box_weights(found: Scored) -> NDArray[np.float32]:
    """(heads,): what a box adds to a head, fitted on the detector's tuning pictures; 0 for heads that read none."""
    weights = np.zeros(len(HEADS), np.float32)
    tuning = found.sides == TUNE
    for head in READS:
        number = HEADS.index(head)
        columns = (found.scores[tuning, number], found.boxes[tuning, number], found.truths[tuning, number])
        weights[number] = weight_of(*columns)
        print(f"{head:16} a box's log-odds weigh {weights[number]:.2f}")
    return weights


def calibration(found: Scored, scores: NDArray[np.float32]) -> list[list[float]]:
    """[[slope, score at 60 %], ...] of the heads. Half of the ordinary weight is street-boxes': everyday photos."""
    ordinary = np.isin(found.sources, ORDINARY)
    result = []
    for number, head in enumerate(HEADS):
        there = ~np.isnan(scores[:, number])
        negative = there & ordinary & (found.truths[:, number] == 0)
        street = negative & (found.sources == "street-boxes")
        weights = np.where(street, 0.5 / max(street.sum(), 1), 0.5 / max((negative & ~street).sum(), 1))
        if not street.any():  # the set says nothing of this head
            weights = negative / negative.sum()
        cut = _quantile(scores[negative, number], weights[negative], 1 - PASSING[head])
        positive = scores[there & (found.truths[:, number] == 1), number]
        share = weights[negative] / weights[negative].sum()
        (slope,) = logistic(positive[:, None], scores[negative, number][:, None], share)
        result.append([round(float(np.clip(slope, 0.4, 2.0)), 4), round(cut, 4)])
        print(f"{head:16} cut {cut:6.2f} slope {slope:5.2f}; {(positive > cut).mean():.2f} of its pictures above it")
    return result


def _quantile(values: NDArray[np.float32], weights: NDArray[np.float64], share: float) -> float:
    order = np.argsort(values)
    sums = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(sums, share)), len(order) - 1)])


def network(
    states: list[dict[str, Any]],
    weights: NDArray[np.float32],
    calibrated: list[list[float]],
    drawn: dict[str, NDArray[Any]],
) -> onnx.ModelProto:
    """The mean of the folds' region logits, pooled, with what boxes add, calibrated; behind them the slot machine and
    the content types."""
    mean, std = states[0]["mean"].numpy(), states[0]["std"].numpy()
    count = len(states)
    hidden = np.concatenate([state["hidden.weight"].numpy() for state in states])
    out = np.concatenate([state["out.weight"].numpy() for state in states], axis=1) / count
    slopes, cuts = np.array(calibrated, np.float32).T
    sixty = np.float32(np.log(0.6 / 0.4))
    drawn_slope = 1.0
    reading = np.zeros((len(OBJECTS), len(HEADS)), np.float32)
    for head, name in READS.items():
        reading[OBJECTS.index(name), HEADS.index(head)] = weights[HEADS.index(head)]
    constants: dict[str, NDArray[Any]] = {
        "mean": mean,
        "std": std,
        "classes": np.array(CLASSES, np.int64),
        "slot": np.array([SLOT_MACHINE], np.int64),
        "least": np.array(-15, np.float32),
        "quarter": np.array(0.25, np.float32),
        "two": np.array(2, np.float32),
        "half": np.array(0.5, np.float32),
        "root": np.array(np.sqrt(2), np.float32),
        "one": np.array(1, np.float32),
        "sharp": np.array(SHARPNESS, np.float32),
        "zero": np.array([0], np.int64),
        "hidden bias": np.concatenate([state["hidden.bias"].numpy() for state in states]),
        "out bias": np.mean([state["out.bias"].numpy() for state in states], axis=0),
        "box weight": reading,
        "box least": np.array(LEAST, np.float32),
        "box most": np.array(MOST, np.float32),
        "box start": np.array(np.log(LEAST / (1 - LEAST)), np.float32),
        "slope": slopes,
        "offset": sixty - slopes * cuts,
        "drawn bias": (drawn["bias"] - drawn["cuts"] * drawn_slope).astype(np.float32),
        "drawn surface": drawn["weight"][:, len(mean) :].T.astype(np.float32),
    }
    halves = {
        "hidden weight": hidden.T,
        "out weight": out.T,
        "straight weight": np.mean([state["straight.weight"].numpy() for state in states], axis=0).T,
        "drawn weight": drawn["weight"][:, : len(mean)].T,
    }
    steps = [helper.make_node("Cast", [f"{name} 16"], [name], to=TensorProto.FLOAT) for name in halves]

    def step(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        steps.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    step("Sub", ["embeddings", "mean"], "centred")
    step("Div", ["centred", "std"], "scaled")
    step("LogSoftmax", ["logits"], "all classes", axis=1)
    step("Gather", ["all classes", "classes"], "chosen", axis=1)
    step("Max", ["chosen", "least"], "bounded")
    step("Mul", ["bounded", "quarter"], "small")
    step("Add", ["small", "two"], "known")
    step("Concat", ["scaled", "known"], "values", axis=1)
    step("MatMul", ["values", "hidden weight"], "h0")
    step("Add", ["h0", "hidden bias"], "h1")
    step("Div", ["h1", "root"], "h2")
    step("Erf", ["h2"], "h3")
    step("Add", ["h3", "one"], "h4")
    step("Mul", ["h1", "h4"], "h5")
    step("Mul", ["h5", "half"], "h6")
    step("MatMul", ["h6", "out weight"], "o0")
    step("MatMul", ["values", "straight weight"], "o1")
    step("Add", ["o0", "o1"], "o2")
    step("Add", ["o2", "out bias"], "regions")
    step("Mul", ["regions", "sharp"], "p0")
    step("ReduceLogSumExp", ["p0"], "p1", axes=[0], keepdims=0)
    step("Shape", ["logits"], "shape")
    step("Gather", ["shape", "zero"], "count")
    step("Cast", ["count"], "count 32", to=TensorProto.FLOAT)
    step("Log", ["count 32"], "log count")
    step("Sub", ["p1", "log count"], "p2")
    step("Div", ["p2", "sharp"], "region scores")
    step("Clip", ["objects", "box least", "box most"], "b0")
    step("Sub", ["one", "b0"], "b1")
    step("Div", ["b0", "b1"], "b2")
    step("Log", ["b2"], "b3")
    step("Sub", ["b3", "box start"], "b4")
    step("MatMul", ["b4", "box weight"], "box scores")
    step("Add", ["region scores", "box scores"], "scores")
    step("Mul", ["scores", "slope"], "c0")
    step("Add", ["c0", "offset"], "c1")
    step("Sigmoid", ["c1"], "head confidences")
    step("Exp", ["all classes"], "probabilities")
    step("Gather", ["probabilities", "slot"], "slots", axis=1)
    step("ReduceMax", ["slots"], "slot best", axes=[0], keepdims=0)
    step("Gather", ["slots", "zero"], "slot whole 2d", axis=0)
    step("Squeeze", ["slot whole 2d", "zero"], "slot whole")
    step("Add", ["slot best", "slot whole"], "slot sum")
    step("Mul", ["slot sum", "half"], "slot confidence")
    step("Gather", ["embeddings", "zero"], "whole", axis=0)
    step("MatMul", ["whole", "drawn weight"], "d0")
    step("Squeeze", ["d0", "zero"], "d1")
    step("MatMul", ["surface", "drawn surface"], "d2")
    step("Add", ["d1", "d2"], "d3")
    step("Add", ["d3", "drawn bias"], "d4")
    step("Sigmoid", ["d4"], "drawn confidences")
    step("Concat", ["head confidences", "slot confidence", "drawn confidences"], "confidences", axis=0)
    values = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()]
    values += [
        numpy_helper.from_array(np.ascontiguousarray(array.astype(np.float16)), f"{name} 16")
        for name, array in halves.items()
    ]
    names = [*HEADS, "slot_machine", *TYPES]
    graph = helper.make_graph(
        steps,
        "moderation",
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["regions", 1000]),
            helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["regions", len(mean)]),
            helper.make_tensor_value_info("objects", TensorProto.FLOAT, [len(OBJECTS)]),
            helper.make_tensor_value_info("surface", TensorProto.FLOAT, [drawn["weight"].shape[1] - len(mean)]),
        ],
        [
            helper.make_tensor_value_info("confidences", TensorProto.FLOAT, [len(names)]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [len(HEADS)]),
        ],
        values,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"heads": json.dumps(names), "objects": json.dumps(OBJECTS)})
    onnx.checker.check_model(model)
    return model


def table(found: Scored, scores: NDArray[np.float32], cuts: NDArray[np.float64]) -> None:
    """The card's numbers: AUC against ordinary photos, and how many of those any head calls at 60 %. Heads that read
    boxes are tested on the pictures that the detector keeps for tests."""
    ordinary = np.isin(found.sources, ORDINARY)
    groups = {"weapons": ("pistol", "knife", "long_gun")} | {head: (head,) for head in HEADS}
    for name, members in groups.items():
        columns = [HEADS.index(head) for head in members]
        with_boxes = bool(set(members) & set(READS))
        tested = found.sides == TEST if with_boxes else np.ones(len(ordinary), bool)
        positive = tested & (found.truths[:, columns] == 1).any(axis=1) & ~ordinary
        negative = tested & ordinary & (found.truths[:, columns] == 0).all(axis=1)
        best = (scores - cuts)[:, columns].max(axis=1)
        line = (
            f"{name:16} AUC {auc(best[positive], best[negative]):.4f} on {positive.sum()} pictures held back against "
            f"{negative.sum()} ordinary ones of sets held back; {(best[positive] > 0).mean():.3f} called at 60 %"
        )
        if with_boxes:
            alone = (found.scores - cuts)[:, columns].max(axis=1)
            boxes = found.boxes[:, columns].max(axis=1)
            line += f"; heads alone {auc(alone[positive], alone[negative]):.4f}"
            line += f", boxes alone {auc(boxes[positive], boxes[negative]):.4f}"
        print(line)
    called = ((scores > cuts) & (found.truths == 0)).any(axis=1)
    for source in ORDINARY:
        chosen = (found.sources == source) & (found.sides != TRAIN)
        if chosen.any():
            print(f"called at 60 % of {source:16} {called[chosen].mean():.4f} of {chosen.sum()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trained", type=Path, required=True)
    options = parser.parse_args()
    found = scored(options.trained)
    weights = box_weights(found)
    scores = found.fused(weights)
    calibrated = calibration(found, scores)
    table(found, scores, np.array([cut for _, cut in calibrated]))
    with np.load(options.trained / "drawn.npz") as file:
        drawn = {name: file[name] for name in file.files}
    model = network(torch.load(options.trained / "heads.pt"), weights, calibrated, drawn)
    content = model.SerializeToString()
    TARGET.write_bytes(content)
    print(f'sha256 = "{hashlib.sha256(content).hexdigest()}"\nsize = {len(content)}')


if __name__ == "__main__":
    main()

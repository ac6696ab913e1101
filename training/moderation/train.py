"""Train the heads on cached features; score every picture by a model that never saw it or, for negatives, its source.

    python -m training.moderation.train --features FEATURES --out OUT

Writes OUT/heads.pt (one network a fold) and OUT/scores.npz (the picture scores that calibration and the card use).
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.moderation.folds import FOLDS, Table, load
from training.moderation.model import Heads, known_classes, pooled
from training.moderation.pictures import HEADS

EPOCHS: Final = 4
BATCH: Final = 192
REGIONS: Final = 5
LEFT_OUT: Final = (
    ("street-boxes",),
    ("objects-101", "ppe-boxes", "face-mask-boxes", "age-gender"),
)
"""Sets without anything to be found (but for the revolvers of objects-101), in groups that are left out in turn."""

ORDINARY: Final = tuple(source for group in LEFT_OUT for source in group)


@dataclass(frozen=True, eq=False)
class Data:
    """The table as tensors, with the classes' log-probabilities of every region."""

    table: Table
    embeddings: Tensor
    classes: Tensor
    truths: Tensor
    views: Tensor


def prepare(folder: Path) -> Data:
    table = load(folder)
    with np.load(folder / "classifier.npz") as file:
        weight, bias = torch.from_numpy(file["weight"]), torch.from_numpy(file["bias"])
    embeddings = torch.from_numpy(table.embeddings)
    classes = torch.cat([known_classes(part.float() @ weight.T + bias).half() for part in embeddings.split(8192)])
    return Data(table, embeddings, classes, torch.from_numpy(table.truths), torch.from_numpy(table.view_truth()))


def batches(data: Data, views: NDArray[np.int64], random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """(B, REGIONS) rows of the table: the whole picture, up to two regions that show something, others by chance."""
    starts, truths = data.table.starts, data.table.truths
    shows = (truths == 1).any(axis=1)
    rows = np.empty((len(views), REGIONS), np.int64)
    for place, view in enumerate(views):
        start, stop = starts[view], starts[view + 1]
        chosen = [start]
        positive = np.flatnonzero(shows[start + 1 : stop]) + start + 1
        chosen += random.permutation(positive)[:2].tolist()
        others = random.permutation(np.arange(start + 1, stop))
        chosen += [row for row in others if row not in chosen][: REGIONS - len(chosen)]
        rows[place] = chosen[:REGIONS]
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def fit(data: Data, chosen: NDArray[np.bool_], seed: int, epochs: int = EPOCHS) -> Heads:
    """A network trained on the chosen views (V,)."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    sample = data.embeddings[::37].float()
    model = Heads(len(HEADS), sample.mean(dim=0), sample.std(dim=0).clamp(min=0.05))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.1)
    views = np.flatnonzero(chosen)
    total = epochs * -(-len(views) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.5e-3, total_steps=total, pct_start=0.15)
    positives = (data.truths[np.repeat(chosen, np.diff(data.table.starts))] == 1).sum(dim=0)
    weight = (3000.0 / positives.clamp(min=1)).clamp(0.3, 3.0)
    model.train()
    for _ in range(epochs):
        for rows in batches(data, random.permutation(views), random):
            index = torch.from_numpy(rows)
            embeddings, classes = data.embeddings[index].float(), data.classes[index].float()
            embeddings = embeddings * (1 + 0.1 * torch.randn(embeddings.shape[0], 1, 1))
            truth = data.truths[index].float()
            logits = model(embeddings, classes)
            loss = _loss(logits, truth, weight) + _loss(pooled(logits), _of_views(truth), weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def _of_views(truth: Tensor) -> Tensor:
    most, least = truth.amax(dim=1), truth.amin(dim=1)
    return torch.where(most == 1, most, torch.where(least == -1, least, most))


def _loss(logits: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    known = (truth >= 0).float()
    target = truth.clamp(min=0) * 0.96 + 0.01
    losses = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=weight)
    return (losses * known).sum() / known.sum()


@torch.no_grad()
def score(data: Data, model: Heads, views: NDArray[np.int64]) -> NDArray[np.float32]:
    """(len(views), heads): pooled logits of whole views, all regions."""
    found = np.empty((len(views), len(HEADS)), np.float32)
    starts = data.table.starts
    for place, view in enumerate(views):
        rows = slice(int(starts[view]), int(starts[view + 1]))
        logits = model(data.embeddings[rows].float()[None], data.classes[rows].float()[None])
        found[place] = pooled(logits)[0].numpy()
    return found


def without_own(data: Data, models: Iterable[Heads], sources: dict[str, Heads]) -> NDArray[np.float32]:
    """Scores of the untouched pictures: by the network of their own fold, ordinary ones by one without their source."""
    table = data.table
    scores = np.full((len(table.keys), len(HEADS)), np.nan, np.float32)
    for fold, model in enumerate(models):
        views = np.flatnonzero(table.untouched & (table.folds == fold))
        scores[views] = score(data, model, views)
    for source, model in sources.items():
        views = np.flatnonzero(table.untouched & (table.sources == source))
        scores[views] = score(data, model, views)
    return scores


def auc(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """The chance that a positive scores above a negative."""
    order = np.argsort(np.concatenate([negative, positive]), kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    found = ranks[len(negative) :].sum() - len(positive) * (len(positive) + 1) / 2
    return float(found / (len(positive) * len(negative)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--quick", action="store_true", help="one fold and one group, to try something")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    data = prepare(options.features)
    table = data.table
    print(f"{len(table.keys)} views of {len(set(table.keys))} pictures, {len(table.embeddings)} regions", flush=True)
    models: list[Heads] = []
    sources: dict[str, Heads] = {}
    for fold in range(1 if options.quick else FOLDS):
        models.append(fit(data, table.folds != fold, fold, options.epochs))
        print(f"fold {fold} trained", flush=True)
    for group in LEFT_OUT[:1] if options.quick else LEFT_OUT:
        # pasted things lie on pictures of these sets
        model = fit(data, ~np.isin(table.sources, [*group, "paste"]), 100, options.epochs)
        sources |= dict.fromkeys(group, model)
        print(f"without {', '.join(group)} trained", flush=True)
    torch.save([model.state_dict() for model in models], options.out / "heads.pt")
    scores = without_own(data, models, sources)
    kept = table.untouched & ~np.isnan(scores[:, 0])
    np.savez(options.out / "scores.npz", keys=table.keys[kept], scores=scores[kept], truths=table.view_truth()[kept])
    report(table.sources[kept], scores[kept], table.view_truth()[kept])


def report(sources: NDArray[np.str_], scores: NDArray[np.float32], truths: NDArray[np.int8]) -> None:
    """AUC of every head against all pictures known to be without it, and against each source's."""
    for number, head in enumerate(HEADS):
        positive = scores[truths[:, number] == 1, number]
        if len(positive) < 3:
            continue
        negative = truths[:, number] == 0
        line = f"{head:16} {len(positive):5} positives; AUC {auc(positive, scores[negative, number]):.3f}; against"
        for source in np.unique(sources[negative]):
            those = negative & (sources == source)
            line += f" {source} {auc(positive, scores[those, number]):.3f}"
        print(line)


if __name__ == "__main__":
    main()

"""Train what tells drawn pictures from photos: one linear layer on the whole picture's embedding and its surface.

    python -m training.moderation.drawn --features FEATURES --out OUT

Writes OUT/drawn.npz and prints how it does on pictures drawn by hand, which took no part.
"""

import argparse
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from training.moderation.train import auc

TYPES: Final = ("animated", "illustrated")
CARTOONS: Final = frozenset({"garfield", "snoopy"})
DRAWINGS: Final = frozenset({"brontosaurus", "stegosaurus", "yin_yang", "brain", "tick", "trilobite"})
"""Classes of Caltech-101 in which drawings are common; they count as neither drawn nor photographed."""

PHOTOS: Final = frozenset({
    "Faces", "Leopards", "car_side", "cougar_body", "cougar_face", "elephant", "okapi", "llama", "rhino", "minaret",
    "pagoda", "joshua_tree", "laptop", "pizza", "camera", "cellphone", "watch", "wheelchair", "grand_piano", "chair",
    "accordion", "lotus", "sunflower", "hawksbill", "gerenuk", "flamingo_head", "kangaroo", "emu", "ferry", "ketch",
})  # fmt: skip
FIRM: Final = 0.995
"""Share of photos that must stay under the cut."""


def fit(values: Tensor, kinds: Tensor, steps: int = 400) -> nn.Linear:
    """Two logits, animated and illustrated; a kind's own negatives are photos, and the other kind at a tenth."""
    torch.manual_seed(3)
    layer = nn.Linear(values.shape[1], len(TYPES))
    nn.init.zeros_(layer.weight)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=3e-3, weight_decay=0.3)
    target = torch.stack([kinds == 1, kinds == 2], dim=1).float()
    other = torch.stack([kinds == 2, kinds == 1], dim=1).float()
    weight = 1 - 0.9 * other
    for _ in range(steps):
        chosen = torch.randint(len(values), (1024,))
        noisy = values[chosen] + 0.25 * torch.randn(len(chosen), values.shape[1])
        loss = nn.functional.binary_cross_entropy_with_logits(
            layer(noisy), target[chosen] * 0.98 + 0.01, weight=weight[chosen]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return layer.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with np.load(options.features / "drawn-features.npz") as file:
        keys, kinds = file["keys"], file["kinds"]
        raw = np.concatenate([file["embeddings"].astype(np.float32), file["surfaces"]], axis=1)
    known = kinds >= 0
    mean, std = raw[known].mean(axis=0), raw[known].std(axis=0) + 0.05
    values = torch.from_numpy((raw - mean) / std)
    held = np.array([hash_of(key) % 5 == 0 for key in keys]) & known  # a photo and what was drawn of it together
    trial = fit(values[known & ~held], torch.from_numpy(kinds[known & ~held]))
    layer = fit(values[known], torch.from_numpy(kinds[known]))
    with torch.no_grad():
        tried, scores = trial(values).numpy(), layer(values).numpy()
    classes = np.array([key.partition("/")[2] for key in keys])
    tested = kinds == -1
    photos = tested & np.isin(classes, list(PHOTOS))
    cuts = [float(np.quantile(tried[(held & (kinds == 0)) | photos, number], FIRM)) for number in range(len(TYPES))]
    for number, name in enumerate(TYPES):
        made = auc(tried[held & (kinds == number + 1), number], tried[held & (kinds == 0), number])
        found = (tried[held & (kinds == number + 1), number] > cuts[number]).mean()
        print(f"{name}: AUC {made:.3f} on held-back made ones against photos; {found:.2f} of them above the cut")
    cartoons = tested & np.isin(classes, list(CARTOONS))
    above = scores[cartoons] > cuts
    print(
        f"hand-drawn cartoons ({cartoons.sum()}) against photos ({photos.sum()}) of Caltech-101, animated: "
        f"AUC {auc(scores[cartoons, 0], scores[photos, 0]):.3f}; {above[:, 0].mean():.2f} above the cut, "
        f"{above.any(axis=1).mean():.2f} above either"
    )
    print(
        f"photos above a cut: {(scores[photos] > cuts).any(axis=1).mean():.4f} of Caltech-101's, "
        f"{(tried[held & (kinds == 0)] > cuts).any(axis=1).mean():.4f} of the held-back ones"
    )
    np.savez(options.out / "drawn.npz", weight=layer.weight.detach().numpy() / std, cuts=np.array(cuts),
             bias=layer.bias.detach().numpy() - (layer.weight.detach().numpy() / std) @ mean)  # fmt: skip


def hash_of(key: str) -> int:
    return zlib.crc32(str(key).encode())


if __name__ == "__main__":
    main()

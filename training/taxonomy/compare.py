"""Compare the taxonomy with WordNet: which ImageNet classes a label covers, and which WordNet says it should.

    python -m training.taxonomy.compare --wordnet /usr/share/wordnet/data.noun --classes synsets.txt

`data.noun` is WordNet 3.0's (Debian: wordnet-base); `synsets.txt` holds ImageNet's thousand WordNet ids, a line
each, in class order, as every ImageNet tool ships them. Prints the differences for the labels of SYNSETS; each is
either a mistake in `taxonomy.csv` or a place where everyday words and WordNet part.
"""

import argparse
from pathlib import Path

import numpy as np

from openrek.vision.labels.taxonomy import taxonomy

# the noun synset (offset in WordNet 3.0) that a label means
SYNSETS = {
    "Animal": 15388, "Mammal": 1861778, "Bird": 1503061, "Fish": 2512053, "Reptile": 1661091, "Amphibian": 1627424,
    "Dog": 2084071, "Canine": 2083346, "Feline": 2120997, "Cat": 2121808, "Bear": 2131653, "Primate": 2469914,
    "Monkey": 2484322, "Rodent": 2329401, "Insect": 2159955, "Spider": 1772222, "Snake": 1726692, "Lizard": 1674464,
    "Turtle": 1662784, "Shark": 1482330, "Butterfly": 2274259, "Beetle": 2164464, "Crab": 1976957, "Hound": 2087551,
    "Terrier": 2092468, "Spaniel": 2102318, "Retriever": 2099029, "Invertebrate": 1905661, "Marsupial": 1874434,
    "Whale": 2062744, "Vehicle": 4524313, "Car": 2958343, "Truck": 4490091, "Bus": 2924116, "Boat": 2858304,
    "Ship": 4194289, "Aircraft": 2686568, "Train": 4468005, "Bicycle": 2834778, "Musical Instrument": 3800933,
    "Weapon": 4565375, "Gun": 3467984, "Furniture": 3405725, "Chair": 3001627, "Bed": 2818832, "Building": 2913152,
    "Bridge": 2898711, "Clothing": 3051540, "Footwear": 3381126, "Hat": 3497657, "Electronics": 3278248,
    "Fruit": 13134947, "Vegetable": 7707451, "Bottle": 2876657, "Ball": 2778669, "Fungus": 12992868,
    "Appliance": 2729837, "Clock": 3046257, "Tool": 4451818, "Bag": 2773838, "Helmet": 3513137, "Box": 2883344,
}  # fmt: skip


def hypernyms(path: Path) -> dict[int, list[int]]:
    """Direct hypernyms (kinds and instances) of each noun synset, by offset; see WordNet's wndb(5)."""
    above: dict[int, list[int]] = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields = line.partition("|")[0].split()
        words = int(fields[3], 16)
        pointers = fields[5 + 2 * words :]
        above[int(fields[0])] = [int(pointers[i + 1]) for i in range(0, len(pointers), 4) if pointers[i] in ("@", "@i")]
    return above


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, required=True)
    parser.add_argument("--classes", type=Path, required=True)
    options = parser.parse_args()
    above = hypernyms(options.wordnet)
    classes = [int(line.strip().lstrip("n")) for line in options.classes.read_text().split()]
    table = taxonomy()
    names = [table.by_evidence[f"tagger:{number}"].name for number in range(len(classes))]
    membership = table.membership("tagger", len(classes))

    def chain(synset: int) -> set[int]:
        return {synset}.union(*(chain(parent) for parent in above.get(synset, [])))

    chains = [chain(synset) for synset in classes]
    for label, synset in SYNSETS.items():
        ours = set(np.flatnonzero(membership[table.positions[label]]).tolist())
        theirs = {number for number, found in enumerate(chains) if synset in found}
        if ours != theirs:
            more = sorted({names[number] for number in ours - theirs})
            less = sorted({names[number] for number in theirs - ours})
            print(f"{label} ({len(ours)} classes): only here {more}; only in WordNet {less}")


if __name__ == "__main__":
    main()

"""The detector's classes, and what each labelled set says about them."""

from pathlib import Path

import openrek.vision.models

COCO = tuple((Path(openrek.vision.models.__path__[0]) / "coco80.txt").read_text().split())
"""Taught by other detectors' answers, and by labels where a set has them."""

OWN = (
    "hard_hat",  # worn or lying about
    "head_bare",  # a head without a hard hat
    "face_mask",  # the mask itself: nose to chin
    "face_bare",  # nose to chin, without a mask
    "safety_vest",
    "traffic_cone",
    "machinery",
    "vehicle",
    "pistol",
    "long_gun",
    "cigarette",  # the cigarette, cigar or vape with the hand or mouth that holds it
    "playing_card",
    "fire",
    "smoke",
)
OWN_BRANCH = ("person", "knife", *OWN)
"""What the branch of this project's own sets tells apart. Knives in hands are unlike COCO's on tables; people on
building sites are learnt here too."""

UNSEEN = ("toaster", "hair_drier", "parking_meter")
"""COCO's classes that are not reported: no photo at hand shows one, and YOLOX-Nano hardly finds them."""

EVERYDAY = (*(name for name in COCO if name not in (*UNSEEN, "knife", "person")), "person")
"""What is reported of the branch `everyday`."""

OWN_REPORTED = OWN_BRANCH
"""What is reported of the branch `own`. People come from both branches ..."""

PERSON_SHARE = 0.4
"""... and what the branch `own` says of them counts this much. It finds those on building sites whom the other misses,
and is less right about all others (on pictures held back for tuning, 0.4 costs street photos nothing)."""

NAMES = COCO + OWN
INDEX = {name: number for number, name in enumerate(NAMES)}

LABELS: dict[str, dict[str, str]] = {
    "street-boxes": {name: name for name in ("car", "person", "cat", "train", "bus")},
    "ppe-boxes": {
        "hardhat": "hard_hat",
        "no_hardhat": "head_bare",
        "mask": "face_mask",
        "no_mask": "face_bare",
        "vest": "safety_vest",
        "cone": "traffic_cone",
        "machinery": "machinery",
        "vehicle": "vehicle",
        "person": "person",
    },
    "weapon-boxes": {name: name for name in ("pistol", "knife", "long_gun")},
    "smoking-boxes": {"smoking": "cigarette"},
    "face-mask-boxes": {"with_mask": "face_mask", "without_mask": "face_bare"},
    "playing-cards": dict.fromkeys(("nine", "ten", "jack", "queen", "king", "ace"), "playing_card"),
    "fire-boxes": {"fire": "fire", "smoke": "smoke"},
    "objects-101": {},
}
"""Set -> its labels -> our classes."""

TAUGHT_SETS = ("street-boxes", "weapon-boxes", "smoking-boxes", "face-mask-boxes", "objects-101")
"""Sets on which other detectors teach COCO's classes; in the others these are unknown where no box is drawn."""

_FACES = ("head_bare", "face_bare")
_COCO_BUT_PERSON = COCO[1:]
UNKNOWN: dict[str, tuple[str, ...]] = {
    "street-boxes": (*_FACES, "smoke", "traffic_cone", "safety_vest"),
    "ppe-boxes": _COCO_BUT_PERSON,
    "weapon-boxes": (*_FACES, "hard_hat", "face_mask", "safety_vest", "fire", "smoke", "cigarette"),
    "smoking-boxes": (*_FACES, "fire", "smoke"),
    "face-mask-boxes": ("head_bare", "hard_hat", "safety_vest"),
    "playing-cards": COCO,
    "fire-boxes": (*COCO, *_FACES, "hard_hat", "safety_vest", "face_mask"),
    "objects-101": (*_FACES, "pistol", "knife", "long_gun"),
}
"""Set -> classes of ours that its pictures may show without a label: no loss is taken there. The rest of OWN is absent
where it has no box."""

LOOSE = ("ppe-boxes",)
"""Sets whose boxes of people are too large, drawn round turned ones: the branch `everyday` is not taught them."""

VEHICLES = ("car", "truck", "bus")
"""A box of these is a box of `vehicle` too."""

SHARE = {
    "street-boxes": 0.20,
    "ppe-boxes": 0.32,
    "weapon-boxes": 0.15,
    "smoking-boxes": 0.08,
    "face-mask-boxes": 0.10,
    "playing-cards": 0.02,
    "fire-boxes": 0.06,
    "objects-101": 0.07,
}
"""How much of the training each set is."""

"""What the photo library keeps of one photo: one decoding, one look, every question asked of it."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from openrek.service.services import Services
from openrek.store.library import Kind, Looked, Seen
from openrek.vision.backbone import MODEL as TAGGER
from openrek.vision.faces import PICTURE_SIDE as FACES_SIDE
from openrek.vision.faces.attributes import MODEL as FACE_TRAITS
from openrek.vision.faces.attributes import SECOND as EXPRESSIONS
from openrek.vision.faces.centerface import MODEL as FACES
from openrek.vision.image import RELAXED_FORMATS, Picture, open_image
from openrek.vision.image.taken import date_taken
from openrek.vision.labels import box_colours, classifiers, detect_labels, zero_shot
from openrek.vision.labels.heads import EVERYDAY, KINDS
from openrek.vision.look import Look
from openrek.vision.moderation import classifiers as moderation_classifiers
from openrek.vision.moderation import moderate, nudity
from openrek.vision.moderation.heads import MODEL as MODERATION
from openrek.vision.objects import MODEL as OBJECTS
from openrek.vision.text import read_text
from openrek.vision.text.reader import DETECTOR as TEXT
from openrek.vision.text.reader import RECOGNIZER as READER

MODELS: Final = (TAGGER, EVERYDAY, KINDS, FACES, FACE_TRAITS, EXPRESSIONS, TEXT, READER)
"""Those of labels, faces and text that no setting changes."""

LEAST: Final = 0.3
"""Labels and moderation labels below this confidence are not kept."""


@dataclass(frozen=True, slots=True)
class Looker:
    """Looks at photos with the models of one process. Thread-safe."""

    services: Services

    @property
    def models(self) -> str:
        """Names and versions of the models that look: where one changed, another look may see something else."""
        cards, settings = self.services.runtime.catalogue, self.services.settings
        tasks = [classifiers.TASK, zero_shot.TASK]
        names = {*MODELS, settings.detector}
        if MODERATION in cards:
            tasks.append(moderation_classifiers.TASK)
            names |= {MODERATION, OBJECTS}
        names |= {card.name for card in cards.values() if card.task in tasks}
        names |= {zero_shot.text_encoder(card) for card in cards.values() if card.task == zero_shot.TASK}
        versions = {name: cards[name].version for name in names if name in cards}
        if MODERATION in cards and settings.nudenet and nudity.installed():
            versions[nudity.PACKAGE] = nudity.version()
        return " ".join(f"{name}:{version}" for name, version in sorted(versions.items()))

    def __call__(self, data: bytes, hash: bytes) -> Looked:
        """Raises ImageError for bytes that are no picture, ModelError where a model cannot be had or run."""
        limit, memory = self.services.settings.pixel_limit, self.services.decoding
        encoded = open_image(data, formats=RELAXED_FORMATS, max_pixels=limit, memory=memory)
        picture = encoded.decode(FACES_SIDE)
        look = self.services.look(picture)
        labels = tuple(
            Seen(Kind.LABEL, found.label.name, found.confidence, found.label.aliases)
            for found in detect_labels(look)
            if found.confidence >= LEAST
        )
        taken = date_taken(data)
        return Looked(
            hash=hash,
            format=encoded.format,
            width=encoded.width,
            height=encoded.height,
            taken=taken.isoformat() if taken else None,
            faces=len(look.faces),
            text="\n".join(line.text for line in read_text(picture, self.services.runtime).lines),
            seen=(*labels, *colours(picture), *flags(look, nudenet=self.services.settings.nudenet)),
            models=self.models,
        )


def flags(look: Look, *, nudenet: bool = False) -> tuple[Seen, ...]:
    """Moderation labels, where a model of moderation is installed. None does not mean that a picture is safe: what the
    models cannot see is said by `openrek.cli.blind`."""
    if MODERATION not in look.runtime.catalogue:
        return ()
    found = moderate(look, nudenet=nudenet).labels
    return tuple(Seen(Kind.FLAG, label.name, label.confidence) for label in found if label.confidence >= LEAST)


def colours(picture: Picture) -> tuple[Seen, ...]:
    """Dominant colours by their CSS name and by one of twelve plain names, each with its share of the picture."""
    shares: dict[str, float] = defaultdict(float)
    plain: dict[str, float] = defaultdict(float)
    for found in box_colours(picture, (0, 0, picture.width, picture.height)):
        shares[found.colour.css] += found.percent / 100
        plain[found.colour.simplified] += found.percent / 100
    return tuple(Seen(Kind.COLOUR, name, min(1.0, share)) for name, share in (shares | plain).items())

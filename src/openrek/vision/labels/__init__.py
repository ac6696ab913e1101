"""Labels: what a picture shows, by name, over one taxonomy; and its quality and colours.

>>> from openrek.vision.image import load_image
>>> from openrek.vision.labels import detect_labels
>>> from openrek.vision.look import Look
>>> for found in detect_labels(Look(load_image("dog.jpg"), runtime)):  # doctest: +SKIP
...     print(found.label.name, round(found.confidence, 2), found.label.ancestors)
"""

from openrek.vision.labels.assemble import FoundLabel, Instance, Thing, assemble
from openrek.vision.labels.detect import FACE_SEARCH_SIDE, PICTURE_SIDE, detect_labels
from openrek.vision.labels.properties import ImageProperties, RegionProperties, box_colours, image_properties
from openrek.vision.labels.tagger import Tag, tag
from openrek.vision.labels.taxonomy import CATEGORIES, Label, Taxonomy, TaxonomyError, taxonomy

__all__ = [
    "CATEGORIES",
    "FACE_SEARCH_SIDE",
    "PICTURE_SIDE",
    "FoundLabel",
    "ImageProperties",
    "Instance",
    "Label",
    "RegionProperties",
    "Tag",
    "Taxonomy",
    "TaxonomyError",
    "Thing",
    "assemble",
    "box_colours",
    "detect_labels",
    "image_properties",
    "tag",
    "taxonomy",
]

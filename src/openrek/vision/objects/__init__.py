"""Objects with boxes: one detector pass that labels, moderation and protective equipment share.

`detect_objects` runs any detector of the catalogue whose card says in which form it answers (see `forms`): the one this
project trained, YOLOX exports, and the DETR family.
"""

from openrek.vision.objects.detector import MODEL, PICTURE_SIDE, detect_objects, detectors
from openrek.vision.objects.result import Objects

__all__ = ["MODEL", "PICTURE_SIDE", "Objects", "detect_objects", "detectors"]

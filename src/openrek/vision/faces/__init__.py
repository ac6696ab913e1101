"""Faces: where they are, how sure that is, five landmarks, pose and quality.

>>> from openrek.vision.faces import detect_faces
>>> from openrek.vision.image import load_image
>>> faces = detect_faces(load_image("family.jpg"), runtime)  # doctest: +SKIP
>>> faces.boxes.shape  # doctest: +SKIP
(3, 4)
"""

from openrek.vision.faces.detector import PICTURE_SIDE, SEARCH_SIDE, detect_faces
from openrek.vision.faces.pose import head_pose
from openrek.vision.faces.result import LANDMARKS, Faces

__all__ = ["LANDMARKS", "PICTURE_SIDE", "SEARCH_SIDE", "Faces", "detect_faces", "head_pose"]

"""One picture, and what the shared models say of it: each model is asked at most once, when something needs it.

Labels, moderation and protective equipment read the same backbone pass, the same boxes and the same faces; the photo
index and video analysis hand one `Look` to all of them.
"""

from functools import cached_property

from openrek.vision.backbone import Features, features
from openrek.vision.faces import Faces, detect_faces
from openrek.vision.image import Picture
from openrek.vision.runtime import Runtime


class Look:
    """A picture with its models' answers. Every part raises ModelError where its model cannot be had or run.

    Not thread-safe: a look belongs to the call that made it.
    """

    def __init__(self, picture: Picture, runtime: Runtime) -> None:
        self.picture = picture
        self.runtime = runtime

    @cached_property
    def features(self) -> Features:
        """The backbone's class scores and embeddings."""
        return features(self.picture, self.runtime)

    @cached_property
    def faces(self) -> Faces:
        """All faces, searched at the picture's full size."""
        return detect_faces(self.picture, self.runtime)

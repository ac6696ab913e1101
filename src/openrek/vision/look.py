"""One picture, and what the shared models say of it: each model is asked at most once, when something needs it.

Labels, moderation and protective equipment read the same backbone pass, the same boxes and the same faces; the photo
index and video analysis hand one `Look` to all of them. Where another detector was chosen for labels, moderation still
has the boxes of the detector that it was trained with.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, cached_property

import numpy as np

from openrek.vision import objects
from openrek.vision.backbone import Features, features
from openrek.vision.faces import Faces, detect_faces
from openrek.vision.faces.detector import SEARCH_SIDE
from openrek.vision.image import Picture
from openrek.vision.objects import Objects, detect_objects
from openrek.vision.runtime import Runtime
from openrek.vision.runtime.hardware import usable_cores

NOTHING = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), ())


class Look:
    """A picture with its models' answers. Every part raises ModelError where its model cannot be had or run.

    face_search_side: longest side at which faces are searched; less is faster and misses small faces.
    detector: the catalogue's model that finds `objects`.
    Not thread-safe: a look belongs to the call that made it.
    """

    def __init__(
        self,
        picture: Picture,
        runtime: Runtime,
        *,
        face_search_side: int = SEARCH_SIDE,
        detector: str = objects.MODEL,
    ) -> None:
        self.picture = picture
        self.runtime = runtime
        self._face_search_side = face_search_side
        self._detector = detector
        self._ahead: dict[str, Future[Objects]] = {}

    def begin(self, *, base: bool = False) -> None:
        """Start to look for `objects` (or `base_objects`) on another thread, for a caller that wants them and other
        parts: networks as small as these leave cores idle when they run one after another."""
        detector = objects.MODEL if base else self._detector
        part = "objects" if detector == self._detector else "base_objects"
        if detector not in self._ahead and part not in self.__dict__:
            self._ahead[detector] = _others().submit(self._find, detector)

    @cached_property
    def features(self) -> Features:
        """The backbone's class scores and embeddings."""
        return features(self.picture, self.runtime)

    @cached_property
    def faces(self) -> Faces:
        """The faces, largest first."""
        return detect_faces(self.picture, self.runtime, search_side=self._face_search_side)

    @cached_property
    def objects(self) -> Objects:
        """The objects with boxes by the chosen detector, surest first; none where the catalogue lacks the base one."""
        return self._found(self._detector)

    @cached_property
    def base_objects(self) -> Objects:
        """The same by the detector of the pack base, whatever was chosen: for models that were trained on its boxes."""
        return self.objects if self._detector == objects.MODEL else self._found(objects.MODEL)

    def _found(self, detector: str) -> Objects:
        ahead = self._ahead.get(detector)
        if ahead is None or ahead.cancel():  # not begun yet: others are busy
            return self._find(detector)
        return ahead.result()

    def _find(self, detector: str) -> Objects:
        if detector == objects.MODEL and detector not in self.runtime.catalogue:
            return NOTHING
        return detect_objects(self.picture, self.runtime, model=detector)


@cache
def _others() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(2, usable_cores()), thread_name_prefix="look")

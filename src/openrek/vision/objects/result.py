"""What a detector found."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """N objects, the surest first.

    boxes: (N, 4) xyxy in pixels of the picture handed in, within it.
    scores: (N,) probability 0..1 that an object of this class is there.
    classes: (N,) index into `names`.
    names: what the detector can tell apart, lower case with underscores ("person", "hard_hat"). A class that is not
    among them was not looked for.
    model: the catalogue's model that looked.
    """

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int64]
    names: tuple[str, ...]
    model: str = ""

    def __len__(self) -> int:
        return len(self.boxes)

    def of(self, *names: str) -> "Objects":
        """Only objects of these classes. A name the detector does not know finds nothing."""
        wanted = [index for index, name in enumerate(self.names) if name in names]
        return self.select(np.isin(self.classes, wanted))

    def at_least(self, score: float) -> "Objects":
        """Only objects this sure."""
        return self.select(self.scores >= score)

    def select(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Objects":
        return Objects(self.boxes[index], self.scores[index], self.classes[index], self.names, self.model)

    def named(self) -> list[str]:
        """The class name of each object."""
        return [self.names[index] for index in self.classes]

"""`python -m bench.label_speed`: DetectLabels with boxes on a 1080p photo, against the raw time of its models.

Everything is timed in turns in one process, so that a busy machine slows all of it alike; read the ratio first. The raw
time is that of the networks' runs alone, on inputs that are ready: the backbone, the detector, the looks for faces, the
traits and the heads. The rest is decoding, resizing, joining evidence and building the answer.
"""

import argparse
import time
from statistics import median

from platformdirs import user_cache_path

from bench.photo import photo_1080p
from bench.raw_time import raw_time
from openrek.service.labels import LabelFilter, label_members
from openrek.vision.image import open_image
from openrek.vision.labels import FACE_SEARCH_SIDE, PICTURE_SIDE, detect_labels
from openrek.vision.look import Look
from openrek.vision.objects import MODEL
from openrek.vision.runtime import Runtime


def once(photo: bytes, runtime: Runtime, detector: str) -> dict[str, float]:
    """Milliseconds of one call's parts."""
    marks = [time.perf_counter()]
    with raw_time() as spent:
        picture = open_image(photo).decode(PICTURE_SIDE)
        marks.append(time.perf_counter())
        look = Look(picture, runtime, face_search_side=FACE_SEARCH_SIDE, detector=detector)
        for part in ("features", "faces", "objects"):
            getattr(look, part)
            marks.append(time.perf_counter())
        label_members(detect_labels(look), picture, choice=LabelFilter())
        marks.append(time.perf_counter())
        raw = spent()
    names = ("decoding", "backbone", "faces", "objects", "joining, traits, heads, answer")
    parts = {name: 1000 * (b - a) for name, a, b in zip(names, marks, marks[1:], strict=False)}
    return {"all": 1000 * (marks[-1] - marks[0]), "models alone": 1000 * raw} | parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--detector", default=MODEL, help="the catalogue's detector")
    parser.add_argument("--mirror", help="folder of model files")
    options = parser.parse_args()
    photo = photo_1080p()
    with Runtime(cache=user_cache_path("openrek"), threads=options.threads, mirror=options.mirror) as runtime:
        once(photo, runtime, options.detector)
        rounds = [once(photo, runtime, options.detector) for _ in range(options.rounds)]
    print(f"median of {options.rounds} calls, {options.threads} threads")
    for name in rounds[0]:
        print(f"{name:32} {median(each[name] for each in rounds):6.1f} ms")
    print(f"{'best call':32} {min(each['all'] for each in rounds):6.1f} ms")
    print(f"{'all / models alone':32} {median(each['all'] / each['models alone'] for each in rounds):6.2f}")


if __name__ == "__main__":
    main()

"""The whole recipe, from the labelled sets to the model file; prints the tables that the card quotes.

    python -m training.moderation.recipe --data DATA --objects OBJECTS --work WORK
    python -m training.moderation.recipe ... --only evidence export       # with another object detector

OBJECTS is what `python -m training.objects.prepare --data DATA --cache OBJECTS` wrote.
"""

import argparse
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--objects", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--only", nargs="*", help="steps, where the others' results are in WORK")
    options = parser.parse_args()
    data, objects, work = options.data, options.objects, options.work
    for step, words in (
        ("features", ["--data", data, "--objects", objects, "--out", work]),
        ("drawn_features", ["--data", data, "--out", work]),
        ("train", ["--features", work, "--out", work]),
        ("drawn", ["--features", work, "--out", work]),
        ("evidence", ["--data", data, "--objects", objects, "--out", work]),
        ("export", ["--trained", work]),
    ):
        if options.only and step not in options.only:
            continue
        print(f"--- {step}", flush=True)
        command = [sys.executable, "-m", f"training.moderation.{step}", *words]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[2])


if __name__ == "__main__":
    main()

"""The whole recipe, from the labelled sets to the model file; prints the tables that the card quotes.

python -m training.moderation.recipe --data DATA --work WORK
"""

import argparse
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True)
    options = parser.parse_args()
    data, work = options.data, options.work
    for step, words in (
        ("features", ["--data", data, "--out", work]),
        ("drawn_features", ["--data", data, "--out", work]),
        ("train", ["--features", work, "--out", work]),
        ("drawn", ["--features", work, "--out", work]),
        ("export", ["--trained", work]),
    ):
        print(f"--- {step}", flush=True)
        command = [sys.executable, "-m", f"training.moderation.{step}", *words]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[2])


if __name__ == "__main__":
    main()

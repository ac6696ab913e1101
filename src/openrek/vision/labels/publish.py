"""Publish the taxonomy for people: `python -m openrek.vision.labels.publish docs/labels.csv`."""

import csv
import io
import sys
from pathlib import Path

from openrek.vision.labels.taxonomy import Taxonomy, taxonomy

COLUMNS = ("Name", "Category", "Parents", "Aliases", "Boxes", "Seen by")


def published(table: Taxonomy) -> str:
    """The table as CSV: all ancestors, and the models that see each label (none: in the taxonomy, not yet seen)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for label in table.values():
        writer.writerow(
            (
                label.name,
                label.category,
                ", ".join(label.ancestors),
                ", ".join(label.aliases),
                "yes" if label.has_boxes else "",
                ", ".join(sorted(table.sources[label.name])),
            )
        )
    return text.getvalue()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(published(taxonomy()), encoding="utf-8")

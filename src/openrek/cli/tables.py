"""Answers of the API as tables for people."""

from collections.abc import Mapping
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

Answer = Mapping[str, Any]


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=True, header_style="dim")
    for column in columns:
        right = column in ("%", "turn", "tilt", "roll", "sharp", "bright", "area %")
        table.add_column(column, justify="right" if right else "left")
    return table


def _place(box: Mapping[str, float]) -> str:
    return f"{box['Left']:.3f}, {box['Top']:.3f}  {box['Width']:.3f} x {box['Height']:.3f}"


def labels_table(answer: Answer) -> Table:
    """Name, confidence, parents, category and the number of boxes."""
    if not answer["Labels"]:
        return _nothing("no label is sure enough; try --min-confidence 30")
    table = _table("label", "%", "is a", "category", "boxes")
    for label in answer["Labels"]:
        table.add_row(
            escape(label["Name"]),
            f"{label['Confidence']:.1f}",
            escape(", ".join(parent["Name"] for parent in label["Parents"])),
            escape(", ".join(category["Name"] for category in label["Categories"])),
            str(len(label["Instances"]) or ""),
        )
    return table


def properties_table(answer: Answer) -> Table:
    """Quality and dominant colours of the whole picture, the foreground and the background."""
    properties = answer["ImageProperties"]
    table = _table("part", "bright", "sharp", "colours (area %)")
    for name, part in (
        ("picture", properties),
        ("foreground", properties.get("Foreground")),
        ("background", properties.get("Background")),
    ):
        if part is None:
            continue
        colours = "  ".join(
            f"[on {colour['HexCode']}]  [/] {colour['CSSColor']} {colour['PixelPercent']:.0f}"
            for colour in part["DominantColors"]
        )
        quality = part["Quality"]
        table.add_row(name, f"{quality['Brightness']:.0f}", f"{quality['Sharpness']:.0f}", colours)
    return table


def moderation_table(answer: Answer) -> Table:
    """Name, confidence, level and parent of every label; the content types."""
    if not answer["ModerationLabels"] and not answer["ContentTypes"]:
        return _nothing("nothing unsafe of the kinds that can be seen")
    table = _table("unsafe", "%", "level", "is a")
    for label in answer["ModerationLabels"]:
        level = str(label["TaxonomyLevel"])
        table.add_row(escape(label["Name"]), f"{label['Confidence']:.1f}", level, escape(label["ParentName"]))
    for kind in answer["ContentTypes"]:
        table.add_row(f"[dim]the picture is[/] {escape(kind['Name'])}", f"{kind['Confidence']:.1f}", "", "")
    return table


def faces_table(answer: Answer) -> Table:
    """A row a face."""
    if not answer["FaceDetails"]:
        return _nothing("no face")
    table = _table("face", "%", "left, top  width x height", "turn", "tilt", "roll", "sharp", "bright")
    for number, face in enumerate(answer["FaceDetails"], 1):
        pose, quality = face["Pose"], face["Quality"]
        table.add_row(
            str(number),
            f"{face['Confidence']:.1f}",
            _place(face["BoundingBox"]),
            f"{pose['Yaw']:.0f}°",
            f"{pose['Pitch']:.0f}°",
            f"{pose['Roll']:.0f}°",
            f"{quality['Sharpness']:.0f}",
            f"{quality['Brightness']:.0f}",
        )
    return table


def attributes_table(answer: Answer) -> Table:
    """A row a face: age, gender, expression, and what else is seen of it."""
    if not answer["FaceDetails"]:
        return Table(box=None, show_header=False)
    table = _table("face", "age", "gender", "looks", "seen")
    for number, face in enumerate(answer["FaceDetails"], 1):
        age, gender, looks = face["AgeRange"], face["Gender"], face["Emotions"][0]
        flags = {name: face[name]["Value"] for name in _FLAGS}
        table.add_row(
            str(number),
            f"{age['Low']} to {age['High']}",
            f"{gender['Value'].lower()} {gender['Confidence']:.0f}",
            f"{looks['Type'].lower()} {looks['Confidence']:.0f}",
            ", ".join(_FLAGS[name][not seen] for name, seen in flags.items() if _FLAGS[name][not seen]),
        )
    return table


_FLAGS: Final = {
    "Smile": ("smile", ""),
    "Eyeglasses": ("glasses", ""),
    "Sunglasses": ("sunglasses", ""),
    "Beard": ("beard", ""),
    "Mustache": ("moustache", ""),
    "EyesOpen": ("", "eyes closed"),
    "MouthOpen": ("mouth open", ""),
    "FaceOccluded": ("partly covered", ""),
}
"""What is said of a face where a flag is true, and where it is false."""


def celebrities_table(answer: Answer) -> Table:
    """A row a face of someone in the gallery; how many others there are."""
    others = len(answer["UnrecognizedFaces"])
    if not answer["CelebrityFaces"]:
        return _nothing(f"nobody of the gallery; {others} other face{'' if others == 1 else 's'}")
    table = _table("who", "%", "id", "left, top  width x height", "urls")
    for person in answer["CelebrityFaces"]:
        place = _place(person["Face"]["BoundingBox"])
        name, urls = escape(person["Name"]), escape(" ".join(person["Urls"]))
        table.add_row(name, f"{person['MatchConfidence']:.1f}", person["Id"], place, urls)
    if others:
        table.add_row(f"[dim]{others} other{'' if others == 1 else 's'}[/]", "", "", "", "")
    return table


def summary_table(answer: Answer) -> Table:
    """Which persons wear all that is required."""
    table = _table("all that is required", "persons")
    for text, name in (
        ("worn", "PersonsWithRequiredEquipment"),
        ("not worn", "PersonsWithoutRequiredEquipment"),
        ("cannot be told", "PersonsIndeterminate"),
    ):
        table.add_row(text, ", ".join(map(str, answer["Summary"][name])) or "[dim]nobody[/]")
    return table


def equipment_table(answer: Answer) -> Table:
    """A row a body part of each person, with what covers it; a person without a visible part has a row of its own."""
    if not answer["Persons"]:
        return _nothing("nobody")
    table = _table("person", "%", "left, top  width x height", "part", "covered by")
    for person in answer["Persons"]:
        who = (str(person["Id"]), f"{person['Confidence']:.1f}", _place(person["BoundingBox"]))
        if not person["BodyParts"]:
            table.add_row(*who, "[dim]none visible[/]", "")
        for part in person["BodyParts"]:
            table.add_row(*who, part["Name"], ", ".join(map(_cover, part["EquipmentDetections"])) or "[dim]nothing[/]")
            who = ("", "", "")
    return table


def _cover(item: Answer) -> str:
    where = "" if item["CoversBodyPart"]["Value"] else " (near, not on it)"
    return f"{item['Type']} {item['Confidence']:.0f}{where}"


def text_table(answer: Answer) -> Table:
    """A row a line of text."""
    lines = [item for item in answer["TextDetections"] if item["Type"] == "LINE"]
    if not lines:
        return _nothing("no text")
    table = _table("line", "%", "left, top  width x height")
    for line in lines:
        table.add_row(
            escape(line["DetectedText"]), f"{line['Confidence']:.1f}", _place(line["Geometry"]["BoundingBox"])
        )
    return table


def _nothing(what: str) -> Table:
    table = Table(box=None, show_header=False)
    table.add_row(f"[dim]{what}[/]")
    return table

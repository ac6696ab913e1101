"""`openrek detect labels|faces|celebrities|text|moderation|ppe`: the same answers as the server's, for files, without a
server."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from openrek.cli.answers import answer_line
from openrek.cli.common import HomeOption, JsonOption, console, console_err, services_from, settings_from
from openrek.cli.photos import drawing_targets, find_photos
from openrek.cli.progress import work_bar
from openrek.cli.tables import (
    attributes_table,
    celebrities_table,
    equipment_table,
    faces_table,
    labels_table,
    moderation_table,
    properties_table,
    summary_table,
    text_table,
)
from openrek.contract.call import Call, Caller
from openrek.contract.errors import ServiceError
from openrek.settings import Profile

app = typer.Typer(no_args_is_help=True, help="Look at photos without a server: files, folders and globs.")

PhotosArgument = Annotated[list[str], typer.Argument(metavar="PHOTO...", help="Files, folders or globs.")]
DrawOption = Annotated[
    Path | None,
    typer.Option("--draw", help="Write annotated pictures: a file for one photo, a folder for many.", metavar="OUT"),
]
ConfidenceOption = Annotated[float | None, typer.Option(min=0, max=100, help="Least confidence, 0 to 100.")]
ProfileOption = Annotated[
    Profile, typer.Option(help="aws: Rekognition's formats and limits; relaxed: HEIC, WebP, TIFF ... and large files.")
]

LOCAL_FILE_LIMIT = 1 << 30


class Cover(StrEnum):
    """Protective equipment by what it covers: as `vision.protective_equipment.Cover`, an import of which would load
    the vision libraries before every command."""

    FACE_COVER = "FACE_COVER"
    HAND_COVER = "HAND_COVER"
    HEAD_COVER = "HEAD_COVER"


@app.command()
def labels(
    photos: PhotosArgument,
    min_confidence: ConfidenceOption = None,
    max_labels: Annotated[int | None, typer.Option(min=1, help="Most labels a photo.")] = None,
    colors: Annotated[bool, typer.Option("--colors", help="Also brightness, sharpness and dominant colours.")] = False,
    as_json: JsonOption = False,
    draw: DrawOption = None,
    profile: ProfileOption = Profile.RELAXED,
) -> None:
    """What is in the photos: objects, scenes and concepts, with their parents and categories."""
    request = _given(MinConfidence=min_confidence, MaxLabels=max_labels)
    if colors:
        request["Features"] = ["GENERAL_LABELS", "IMAGE_PROPERTIES"]
    tables = (labels_table, properties_table) if colors else (labels_table,)
    _detect("DetectLabels", photos, request, tables, as_json=as_json, draw=draw, profile=profile)


@app.command()
def faces(
    photos: PhotosArgument,
    everything: Annotated[
        bool, typer.Option("--all", help="Also age, gender, expression, glasses, beard ... and 30 landmarks.")
    ] = False,
    as_json: JsonOption = False,
    draw: DrawOption = None,
    profile: ProfileOption = Profile.RELAXED,
) -> None:
    """The faces in the photos: where, how sure, which way they look, how sharp and bright."""
    request = {"Attributes": ["ALL"]} if everything else {}
    tables = (faces_table, attributes_table) if everything else (faces_table,)
    _detect("DetectFaces", photos, request, tables, as_json=as_json, draw=draw, profile=profile)


@app.command()
def celebrities(
    photos: PhotosArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    draw: DrawOption = None,
    profile: ProfileOption = Profile.RELAXED,
) -> None:
    """Well-known people in the photos, of the gallery that `openrek celebrities import` fills."""
    _detect(
        "RecognizeCelebrities", photos, {}, (celebrities_table,), as_json=as_json, draw=draw, profile=profile, home=home
    )


@app.command()
def text(
    photos: PhotosArgument,
    min_confidence: ConfidenceOption = None,
    as_json: JsonOption = False,
    draw: DrawOption = None,
    profile: ProfileOption = Profile.RELAXED,
) -> None:
    """The text in the photos, line by line."""
    request: dict[str, Any] = {}
    if min_confidence is not None:
        request["Filters"] = {"WordFilter": {"MinConfidence": min_confidence}}
    _detect("DetectText", photos, request, (text_table,), as_json=as_json, draw=draw, profile=profile)


@app.command()
def moderation(
    photos: PhotosArgument,
    min_confidence: ConfidenceOption = None,
    as_json: JsonOption = False,
    draw: DrawOption = None,
    profile: ProfileOption = Profile.RELAXED,
) -> None:
    """Unsafe content in the photos, by the moderation taxonomy; and what the installed models cannot see."""
    from openrek.cli.blind import blind_sentence

    request = _given(MinConfidence=min_confidence)
    _detect("DetectModerationLabels", photos, request, (moderation_table,), as_json=as_json, draw=draw, profile=profile)
    console_err.print(blind_sentence(settings_from()), style="yellow", highlight=False, soft_wrap=True)


@app.command()
def ppe(
    photos: PhotosArgument,
    require: Annotated[
        list[Cover] | None,
        typer.Option(
            help="A cover that everyone must wear; may be given several times. Says who does.",
            case_sensitive=False,
            show_default=False,
        ),
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=100, help="With --require: how sure that must be; below 50 means 50.")
    ] = 80.0,
    as_json: JsonOption = False,
    draw: DrawOption = None,
    profile: ProfileOption = Profile.RELAXED,
) -> None:
    """Protective equipment on the people in the photos: hard hats, helmets and masks; hands with a detector of one's
    own."""
    request: dict[str, Any] = {}
    if require:
        required = [cover.value for cover in dict.fromkeys(require)]
        request = {"SummarizationAttributes": {"MinConfidence": min_confidence, "RequiredEquipmentTypes": required}}
    tables = (equipment_table, summary_table) if require else (equipment_table,)
    _detect("DetectProtectiveEquipment", photos, request, tables, as_json=as_json, draw=draw, profile=profile)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _detect(
    name: str,
    photos: Sequence[str],
    request: Mapping[str, Any],
    tables: Sequence[Callable[[Mapping[str, Any]], Table]],
    *,
    as_json: bool,
    draw: Path | None,
    profile: Profile,
    home: Path | None = None,
) -> None:
    """Run one operation's own handler over the photos. A photo that cannot be read is named and the rest goes on; the
    exit status is then 1."""
    from openrek.cli.drawing import annotated
    from openrek.service.operation import load_operations
    from openrek.vision.image import ImageError

    found = find_photos(photos)
    targets = drawing_targets(found, draw) if draw is not None else {}
    lifted = LOCAL_FILE_LIMIT if profile is Profile.RELAXED else None
    settings = settings_from(home=home, profile=profile, max_image_bytes=lifted)
    services = services_from(settings)
    handler = load_operations()[name].handler
    failed = 0
    try:
        with work_bar(shown=len(found) > 1) as bar:
            for path in bar.track(found, description=name):
                try:
                    parameters = {**request, "Image": {"Bytes": path.read_bytes()}}
                    call = Call(name, "local", Caller("local", settings.account_id, settings.region), parameters)
                    answer = handler(parameters, call, services)
                    if path in targets:
                        annotated(path, answer, max_pixels=settings.pixel_limit).save(targets[path])
                except (ServiceError, ImageError, OSError) as error:
                    failed += 1
                    console_err.print(f"[red]{escape(str(path))}:[/] {escape(str(error))}", soft_wrap=True)
                    continue
                _print(name, path, answer, tables, as_json=as_json, drawn=targets.get(path))
    finally:
        services.close()
    if failed:
        console_err.print(f"{failed} of {len(found)} photos could not be read", style="red")
        raise typer.Exit(1)


def _print(
    name: str,
    path: Path,
    answer: Mapping[str, Any],
    tables: Sequence[Callable[[Mapping[str, Any]], Table]],
    *,
    as_json: bool,
    drawn: Path | None,
) -> None:
    if as_json:  # JSON Lines: one photo a line
        typer.echo(answer_line(name, answer, File=str(path)))
        return
    console.print(f"[bold]{escape(str(path))}[/]" + (f"  -> {escape(str(drawn))}" if drawn else ""), soft_wrap=True)
    for table in tables:
        console.print(table(answer))

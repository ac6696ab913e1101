"""`openrek demo`: a server, an unmodified boto3 and real photos, from start to clean stop."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from openrek.cli.common import UserError, console, console_err, settings_from
from openrek.cli.photos import find_photos, make_folder

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

START_TIMEOUT = 60.0


def demo(
    output: Annotated[Path, typer.Option(help="Folder for the annotated pictures.")] = Path("demo-output"),
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Your own photos; by default some that come with Python packages.")
    ] = None,
) -> None:
    """Start a server on a free port, ask it about real photos through boto3, draw what it saw, stop it."""
    from botocore.exceptions import ClientError

    from openrek.vision.image import ImageError

    chosen = find_photos([str(photo) for photo in photos]) if photos else sample_photos()
    make_folder(output)
    failed = 0
    with running_server() as (url, credentials):
        client = boto3_client(url, credentials)
        console.print(Panel.fit(f"An unmodified boto3 client, endpoint_url={url}", style="cyan"))
        for photo in chosen:
            try:
                _show(client, photo, output)
            except (ClientError, ImageError, OSError) as error:
                failed += 1
                console_err.print(f"[red]{escape(str(photo))}:[/] {escape(str(error))}", soft_wrap=True)
    console.print("\nThe server has stopped. Run your own with [bold]make serve[/] (or [bold]openrek serve[/]).")
    if failed:
        raise typer.Exit(1)


def sample_photos() -> list[Path]:
    """Real photos inside scikit-image, matplotlib and scikit-learn; raises UserError when none is installed."""
    import importlib.util

    wanted = (
        ("skimage", "data/astronaut.png"),
        ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
        ("sklearn", "datasets/images/china.jpg"),
        ("skimage", "data/coffee.png"),
        ("skimage", "data/page.png"),
    )
    found = []
    for package, inside in wanted:
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(root) / inside).is_file():
                found.append(Path(root) / inside)
    if not found:
        raise UserError("no sample photos are installed: name photos of your own, or pip install 'openrek[demo]'")
    return found


@contextmanager
def running_server(*options: str, env: Mapping[str, str] | None = None) -> Iterator[tuple[str, Path]]:
    """A real `openrek serve` on a free port with a home of its own: its address and its credentials file.

    The process is asked to stop at the end and its home removed. Raises UserError when it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="openrek-") as folder:
        home, ready = Path(folder) / "home", Path(folder) / "ready.json"
        log = Path(folder) / "server.log"
        command = [sys.executable, "-m", "openrek", "serve", "--port", "0", "--home", str(home)]
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [*command, "--ready-file", str(ready), *options],
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise UserError(f"the server did not start:\n{log.read_text(errors='replace').strip()}")
                time.sleep(0.02)
            yield json.loads(ready.read_text())["url"], home / "credentials"
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def boto3_client(url: str, credentials: Path) -> "RekognitionClient":
    """A boto3 client that reads the made key pair from its credentials file, signs for the server's region, and goes
    to this machine by no proxy."""
    import boto3
    from botocore.config import Config
    from botocore.session import Session

    core = Session()
    core.set_config_variable("credentials_file", str(credentials))
    session = boto3.Session(botocore_session=core, profile_name="openrek", region_name=settings_from().region)
    return session.client("rekognition", endpoint_url=url, config=Config(proxies={}))


def _show(client: "RekognitionClient", photo: Path, output: Path) -> None:
    from openrek.cli.drawing import annotated

    data = photo.read_bytes()
    started = time.perf_counter()
    labels = client.detect_labels(Image={"Bytes": data}, MaxLabels=10)
    faces = client.detect_faces(Image={"Bytes": data})
    text = client.detect_text(Image={"Bytes": data})
    elapsed = time.perf_counter() - started

    table = Table(
        title=f"{photo.name}  (three calls, {elapsed * 1000:.0f} ms)", title_justify="left", show_header=False
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("DetectLabels", ", ".join(f"{item['Name']} {item['Confidence']:.0f}%" for item in labels["Labels"]))
    table.add_row("DetectFaces", "\n".join(_face_line(face) for face in faces["FaceDetails"]) or "no face")
    lines = [item["DetectedText"] for item in text["TextDetections"] if item["Type"] == "LINE"]
    table.add_row(
        "DetectText",
        "\n".join(lines[:8]) + (f"\n... {len(lines) - 8} more lines" if len(lines) > 8 else "") if lines else "no text",
    )
    picture = output / f"{photo.stem}-annotated.png"
    annotated(photo, labels, faces, text, max_pixels=settings_from().pixel_limit).save(picture)
    table.add_row("Picture", str(picture))
    console.print(table)


def _face_line(face: Mapping[str, Any]) -> str:
    box, pose = face["BoundingBox"], face["Pose"]
    return (
        f"face {face['Confidence']:.1f}% at {box['Left']:.2f},{box['Top']:.2f} "
        f"size {box['Width']:.2f}x{box['Height']:.2f}, yaw {pose['Yaw']:.0f}, pitch {pose['Pitch']:.0f}, "
        f"roll {pose['Roll']:.0f}, sharpness {face['Quality']['Sharpness']:.0f}"
    )

"""The benchmark's picture: a 1920x1080 JPEG mosaic of real photos with faces, text and things in it."""

import io

from PIL import Image, ImageOps

from openrek.cli.demo import sample_photos


def photo_1080p() -> bytes:
    """Six tiles of 640x540 pixels from the demo's photos, JPEG quality 90 (about 500 KB)."""
    canvas = Image.new("RGB", (1920, 1080))
    sources = sample_photos()
    for tile in range(6):
        with Image.open(sources[tile % len(sources)]) as source:
            part = ImageOps.fit(source.convert("RGB"), (640, 540), Image.Resampling.LANCZOS)
        canvas.paste(part, ((tile % 3) * 640, (tile // 3) * 540))
    sink = io.BytesIO()
    canvas.save(sink, "JPEG", quality=90)
    return sink.getvalue()

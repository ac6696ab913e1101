"""What the tests of the model runtime share: tiny models, cards, packages, a file server that misbehaves on demand."""

import hashlib
import io
import json
import tarfile
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from openrek.vision.runtime.catalogue import Catalogue
from openrek.vision.runtime.library import ModelLibrary


def tiny_model(factor: float = 2.0, *, fixed: bool = False, ballast: int = 0) -> bytes:
    """An ONNX file that multiplies its input `x` (n, 3) by `factor`; `fixed` gives it the shape (1, 3).

    `ballast` adds about that many bytes of unused metadata, to make downloads long enough to break.
    """
    shape: list[int | str] = [1, 3] if fixed else ["batch", 3]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"character": "abc"})
    if ballast:
        entry = model.metadata_props.add()
        entry.key, entry.value = "ballast", "0123456789abcdef" * (ballast // 16)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def card_text(name: str, content: bytes, source: str, /, **more: Any) -> str:
    """A card for `content`; `more` adds or replaces top-level values (a dict becomes a table)."""
    values: dict[str, Any] = {
        "name": name,
        "task": "testing",
        "version": "1",
        "packs": ["base"],
        "licence": "Apache-2.0",
        "summary": "Multiplies.",
        "training_data": "None.",
        "file": f"{name}.onnx",
        "sha256": sha256(content),
        "size": len(content),
        "sources": [source],
    } | more
    return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def write_card(folder: Path, name: str, content: bytes, source: str, /, **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(card_text(name, content, source, **more))


@contextmanager
def library(cards: Path, cache: Path, **options: Any) -> Iterator[ModelLibrary]:
    """A library of the cards in one folder alone."""
    made = ModelLibrary(Catalogue(folder=cards), cache, **options)
    try:
        yield made
    finally:
        made.close()


def wheel(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def sdist(root: str, members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"{root}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def write_index(root: Path, project: str, files: dict[str, bytes], *, digests: bool = True) -> None:
    """A PEP 503 index in a folder: `<root>/<project>/index.html` with its files beside it."""
    folder = root / project
    folder.mkdir(parents=True, exist_ok=True)
    links = []
    for name, content in files.items():
        (folder / name).write_bytes(content)
        fragment = f"#sha256={sha256(content)}" if digests else ""
        links.append(f'<a href="{name}{fragment}">{name}</a>')
    (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>")


class FileServer(ThreadingHTTPServer):
    """Serves the files of a folder with Range support.

    `faults[path]` is a list of what to do wrong on the next requests of that path, one a request: "cut:100" cuts the
    body after 100 bytes, "norange" ignores Range, "stall" sends half and then nothing, "wrong" sends other bytes of the
    same length, "elsewhere" resumes at byte 0 whatever was asked, "slow" sends in 20 small pieces, a string that starts
    with "http" redirects there, and an int is the status. `seen` lists (path, Range header) of
    every request.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.faults: dict[str, list[int | str]] = defaultdict(list)
        self.seen: list[tuple[str, str | None]] = []
        self.headers: list[dict[str, str]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        asked = self.headers.get("Range")
        self.server.seen.append((path, asked))
        self.server.headers.append(dict(self.headers))
        faults = self.server.faults[path]
        fault = faults.pop(0) if faults else None
        if isinstance(fault, str) and fault.startswith("http"):
            self.send_response(302)
            self.send_header("Location", fault)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if isinstance(fault, int):
            self.send_error(fault)
            return
        file = self.server.root / path.lstrip("/")
        if file.is_dir():
            file = file / "index.html"
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault != "norange" else None
        if start is not None and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if fault == "wrong":
            content = bytes(len(content))
        if fault == "elsewhere" and start is not None:
            start = 0
        body = content[start or 0 :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", "text/html" if file.suffix == ".html" else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault is not None and fault.startswith("cut:"):
            self.wfile.write(body[: int(fault[4:])])
            self.close_connection = True
        elif fault == "stall":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.released.wait(10)
        elif fault == "slow":
            step = len(body) // 20 + 1
            for place in range(0, len(body), step):
                self.wfile.write(body[place : place + step])
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def serving(root: Path) -> Iterator[FileServer]:
    with FileServer(root) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()

"""`python -m bench [--write FILE]`: the server's speed, memory and start-up, all in one run, as ratios where it can be.

(a) ListCollections against a bare Starlette JSON echo under the same uvicorn;
(b) five vision operations through boto3 and HTTP against the same calls in this process, in turns, and those against
    the time of the networks' runs alone;
(c) throughput and latency at 1, 2, 4 and 8 concurrent clients;
(d) start-up time and resident memory;
(e) faces a second against dlib's pipeline (bench.face_pipeline), and search among many faces (bench.search).

`--write` replaces the sections that it measures, and keeps those that other benchmarks wrote.
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from botocore import xform_name

from bench import load
from bench.photo import photo_1080p
from bench.raw_time import raw_time
from openrek.cli.demo import boto3_client, running_server

OPERATIONS = ("DetectFaces", "DetectLabels", "DetectText")
PICTURE_OPERATIONS = (*OPERATIONS, "DetectModerationLabels", "DetectProtectiveEquipment")
TITLE = "# Benchmarks\n\nWritten by `make bench`; medians. Compare ratios, not absolutes."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load run")
    parser.add_argument("--rounds", type=int, default=15, help="pairs of calls for the HTTP overhead")
    parser.add_argument("--data", type=Path, help="folder of labelled sets, for the recall of bench.face_pipeline")
    parser.add_argument("--faces", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()

    from bench import face_pipeline, search

    photo = photo_1080p()
    sections = [
        startup(),
        request_rate(options.seconds),
        http_overhead(photo, options.rounds),
        concurrency(photo, options.seconds),
        memory(photo),
        face_pipeline.section(options.data, every=4, rounds=3),
        search.section(options.faces),
    ]
    print(TITLE, machine(), *sections, sep="\n\n")
    if options.write:
        put(options.write, sections)


def put(path: Path, sections: Sequence[str]) -> None:
    """Put sections (`## heading`, text) with their machine and date into a file, each in the place of the one with the
    same heading; what else is in the file stays."""
    old = path.read_text().strip() if path.exists() else TITLE
    head, *parts = old.split("\n## ")
    kept = {part.partition("\n")[0]: part for part in parts}
    for section in sections:
        heading, _, text = section.removeprefix("## ").partition("\n")
        kept[heading] = f"{heading}\n\n{machine()}\n\n{text.strip()}\n"
    path.write_text("\n\n## ".join([head.strip(), *(part.strip() for part in kept.values())]) + "\n")


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def machine() -> str:
    """What the numbers were measured on."""
    cpu = "unknown processor"
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured {date.today().isoformat()} on {len(os.sched_getaffinity(0))} cores of {cpu}, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"ONNX Runtime {version('onnxruntime')}. The clients share the cores with the server."
    )


def startup() -> str:
    """(d) From process start to the first accepted call, seven fresh servers after one warm-up."""
    times = []
    for _ in range(8):
        started = time.perf_counter()
        with running_server():
            times.append(time.perf_counter() - started)
    return "## Start-up\n\n" + table(
        ["what", "median", "fastest", "slowest"],
        [["`openrek serve` until ready, new home", *(f"{f(times[1:]):.2f} s" for f in (median, min, max))]],
    )


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """The bare Starlette echo in a process of its own: its port."""
    process = subprocess.Popen([sys.executable, "-m", "bench.echo"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def signed_request(client: Any, operation: str, parameters: dict[str, Any]) -> tuple[tuple[str, int], bytes]:
    """The address and the bytes that boto3 itself would send for a call."""
    captured: list[Any] = []

    def capture(request: Any, **_: Any) -> Any:
        captured.append(request)
        raise _Captured

    client.meta.events.register_last("before-send.rekognition", capture)
    method = getattr(client, "".join("_" + c.lower() if c.isupper() else c for c in operation).lstrip("_"))
    try:
        with contextlib.suppress(_Captured):
            method(**parameters)
    finally:
        client.meta.events.unregister("before-send.rekognition", capture)
    request = captured[0]
    host, port = request.url.split("//")[1].rstrip("/").split(":")
    body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
    headers = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
    headers.update({"Host": f"{host}:{port}", "Content-Length": str(len(body))})
    head = "POST / HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    return (host, int(port)), head.encode() + body


class _Captured(Exception):
    """Stops boto3 just before it would send."""


def request_rate(seconds: float) -> str:
    """(a) Signed, validated ListCollections against the bare echo, in turns, 8 connections, both warm."""
    rows = []
    with echo_server() as echo_port, running_server() as (url, credentials):
        client = boto3_client(url, credentials)
        address, listing = signed_request(client, "ListCollections", {})
        body = b"{}"
        echo = (
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        for connections in (1, 8):
            ours, theirs = [], []
            for round_ in range(6):
                echoed = load.run(("127.0.0.1", echo_port), echo, connections=connections, seconds=seconds / 5)
                listed = load.run(address, listing, connections=connections, seconds=seconds / 5)
                if round_:  # the first pair warms both up
                    theirs.append(echoed.rate)
                    ours.append(listed.rate)
            ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
            rows.append([str(connections), f"{median(ours):.0f}/s", f"{median(theirs):.0f}/s", f"**{ratio:.0%}**"])
    return (
        "## Request rate: ListCollections (signature check and validation on) against a bare Starlette echo\n\n"
        + table(["connections", "ListCollections", "echo", "ratio"], rows)
    )


def in_process(photo: bytes) -> tuple[dict[str, Callable[[], Any]], Callable[[], None]]:
    """The operations as direct calls of their handlers in this process, and what closes them."""
    from openrek.contract.call import Call, Caller
    from openrek.service.operation import load_operations
    from openrek.service.services import Services
    from openrek.settings import Settings

    home = tempfile.TemporaryDirectory(prefix="openrek-bench-")
    services = Services(Settings(home=Path(home.name)))
    operations = load_operations()
    caller = Caller("AKIABENCH", "000000000000", "us-east-1")

    def direct(name: str) -> Callable[[], Any]:
        request = {"Image": {"Bytes": photo}}
        return lambda: operations[name].handler(request, Call(name, "bench", caller, request), services)

    def close() -> None:
        services.close()
        home.cleanup()

    return {name: direct(name) for name in PICTURE_OPERATIONS}, close


def http_call(client: Any, operation: str, photo: bytes) -> Callable[[], Any]:
    """An operation through boto3."""
    method = getattr(client, xform_name(operation))
    return lambda: method(Image={"Bytes": photo})


def timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def http_overhead(photo: bytes, rounds: int) -> str:
    """(b) One client, calls in turns: in process, through HTTP, in process, ..."""
    rows = []
    direct, close = in_process(photo)
    with running_server() as (url, credentials):
        client = boto3_client(url, credentials)
        for name in PICTURE_OPERATIONS:
            through = http_call(client, name, photo)
            for _ in range(2):
                direct[name]()
                through()
            turns = []
            for _ in range(rounds):
                with raw_time() as spent:
                    here = timed(direct[name])
                turns.append((spent(), here, timed(through)))
            raw, here, there = (median(column) for column in zip(*turns, strict=True))
            times = [f"{seconds * 1000:.0f} ms" for seconds in (raw, here, there)]
            rows.append([name, *times, f"{here / raw:.2f}x", f"**{there / here:.2f}x**"])
    close()
    header = ["operation", "networks alone", "in process", "through HTTP", "in process / networks", "HTTP / in process"]
    return (
        f"## HTTP end to end (boto3) against the same call in process, 1920x1080 JPEG of {len(photo) // 1000} kB\n\n"
        + table(header, rows)
    )


def concurrency(photo: bytes, seconds: float) -> str:
    """(c) Closed-loop clients on the same photo."""
    rows = []
    with running_server() as (url, credentials):
        client = boto3_client(url, credentials)
        for name in OPERATIONS:
            address, request = signed_request(client, name, {"Image": {"Bytes": photo}})
            load.run(address, request, connections=2, seconds=1, at_least=4)
            for clients in (1, 2, 4, 8):
                result = load.run(address, request, connections=clients, seconds=seconds, at_least=3 * clients)
                rows.append(
                    [
                        name,
                        str(clients),
                        f"{result.rate:.1f}/s",
                        f"{result.p50 * 1000:.0f} ms",
                        f"{result.p95 * 1000:.0f} ms",
                    ]
                )
    return "## Concurrent clients, the same 1080p photo\n\n" + table(
        ["operation", "clients", "throughput", "p50", "p95"], rows
    )


def memory(photo: bytes) -> str:
    """(d) Resident memory of a fresh server, and after all three operations have run alone and side by side."""
    rows = []
    with running_server() as (url, credentials):
        client = boto3_client(url, credentials)
        pid = server_pid(credentials)
        rows.append(["just started", f"{resident(pid):.0f} MB"])
        for name in OPERATIONS:
            http_call(client, name, photo)()
        rows.append(["after one call of each of the three operations, 1080p", f"{resident(pid):.0f} MB"])
        for name in OPERATIONS:
            address, request = signed_request(client, name, {"Image": {"Bytes": photo}})
            load.run(address, request, connections=8, seconds=3, at_least=16)
        rows.append(["after 8 concurrent clients on each", f"{resident(pid):.0f} MB"])
    return "## Resident memory of the server\n\n" + table(["when", "resident"], rows)


def server_pid(credentials: Path) -> int:
    return int(json.loads((credentials.parent.parent / "ready.json").read_text())["pid"])


def resident(pid: int) -> float:
    """Resident set size in MB (10^6 bytes), from /proc."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()

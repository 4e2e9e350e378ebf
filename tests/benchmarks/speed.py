"""How fast, beside the reference and beside what else one would run.

    python -m tests.benchmarks.speed --full

Every table is measured in one run on one machine on synthetic scans; ratios travel, seconds do not.
Times are the least of several where that is said, since other work on the machine only adds; where
processor seconds stand beside seconds, theirs is the cost that other work changes least. The tables
are kept for `python -m liverseg publish`, which puts them into the README.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from liverseg.evaluation.readme_tables import SPEED_FILE, table_text
from liverseg.network.cascade import segment, segment_steps
from liverseg.network.engine import Engine, Network, load_engine, load_network, thread_count
from liverseg.network.preprocess import NetworkInput, whole_slice
from liverseg.network.weights import FOLDER, NETWORKS, Weights, load_config
from liverseg.phantom import make_phantom
from liverseg.phantom.files import write_dicom
from liverseg.reading.upload import read_scan
from liverseg.volume import Spacing, Volume

APP = Path(__file__).resolve().parents[2] / "app.py"
SPEED = FOLDER / SPEED_FILE
REPEATS = 3
START_LIMIT_S = 120


def main() -> None:
    """Prints the tables as Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.speed",
        description="Measures speed and memory on synthetic scans.",
    )
    parser.add_argument("--full", action="store_true", help="whole scans, up to 800 slices")
    parser.add_argument("--out", type=Path, help="a JSON file; by default weights/speed.json")
    args = parser.parse_args()
    full, out = args.full, args.out or (SPEED if args.full else None)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    scan, _ = make_phantom(0, shape=(130 if full else 40, 512, 512))
    engines = {
        "fast": load_engine("fast"),
        "reference": load_engine("reference"),
        "Keras `predict`, slice by slice": OneByOne(load_config()),
    }
    heads = ("engine", "ms a slice", "of the reference")
    keep(out, f"The network on {thread_count()} threads", heads, network(engines, scan))
    heads = ("engine", "read, s", "first masks, s", "all masks, s", "in all, s", "of the reference")
    heads += ("processor, s", "of the reference")
    title = f"A DICOM zip of {scan.shape[0]} slices to its masks"
    keep(out, title, heads, whole_path(engines, scan))
    counts = (100, 200, 400, 800) if full else (50, 100)
    heads = ("slices", "seconds", "processor seconds for 100", "peak memory, MB")
    keep(out, "Scans of the same patient in thinner slices", heads, lengths(counts))
    keep(out, "Start of the page", ("first page, s", "memory, MB"), [start()])


def keep(out: Path | None, title: str, heads: tuple[str, ...], rows: Iterable[tuple]) -> None:
    """Prints a table as Markdown and puts it into a JSON file, in place of one of that title."""
    table = {"title": title, "heads": list(heads), "rows": [list(map(str, row)) for row in rows]}
    print(table_text(table), flush=True)
    if out:
        kept = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else []
        tables = {one["title"]: one for one in kept} | {title: table}  # each keeps its place
        out.write_text(json.dumps([*tables.values()], indent=1) + "\n", encoding="utf-8")


class OneByOne:
    """What a Keras demo usually does: `model.predict` for each slice."""

    batch_size = 1

    def __init__(self, weights: Weights):
        self.recipe, self.identity = weights.recipe, "one-by-one"
        self._models = {name: load_network(weights, name) for name in NETWORKS}

    def predict(self, network: Network, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Engine.predict`."""
        model = self._models[network]
        return [model.predict(image[None], verbose=0)[0, ..., 0] for image in images]


def network(engines: dict[str, Engine], scan: Volume, slices: int = 8) -> Iterable[tuple]:
    """Rows of the engines' ms a slice, the least of several."""
    middle = scan.shape[0] // 2
    chosen = range(middle - slices // 2, middle + slices // 2)
    least = {}
    for name, engine in engines.items():
        images = NetworkInput(scan, whole_slice(scan.shape[1:]), engine.recipe).batch(chosen)
        times = []
        for _ in range(1 + REPEATS):  # the first warms up
            began = time.perf_counter()
            for k in range(0, slices, engine.batch_size):
                engine.predict("liver", images[k : k + engine.batch_size])
            times.append((time.perf_counter() - began) / slices * 1000)
        least[name] = min(times)
    return [(name, f"{ms:.1f}", f"{ms / least['reference']:.2f}") for name, ms in least.items()]


def whole_path(engines: dict[str, Engine], scan: Volume) -> list[tuple]:
    """Rows of the seconds from a DICOM zip to its masks."""
    seconds, total, processor = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        write_dicom(scan, Path(folder) / "scan")
        upload = shutil.make_archive(f"{folder}/upload", "zip", f"{folder}/scan")
        for name, engine in engines.items():
            began, worked = time.perf_counter(), time.process_time()
            volume = read_scan(upload)
            read = time.perf_counter()
            steps = segment_steps(volume, engine)
            next(steps)
            first = time.perf_counter()
            for _ in steps:
                pass
            end = time.perf_counter()
            seconds[name] = read - began, first - read, end - read
            total[name], processor[name] = end - began, time.process_time() - worked
    return [
        (
            name,
            *(f"{value:.2f}" for value in seconds[name]),
            *_compared(total, name),
            *_compared(processor, name),
        )
        for name in engines
    ]


def _compared(seconds: dict[str, float], name: str) -> tuple[str, str]:
    return f"{seconds[name]:.2f}", f"{seconds[name] / seconds['reference']:.2f}"


def lengths(counts: tuple[int, ...]) -> Iterable[tuple]:
    """Rows of seconds and peak memory by the number of slices, each in a process of its own."""
    scan, _ = make_phantom(0, shape=(counts[0], 512, 512))
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            finer = count // counts[0]
            np.save(f"{folder}/hu.npy", np.repeat(scan.hu, finer, axis=0))
            spacing = scan.spacing._replace(z=scan.spacing.z / finer)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                found = process.submit(_segmented, f"{folder}/hu.npy", spacing).result()
            seconds, worked, peak_mb = found
            yield count, f"{seconds:.2f}", f"{worked / count * 100:.2f}", _or_unknown(peak_mb)


def _segmented(path: str, spacing: Spacing) -> tuple[float, float, float | None]:
    """Seconds and processor seconds of segmenting a saved scan, and this process's peak MB."""
    engine = load_engine("fast")
    began, worked = time.perf_counter(), time.process_time()
    segment(Volume(np.load(path), spacing), engine=engine)
    ended, worked = time.perf_counter(), time.process_time() - worked
    return ended - began, worked, _memory_mb("self", "VmHWM")


def start() -> tuple[str, str]:
    """Seconds until `python app.py` serves its first page, and its memory then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
    }
    began = time.perf_counter()
    page = subprocess.Popen(
        [sys.executable, APP], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/", page)
        seconds = time.perf_counter() - began
        return f"{seconds:.1f}", _or_unknown(_memory_mb(str(page.pid), "VmRSS"))
    finally:
        page.terminate()
        page.wait(timeout=START_LIMIT_S)


def _wait_for(address: str, page: subprocess.Popen) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while page.poll() is None and time.monotonic() < limit:
        try:
            urllib.request.urlopen(address, timeout=START_LIMIT_S).read()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the page did not start")


def _memory_mb(process: str, field: str) -> float | None:
    """A process's memory as Linux counts it; None on other systems."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def _or_unknown(megabytes: float | None) -> str:
    return "unknown" if megabytes is None else f"{megabytes:.0f}"


if __name__ == "__main__":
    main()

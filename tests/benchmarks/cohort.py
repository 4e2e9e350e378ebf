"""Measures cohorts: `python -m tests.benchmarks.cohort --out weights/cohort.json`.

    python -m tests.benchmarks.cohort --studies 4 --slices 12 --side 96 --rows 500   # in a minute

Ways to run the same studies take turns, so that what else the machine does meets all of them alike.
Seconds are this machine's, ratios travel.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

from liverseg import Spacing
from liverseg.cohort import store
from liverseg.cohort.engines import run_here, run_on_dask
from liverseg.cohort.report import REPORT
from liverseg.cohort.study import Job, run_study
from liverseg.network.engine import thread_count
from liverseg.reading.workers import Readers
from tests.benchmarks.speed import keep
from tests.helpers.browser import open_browser
from tests.helpers.cohort_files import write_pairs

ROUNDS = 3
NOTHING = (sys.executable, "-m", "tests.benchmarks.cohort", "--serve")
EMPTY_JOBS = 200
GATHER = r"""
import re, sys
from pathlib import Path
from liverseg.cohort.keys import Keyed
from liverseg.cohort.run import report_on
from liverseg.cohort.studies import Study
status = Path("/proc/self/status")  # getrusage tells the peak of whoever started this, too
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024
out, before = Path(sys.argv[1]), peak()
keys = sorted(path.name for path in (out / "studies").iterdir())
report_on([Keyed(Study((Path(key),)), key, "", "") for key in keys], out, False)
print(before, peak())
"""  # in a process of its own, whose peak it is


def main() -> None:
    """Prints the tables, and keeps them where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        throughput(Path(folder), args)
        dask_overhead(Path(folder), args.out)
        big_report(Path(folder) / "report", args.rows, args.out)


def throughput(folder: Path, args: argparse.Namespace) -> None:
    """The networks on the same scans, one after the other and by one and two workers."""
    spacing = Spacing(240 / args.slices, 380 / args.side, 380 / args.side)
    scans, _ = write_pairs(folder, args.studies, (args.slices, args.side, args.side), spacing)
    paths = sorted(path for path in scans.glob("*.nii.gz") if "_seg" not in path.name)
    cores = thread_count()

    def jobs(out: Path, threads: int) -> list[Job]:
        return [
            Job(
                path.name[:8], str(out), (str(path),), truth=(str(truth_of(path)),), threads=threads
            )
            for path in paths
        ]

    def alone(out: Path) -> None:
        for job in jobs(out, cores):
            run_study(job, readers)

    def pool(workers: int) -> Callable[[Path], None]:
        def run(out: Path) -> None:
            threads = max(1, cores // workers)
            run_here(jobs(out, threads), workers, lambda key: None)

        return run

    ways = {"one after the other": alone, "1 worker": pool(1), "2 workers": pool(2)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    readers = Readers(follow_links=True)
    alone(folder / "warm")
    for number in range(ROUNDS):
        for name, run in ways.items():
            out = folder / f"{name} {number}"
            began = time.monotonic()
            run(out)
            seconds[name].append(time.monotonic() - began)
            states = [store.read(path)["state"] for path in out.glob(f"studies/*/{store.MANIFEST}")]
            assert states == [store.DONE] * len(paths)
    readers.close()
    usual = statistics.median(seconds["one after the other"])
    rows = [
        (
            name,
            round(3600 * len(paths) / statistics.median(times)),
            f"{usual / statistics.median(times):.2f}",
        )
        for name, times in seconds.items()
    ]
    title = f"{args.studies} studies of {args.slices} slices of {args.side}² on {cores} cores"
    keep(args.out, title, ("", "studies an hour", "times as many"), rows)


def truth_of(path: Path) -> Path:
    """The truth that belongs to a scan of `write_pairs`."""
    return path.with_name(path.name.replace(".nii.gz", "_seg.nii.gz"))


def dask_overhead(folder: Path, kept: Path | None) -> None:
    """What a study costs that does nothing, through threads here and through Dask on loopback."""
    from distributed import LocalCluster

    empty = [Job(f"{k:03d}", str(folder), (), threads=1) for k in range(EMPTY_JOBS)]
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        address = cluster.scheduler_address

        def here(jobs: list[Job]) -> None:
            run_here(jobs, 2, lambda key: None, NOTHING)

        def there(jobs: list[Job]) -> None:
            run_on_dask(jobs, address, lambda key: None, NOTHING)

        rows = []
        for name, run in (("threads here", here), ("Dask", there)):
            run(empty[:8])  # Dask's workers keep their processes, and threads here start new ones
            few = timed(run, empty[:2])
            rows.append((name, f"{1000 * (timed(run, empty) - few) / EMPTY_JOBS:.1f}"))
    title = f"{EMPTY_JOBS} studies that do nothing, 2 workers"
    keep(kept, title, ("", "ms for each, less the start"), rows)


def timed(run: Callable[[list[Job]], None], jobs: list[Job]) -> float:
    """Seconds that it takes."""
    began = time.monotonic()
    run(jobs)
    return time.monotonic() - began


def serve() -> None:
    """The process of a study that does nothing."""
    print('"ready"', flush=True)
    for _ in sys.stdin:
        print('""', flush=True)


def big_report(out: Path, count: int, kept: Path | None) -> None:
    """Gathers so many rows and opens their report in Chromium."""
    write_rows(out, count)
    done = subprocess.run(
        [sys.executable, "-c", GATHER, out], check=True, capture_output=True, text=True
    )
    before, peak = map(float, done.stdout.split())
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(f"file://{out}/{REPORT}")
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        page.locator(".chart.drawn").first.wait_for()
        charts = page.evaluate("performance.now()")
        browser.close()
    rows = [
        ("parent's memory before and at the peak, MB", f"{before:.0f} / {peak:.0f}"),
        ("report.html, MB", f"{(out / REPORT).stat().st_size / 1e6:.1f}"),
        ("first paint, s", f"{paint / 1000:.1f}"),
        ("first chart, s", f"{charts / 1000:.1f}"),
    ]
    keep(kept, f"The report of {count} studies", ("", "measured"), rows)


def write_rows(out: Path, count: int) -> None:
    """Folders of studies with numbers by chance."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (224, 448, 3), np.uint8)
    webp = cv2.imencode(".webp", cv2.blur(picture, (9, 9)), [cv2.IMWRITE_WEBP_QUALITY, 60])[1]
    for k in range(count):
        with store.writing(out, f"{k:020x}") as folder:
            dice, hd95, ml = rng.normal((0.95, 8, 1500), (0.02, 3, 250)).tolist()
            structure = {"dice": dice, "hd95_mm": hd95, "nsd_2mm": dice, "rvd": 1 - dice}
            numbers = {
                f"{name}_{key}": x for name in ("liver", "tumor") for key, x in structure.items()
            }
            shared = {"liver_ml": ml, "liver_hu_mean": ml / 15, "tumors": k % 4, "liver_parts": 1}
            store.write(folder / store.ROW, numbers | shared)
            store.write_manifest(folder, store.DONE, files=[], seconds=1.5, peak_mb=300)
            (folder / store.THUMBNAIL).write_bytes(webp.tobytes())


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve()
    else:
        os.environ.setdefault("PYTHONPATH", os.getcwd())  # for the workers of Dask
        main()

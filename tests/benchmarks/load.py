"""A class comes at once: `python -m tests.benchmarks.load` prints what the page does with it.

The page runs as on a Space, `python app.py` in a process of its own. Every visitor brings a scan of
his own; most are programs, some are people in browsers, and one of these closes his tab while he
waits. Every answer is compared with what the package says about that scan.
"""

import argparse
import re
import statistics
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
from gradio_client import Client, handle_file
from gradio_client.utils import Status
from playwright.sync_api import Page, expect, sync_playwright

from liverseg.network.cascade import segment
from liverseg.network.engine import load_engine
from liverseg.phantom import make_phantom
from liverseg.phantom.files import write_dicom
from liverseg.reading.upload import read_scan
from liverseg.scores.measurements import measure
from liverseg.volume import Spacing, Volume
from tests.benchmarks.speed import keep
from tests.helpers.browser import open_browser
from tests.helpers.page_server import files_below, served_apart, wait_until

WAITING = (Status.STARTING, Status.JOINING_QUEUE, Status.IN_QUEUE, Status.QUEUE_FULL)
LONGEST_S = 3600
FREED_AFTER_S = 60  # grace for a connection that comes back, and the sweep
LOOK_S = 0.1
HAS_ASKED = """() => document.querySelector("#status").innerText.trim() ||
    document.querySelector('.lv[data-phase="result"]')"""
PATIENT = {"timeout": 120}  # httpx gives up after 5 s, which a busy machine needs for 30 requests


@dataclass(frozen=True)
class Case:
    """A zipped scan, and what the package finds in it.

    Attributes:
        path: of the zip.
        labels: voxels of background, liver and tumor.
        liver_ml: the liver's volume.
    """

    path: Path
    labels: list[int]
    liver_ml: float


@dataclass
class Visit:
    """What happened to one visitor; times are seconds since he asked.

    Attributes:
        begun, done: when his turn came, and when he had the result.
        places: in the queue, as he was shown them.
        right: whether the result was that of his scan.
    """

    begun: float = 0.0
    done: float = 0.0
    places: list[int] = field(default_factory=list)
    right: bool = False


@dataclass
class Load:
    """What a run found; `str` is the table.

    Attributes:
        programs, browsers: who stayed to the end.
        seconds: from the first question to the last answer.
        rest_mb, peak_mb: memory of the page's processes before and at most.
        open_studies, files: what was there a minute after all had left.
    """

    shape: tuple[int, int, int]
    programs: list[Visit]
    browsers: list[Visit]
    seconds: float
    rest_mb: float
    peak_mb: float
    open_studies: int
    files: int

    @property
    def visits(self) -> list[Visit]:
        """All who stayed."""
        return self.programs + self.browsers

    @property
    def in_order(self) -> bool:
        """Whether nobody's place in the queue ever grew."""
        return all(visit.places == sorted(visit.places, reverse=True) for visit in self.visits)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What was found, in words."""
        begun = [visit.begun for visit in self.programs]
        done = [visit.done for visit in self.visits]
        shown = sum(bool(visit.places) for visit in self.visits)
        z, y, x = self.shape
        found = {
            "visitors at once": f"{len(self.programs)} programs, {len(self.browsers)} browsers, "
            "1 who leaves",
            "scan of each": f"{x}×{y}×{z}",
            "right results": f"{sum(visit.right for visit in self.visits)} of {len(self.visits)}",
            "shown their place": f"{shown}, up to {max(p for v in self.visits for p in v.places)}",
            "places only went down": "yes" if self.in_order else "no",
            "cases a minute": f"{60 * len(self.visits) / self.seconds:.1f}",
            "waiting, median": f"{statistics.median(begun):.0f} s",
            "waiting, p95": f"{np.percentile(begun, 95):.0f} s",
            "result after, median": f"{statistics.median(done):.0f} s",
            "result after, p95": f"{np.percentile(done, 95):.0f} s",
            "memory at rest": f"{self.rest_mb:.0f} MB",
            "memory at most": f"{self.peak_mb:.0f} MB",
            "left a minute later": f"{self.open_studies} scans, {self.files} files",
        }
        return list(found.items())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", type=int, default=26)
    parser.add_argument("--browsers", type=int, default=4)
    parser.add_argument("--slices", type=int, default=40)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--out", type=Path, help="a JSON file for `publish`")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shape = (arguments.slices, arguments.side, arguments.side)
        load = run(Path(folder), arguments.programs, arguments.browsers, shape)
    keep(arguments.out, "Visitors at once", ("load", "found"), load.rows)


def run(folder: Path, programs: int, browsers: int, shape: tuple[int, int, int]) -> Load:
    """Lets them come, and looks after everyone.

    Args:
        folder: an empty one.
        programs, browsers: how many; one more browser comes and leaves again.
        shape: (z, y, x) of the scans.
    """
    engine = load_engine()
    abdomen, _ = make_phantom(3, shape=shape)
    numbers = range(programs + browsers + 1)
    cases = [written_case(folder / "cases", abdomen, k, engine) for k in numbers]
    (folder / "page").mkdir()
    with served_apart(folder / "page") as served, memory_of(served.process.pid) as memory:
        wait_until(lambda: memory, 30)
        rest_mb = memory[-1]
        clients = [Client(served.url, verbose=False, httpx_kwargs=PATIENT) for _ in range(programs)]
        start = time.monotonic()
        jobs = [
            client.submit([handle_file(case.path)], None, None, api_name="/segment")
            for client, case in zip(clients, cases[:programs], strict=True)
        ]
        visits = [Visit() for _ in jobs]
        watcher = threading.Thread(target=watch, args=(jobs, visits, cases, start))
        watcher.start()
        people = browse(served.url, cases[programs:-1], cases[-1])
        watcher.join()
        seconds = time.monotonic() - start

        def open_studies() -> int:
            return sum(1 for _ in served.scratch.glob("liverseg-*/visitors/*"))

        end = time.monotonic() + FREED_AFTER_S
        while open_studies() and time.monotonic() < end:
            time.sleep(LOOK_S)
        left = [path for path in files_below(served.scratch) if path.suffix in (".bin", ".dcm")]
        return Load(shape, visits, people, seconds, rest_mb, max(memory), open_studies(), len(left))


def written_case(folder: Path, abdomen: Volume, number: int, engine) -> Case:
    """An abdomen shifted and stretched by its number, zipped, and what the package finds in it."""
    z_mm, y_mm, x_mm = abdomen.spacing
    hu = np.roll(abdomen.hu, number % 8, axis=2)
    stretched = Volume(hu, Spacing(z_mm * (1 + number / 50), y_mm, x_mm))
    slices = write_dicom(stretched, folder / f"{number}")
    path = folder / f"{number}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in slices:
            archive.write(file, file.name)
    volume = read_scan(path)
    prediction = segment(volume, engine=engine)
    labels = np.bincount(prediction.labels.ravel(), minlength=3).tolist()
    return Case(path, labels, measure(prediction, volume).liver_ml)


def watch(jobs: list, visits: list[Visit], cases: list[Case], start: float) -> None:
    """Notes places and times of all programs until the last has its result."""
    open_jobs = set(range(len(jobs)))
    while open_jobs and time.monotonic() - start < LONGEST_S:
        for k in sorted(open_jobs):
            status, now, visit = jobs[k].status(), time.monotonic() - start, visits[k]
            note_place(visit, status.rank if status.code == Status.IN_QUEUE else None)
            if not visit.begun and status.code not in WAITING:
                visit.begun = now
            if jobs[k].done():
                visit.done = now
                visit.right = is_right(jobs[k], cases[k])
                open_jobs.remove(k)
        time.sleep(LOOK_S)


def is_right(job, case: Case) -> bool:
    """Whether a program got what the package finds in its scan."""
    if job.exception():
        return False
    report, path = job.result()
    labels = np.bincount(np.asarray(nibabel.load(path).dataobj).ravel(), minlength=3)
    return report["measurements"]["liver_ml"] == case.liver_ml and labels.tolist() == case.labels


def note_place(visit: Visit, rank: int | None) -> None:
    """Notes a place in the queue, the first being 1, where it is new."""
    if rank is not None and visit.places[-1:] != [rank + 1]:
        visit.places.append(rank + 1)


def browse(url: str, cases: list[Case], of_leaver: Case) -> list[Visit]:
    """People in browsers of their own: they ask together and wait together; one leaves."""
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        pages = [browser.new_context().new_page() for _ in (*cases, of_leaver)]
        for page in pages:
            page.set_default_timeout(1000 * LONGEST_S)
            page.goto(url)
        for page, case in zip(pages, (*cases, of_leaver), strict=True):
            page.set_input_files("#scan input.files", str(case.path))
        for page in pages:
            expect(page.locator("#scan .ready")).to_be_visible(timeout=1000 * LONGEST_S)
        start = time.monotonic()
        for page in pages:
            page.click("#segment")
        leaver = pages.pop()
        leaver.wait_for_function(HAS_ASKED)
        leaver.context.close()
        visits = [Visit() for _ in pages]
        while not all(visit.done for visit in visits):
            for page, visit, case in zip(pages, visits, cases, strict=True):
                if not visit.done:
                    look_at(page, visit, case, time.monotonic() - start)
            time.sleep(LOOK_S)
        browser.close()
    return visits


def look_at(page: Page, visit: Visit, case: Case, now: float) -> None:
    """Notes what a person's page shows now."""
    place = re.search(r"Place (\d+) of", page.inner_text("#status"))
    note_place(visit, int(place[1]) - 1 if place else None)
    shown = page.locator("#numbers th[scope=row]", has_text=re.compile("^Liver volume$"))
    if page.locator('.lv[data-phase="result"]').count() and shown.count():
        visit.done = now
        text = shown.locator("xpath=..").locator("td").first.inner_text()
        visit.right = abs(float(re.sub("[^0-9.]", "", text)) - case.liver_ml) < 1


@contextmanager
def memory_of(pid: int) -> Iterator[list[float]]:
    """Collects the megabytes that a process and its children hold."""
    samples: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(LOOK_S):
            samples.append(sum(map(resident_mb, [pid, *children(pid)])))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def resident_mb(pid: int) -> float:
    """Memory that a process holds; 0 for one that is gone."""
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main()

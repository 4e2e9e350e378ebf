"""A class comes at once: `python -m tests.benchmarks.load` prints what the page does with it.

The page runs as on a Space, `python app.py` in a process of its own. Every visitor brings a scan of
his own; most are programs, some are people in browsers, and one of these closes his tab while he
waits. Every answer is compared with what the package says about that scan. With `--hostile 5`, five
strangers at another address do meanwhile all that `tests.helpers.strangers` can think of.
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
from tests.helpers.processes import descendants, resident_mb, shared_mb
from tests.helpers.strangers import NO_ANSWER, Strangers

LONGEST_S = 3600
FREED_AFTER_S = 60  # the grace of 45 s for a connection that comes back, and the sweep
RESULTS = ("report.json", "segmentation.")  # of programs: served for an hour
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
        opened: when a person saw his scan, since he chose it.
        begun, done: when his turn came, and when he had the result.
        places: in the queue, as he was shown them.
        right: whether the result was that of his scan.
        wrong: what came instead.
    """

    opened: float = 0.0
    begun: float = 0.0
    done: float = 0.0
    places: list[int] = field(default_factory=list)
    right: bool = False
    wrong: str = ""


@dataclass
class Load:
    """What a run found; `str` is the table.

    Attributes:
        programs, browsers: who stayed to the end.
        hostile: how many strangers there were besides.
        answers: how many of their requests were answered with each status.
        seconds: from the first question to the last answer.
        rest_mb, peak_mb, left_mb: memory of the page's own process before, at most, and a minute
            after all had left.
        readers_mb: of all processes that read uploads, at most.
        open_studies, files: what was there a minute after all had left: folders of visitors; and
            files in them, uploads, and what was being read. Not what is kept on purpose: results of
            programs, and uploads that a program may still ask for.
    """

    shape: tuple[int, int, int]
    programs: list[Visit]
    browsers: list[Visit]
    hostile: int
    answers: dict[int, int]
    seconds: float
    rest_mb: float
    peak_mb: float
    left_mb: float
    readers_mb: float
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
    def begun(self) -> list[float]:
        """When the turns of the programs came."""
        return [visit.begun for visit in self.programs]

    @property
    def refused(self) -> int:
        """How many requests of strangers were refused."""
        return sum(count for status, count in self.answers.items() if 400 <= status < 500)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What was found, in words."""
        done = [visit.done for visit in self.visits]
        shown = sum(bool(visit.places) for visit in self.visits)
        opened = max((visit.opened for visit in self.browsers), default=0.0)
        most = max((place for visit in self.visits for place in visit.places), default=0)
        z, y, x = self.shape
        found = {
            "visitors at once": f"{len(self.programs)} programs, {len(self.browsers)} browsers, "
            "1 who leaves",
            "scan of each": f"{x}×{y}×{z}",
            "right results": f"{sum(visit.right for visit in self.visits)} of {len(self.visits)}",
            "shown their place": f"{shown}, up to {most}",
            "places only went down": "yes" if self.in_order else "no",
            "scan shown to a person after, at most": f"{opened:.0f} s",
            "cases a minute": f"{60 * len(self.visits) / self.seconds:.1f}",
            "waiting, median": f"{statistics.median(self.begun):.0f} s",
            "waiting, p95": f"{np.percentile(self.begun, 95):.0f} s",
            "result after, median": f"{statistics.median(done):.0f} s",
            "result after, p95": f"{np.percentile(done, 95):.0f} s",
            "the page's memory at rest": f"{self.rest_mb:.0f} MB",
            "the page's memory at most": f"{self.peak_mb:.0f} MB",
            "the page's memory a minute later": f"{self.left_mb:.0f} MB",
            "the readers' memory at most": f"{self.readers_mb:.0f} MB",
            "left a minute later": f"{self.open_studies} scans, {self.files} files",
        }
        if self.hostile:
            found["strangers"] = f"{self.hostile}, {sum(self.answers.values())} requests"
            found["answered to them"] = ", ".join(
                f"{'nothing' if status == NO_ANSWER else status}: {count}"
                for status, count in self.answers.items()
            )
        return list(found.items())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", type=int, default=26)
    parser.add_argument("--browsers", type=int, default=4)
    parser.add_argument("--hostile", type=int, default=0, help="strangers who attack meanwhile")
    parser.add_argument("--slices", type=int, default=40)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--out", type=Path, help="a JSON file for `publish`")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shape = (arguments.slices, arguments.side, arguments.side)
        visitors = arguments.programs, arguments.browsers
        load = run(Path(folder), *visitors, shape, hostile=arguments.hostile)
    keep(arguments.out, "Visitors at once", ("load", "found"), load.rows)


def run(
    folder: Path, programs: int, browsers: int, shape: tuple[int, int, int], hostile: int = 0
) -> Load:
    """Lets them come, and looks after everyone.

    Args:
        folder: an empty one.
        programs, browsers: how many; one more browser comes and leaves again.
        shape: (z, y, x) of the scans.
        hostile: strangers who attack as long as one of the others waits.
    """
    engine = load_engine()
    abdomen, _ = make_phantom(3, shape=shape)
    numbers = range(programs + browsers + 1)
    cases = [written_case(folder / "cases", abdomen, k, engine) for k in numbers]
    (folder / "page").mkdir()
    with served_apart(folder / "page") as served, memory_of(served.process.pid) as memory:
        wait_until(lambda: memory.own, 30)
        rest_mb = memory.own[-1]
        clients = [Client(served.url, verbose=False, httpx_kwargs=PATIENT) for _ in range(programs)]
        with Strangers(served, hostile) as strangers:
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
        left = what_is_left(served.scratch, kept=set(strangers.handles))
        return Load(
            shape,
            visits,
            people,
            hostile,
            strangers.answers,
            seconds,
            rest_mb,
            max(memory.own),
            memory.own[-1],
            max(memory.readers),
            *left,
        )


def what_is_left(scratch: Path, kept: set[str]) -> tuple[int, int]:
    """Folders of visitors and files that are still there when they should be gone.

    Args:
        scratch: the page's temporary folder.
        kept: names of uploads that may wait for longer.
    """

    def look() -> tuple[int, int]:
        of_visitors = [
            folder
            for folder in scratch.glob("liverseg-*/served/*")
            if not any(path.name.startswith(RESULTS) for path in folder.glob("*"))
        ]
        waiting = [*scratch.glob("liverseg-*/arrived"), *scratch.glob("liverseg-*/reading")]
        files = (path for folder in (*of_visitors, *waiting) for path in files_below(folder))
        return len(of_visitors), sum(path.name not in kept for path in files)

    end = time.monotonic() + FREED_AFTER_S
    while any(look()) and time.monotonic() < end:
        time.sleep(LOOK_S)
    return look()


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
    open_jobs, seen = set(range(len(jobs))), [0] * len(jobs)
    while open_jobs and time.monotonic() - start < LONGEST_S:
        for k in sorted(open_jobs):
            now, visit = time.monotonic() - start, visits[k]
            for report, _ in jobs[k].outputs()[seen[k] :]:
                seen[k] += 1
                note_place(visit, (report or {}).get("place"))
                if "stage" in (report or {}) and not visit.begun:
                    visit.begun = now
            if jobs[k].done():
                visit.begun, visit.done = visit.begun or now, now
                note_result(visit, jobs[k], cases[k])
                open_jobs.remove(k)
        time.sleep(LOOK_S)


def note_result(visit: Visit, job, case: Case) -> None:
    """Notes whether a program got what the package finds in its scan."""
    if error := job.exception():
        visit.wrong = repr(error)
        return
    report, path = job.result()
    labels = np.bincount(np.asarray(nibabel.load(path).dataobj).ravel(), minlength=3).tolist()
    liver_ml = report["measurements"]["liver_ml"]
    visit.right = liver_ml == case.liver_ml and labels == case.labels
    visit.wrong = "" if visit.right else f"{liver_ml} mL, {labels} for {case}"


def note_place(visit: Visit, place: int | None) -> None:
    """Notes a place in the queue, the first being 1, where it is new."""
    if place is not None and visit.places[-1:] != [place]:
        visit.places.append(place)


def browse(url: str, cases: list[Case], of_leaver: Case) -> list[Visit]:
    """People in browsers of their own: they ask together and wait together; one leaves."""
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        pages = [browser.new_context().new_page() for _ in (*cases, of_leaver)]
        for page in pages:
            page.set_default_timeout(1000 * LONGEST_S)
            page.goto(url)
        visits, start = [Visit() for _ in pages], time.monotonic()
        for page, case in zip(pages, (*cases, of_leaver), strict=True):
            page.set_input_files("#scan input.files", str(case.path))
        for page, visit in zip(pages, visits, strict=True):
            expect(page.locator("#scan .ready")).to_be_visible(timeout=1000 * LONGEST_S)
            visit.opened = time.monotonic() - start
        start = time.monotonic()
        for page in pages:
            page.click("#segment")
        leaver, _ = pages.pop(), visits.pop()
        leaver.wait_for_function(HAS_ASKED)
        leaver.context.close()
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
    note_place(visit, int(place[1]) if place else None)
    shown = page.locator("#numbers th[scope=row]", has_text=re.compile("^Liver volume$"))
    if page.locator('.lv[data-phase="result"]').count() and shown.count():
        visit.done = now
        text = shown.locator("xpath=..").locator("td").first.inner_text()
        visit.right = abs(float(re.sub("[^0-9.]", "", text)) - case.liver_ml) < 1
        visit.wrong = "" if visit.right else f"{text} for {case}"


@dataclass
class Memory:
    """Samples of megabytes that processes hold.

    Attributes:
        own: of the page's own process.
        readers: of those that it has started, and of theirs; what they share is counted once.
    """

    own: list[float] = field(default_factory=list)
    readers: list[float] = field(default_factory=list)


@contextmanager
def memory_of(pid: int) -> Iterator[Memory]:
    """Collects what a process and those that it starts hold."""
    memory, stop = Memory(), threading.Event()

    def sample() -> None:
        while not stop.wait(LOOK_S):
            memory.readers.append(sum(shared_mb(one) for one in descendants(pid)))
            memory.own.append(resident_mb(pid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield memory
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()

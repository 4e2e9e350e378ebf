"""A whole cohort from its files to the report; what is finished already stays as it is."""

import json
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..network.engine import thread_count
from ..network.weights import load_config
from ..sentences import say
from .engines import failed, run_here, run_on_dask
from .gather import gathered, write_tables
from .keys import Keyed, keyed_studies
from .process import COMMAND
from .report import REPORT, write_report
from .store import is_done, remove_begun, write_failed
from .studies import find_studies
from .study import EngineName, Job

ALL_DONE, SOME_FAILED = 0, 3
DESCRIPTION = "dataset_description.json"


@dataclass(frozen=True)
class Options:
    """How a cohort is run.

    Attributes:
        prediction: folder of masks that are looked at instead of the networks'.
        engine: as for `load_engine`.
        workers: studies at once on this machine.
        threads: of each study; None for the cores by the workers, and for 1 on a scheduler.
        scheduler: address of a Dask scheduler that runs them instead.
        time_limit_s, memory_mb: of one study.
        html: whether each study gets a report of its own.
        show_paths: whether the report and the table say where each scan is.
        command: of the processes.
    """

    prediction: Path | None = None
    engine: EngineName = "auto"
    workers: int = 1
    threads: int | None = None
    scheduler: str | None = None
    time_limit_s: float = 600
    memory_mb: int = 6000
    html: bool = False
    show_paths: bool = False
    command: tuple[str, ...] = COMMAND


def run_cohort(root: Path, out: Path, options: Options) -> int:
    """Runs what is missing of a cohort, and writes the table and the report of all.

    Args:
        root: see `studies.find_studies`.
        out: folder of the results, which exists.
        options: how.

    Returns:
        `ALL_DONE` or `SOME_FAILED`.

    Raises:
        DataError: no studies, or no scheduler.
        WeightsError: networks are needed and there are none.
    """
    studies = find_studies(root.absolute(), options.prediction and options.prediction.absolute())
    needs_networks = any(not one.prediction and not one.problem for one in studies)
    with _progress(say("stage.hashing"), len(studies)) as told:
        found = keyed_studies(
            studies,
            out,
            _segmenter(options.engine) if needs_networks else "",
            options.workers,
            told,
        )
    remove_begun(out)
    jobs = _jobs(found, out, options)
    with _progress(say("stage.studies"), len(jobs)) as told:

        def done(_: str) -> object:
            return told(1)

        if options.scheduler:
            run_on_dask(jobs, options.scheduler, done, options.command)
        else:
            run_here(jobs, options.workers, done, options.command)
    return report_on(found, out, options.show_paths)


def report_on(found: list[Keyed], out: Path, show_paths: bool) -> int:
    """Writes the table and the report of what is on the disk; see `run_cohort`."""
    rows = gathered(out, found, show_paths)
    write_tables(out, rows)
    write_report(out, rows)
    _write_description(out)
    count = len(list(failed(out, (row["key"] for row in rows))))
    summary = say("cohort.summary", done=len(rows) - count, failed=count, report=out / REPORT)
    print(summary, file=sys.stderr)
    return SOME_FAILED if count else ALL_DONE


def _segmenter(engine: EngineName) -> str:
    """What decides the networks' masks, without loading them."""
    weights = load_config()
    return f"{engine}-{weights.identity(tuple(sorted(weights.files)))}"


def _jobs(found: list[Keyed], out: Path, options: Options) -> list[Job]:
    """One for each key that is not done."""
    threads = options.threads or (
        1 if options.scheduler else max(1, thread_count() // options.workers)
    )
    jobs = {}
    for one in found:
        if one.key in jobs or is_done(out, one.key, (REPORT,) if options.html else ()):
            continue
        if one.study.problem:
            write_failed(out, one.key, str(one.study.problem), 0)
            continue
        scan, prediction, truth = (
            tuple(map(str, part))
            for part in (one.study.scan, one.study.prediction, one.study.truth)
        )
        jobs[one.key] = Job(
            one.key,
            str(out.absolute()),
            scan,
            prediction,
            truth,
            options.engine,
            options.html,
            threads,
            options.time_limit_s,
            options.memory_mb,
        )
    return list(jobs.values())


def _write_description(out: Path) -> None:
    """As BIDS has it for what was made from other data; CT has no data type there."""
    about: dict[str, Any] = {
        "Name": "liverseg",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "liverseg", "Version": __version__}],
    }
    (out / DESCRIPTION).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _progress(stage: str, total: int) -> Any:
    from tqdm import tqdm

    with tqdm(total=total, desc=stage, file=sys.stderr, disable=None) as bar:
        update: Callable[[int], object] = bar.update
        yield update

"""What the page does for its visitors, without a page: read, segment, score, hand out files.

One `Service` for the whole process. What belongs to a visitor is in `visitors`, by their key. The
bounds of work are here too, whatever calls: so many scans are read at once, so many are segmented.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import ChoiceNeeded, NothingOpen, NotSegmented, Replaced, TooLarge, UploadError
from ..reading.choice import OF_TRUTH, Answers, Choice, Given, Question, as_texts, offered
from ..reading.limits import LIMITS
from ..reading.workers import Readers
from ..scores.findings import Findings, find
from ..sentences import say
from ..volume import Segmentation, Volume
from .downloads import write_file
from .jobs import Jobs, Lane, Turn, is_wanted
from .manners import Manners
from .memory import return_freed_memory
from .result_cache import ResultCache, content_key
from .synthetic_case import SyntheticCase
from .uploads import Uploads
from .visitors import OpenedStudy, SegmentedStudy, Study, Visitors, new_folder, new_key

if TYPE_CHECKING:
    from ..network.cascade import Step
    from ..network.engine import Engine


class Received(Protocol):
    """Uploaded files that can be moved to where they are read."""

    def move_to(self, folder: Path) -> None:
        """Moves the files into an empty folder."""


class Service:
    """The work behind the page.

    Args:
        folder, served, arrived: private folders: for the visitors' files until they are read, for
            what the page serves, and for uploads until they are asked for.
        engine: of the networks; `load_engine()` at first use by default.
    """

    def __init__(self, folder: Path, served: Path, arrived: Path, engine: "Engine | None" = None):
        self.readers = Readers()
        self.visitors, self.served, self._folder = Visitors(served), served, folder
        self.uploads, self.jobs, self.results = Uploads(arrived), Jobs(), ResultCache()
        self.manners = Manners()
        lanes: list[Lane] = []
        lanes += [Lane(at_once, self.manners.are_bad, lanes) for at_once in (2, 2, 1, 2)]
        self.decoding, self.making, self.segmenting, self.measuring = lanes
        self._engine = engine

    @property
    def engine(self) -> "Engine":
        """The networks, loaded when first needed; WeightsError where there are none."""
        if self._engine is None:
            from ..network.engine import load_engine

            self._engine = load_engine()
        return self._engine

    @property
    def thresholds(self) -> tuple[float, float]:
        """The probabilities from which a voxel is liver, and tumor."""
        return self.engine.recipe.liver_threshold, self.engine.recipe.tumor_threshold

    def start(self) -> None:
        """Makes ready what the first visitor would wait for.

        Raises:
            WeightsError: where the networks cannot be loaded later on.
        """
        from ..network.engine import check_weights

        if self._engine is None:
            check_weights()
        self.readers.start()

    def close(self) -> None:
        """Ends the processes that read uploads."""
        self.readers.close()

    def opened_study(self, visitor: str) -> OpenedStudy:
        """The visitor's study at the beginning of an event that needs a scan."""
        study = self.visitors.of(visitor)
        if not isinstance(study, OpenedStudy):
            raise NothingOpen(say("study.nothing_open"))
        return study

    def segmented_study(self, visitor: str) -> SegmentedStudy:
        """The visitor's study at the beginning of an event that needs a result."""
        study = self.opened_study(visitor)
        if not isinstance(study, SegmentedStudy):
            raise NotSegmented(say("study.not_segmented"))
        return study

    def show(self, visitor: str, volume: Volume, shown: dict) -> None:
        """Keeps what the viewer shows of a scan, if that is still the visitor's."""
        self.visitors.update(visitor, lambda now: replace(now, shown=shown), volume)

    def open_scan(self, visitor: str, received: Received, answers: Given = ()) -> OpenedStudy:
        """Reads an upload as the visitor's scan; the files are deleted.

        A ground truth that came before it still waits, for `open_waiting_truth`. Where masks lie
        beside the scan, the files wait for `answer` too.

        Args:
            visitor: whose.
            received: the files.
            answers: to what is asked about them.

        Raises:
            ChoiceNeeded: the files wait for `answer`.
            UploadError: the study stays as it was.
        """
        return self._read_scan(visitor, self._received(received), as_texts(answers))

    def answer(self, visitor: str, text: str) -> OpenedStudy:
        """Goes on with the upload about which something was asked.

        Args:
            visitor: whose.
            text: one of the choice's answers.

        Raises:
            NothingOpen: nothing waits for an answer.
            ChoiceNeeded: there is one more thing to choose.
            UploadError: as for what is read then.
        """
        study = self.visitors.of(visitor)
        asked = study.asked if study else None
        if study is None or asked is None or text not in asked.answers:
            raise NothingOpen(say("study.not_asked"))
        if asked.question == Question.SCAN:
            assert study.waiting is not None
            return self._read_scan(visitor, study.waiting, (*study.answers, text))
        assert isinstance(study, OpenedStudy)
        if asked.question == Question.TRUTH:
            return self._use_offered(visitor, study, text == asked.answers[0])
        assert study.waiting_truth is not None
        return self._read_truth(visitor, study, study.waiting_truth, (*study.truth_answers, text))

    def open_synthetic(self, visitor: str, case: SyntheticCase) -> OpenedStudy:
        """Makes a synthetic case, with its ground truth, the visitor's scan."""
        with self.called(self.making, visitor):
            made = case.make()
        return self._opened(visitor, *made, case)

    def open_truth(self, visitor: str, received: Received, answers: Given = ()) -> Study:
        """Reads an upload as ground truth for the visitor's scan; the files are deleted.

        Where there is no scan yet the files wait for it and for `open_waiting_truth`. All but the
        returned Study is as for `open_scan`.
        """
        answers = as_texts(answers)
        files = self._received(received)
        study = self.visitors.of(visitor)
        if not isinstance(study, OpenedStudy):
            _remove(study.waiting_truth if study else None)
            try:
                self._begun(visitor)
                return self.visitors.update(
                    visitor, lambda now: replace(now, waiting_truth=files, truth_answers=answers)
                )
            except UploadError:
                _remove(files)
                raise
        _remove(study.waiting_truth)
        return self._read_truth(visitor, study, files, answers)

    def open_waiting_truth(self, visitor: str) -> Study:
        """Reads the ground truth that came before its scan, if one did; UploadError as for any."""
        study = self.opened_study(visitor)
        if study.waiting_truth is None:
            return study
        return self._read_truth(visitor, study, study.waiting_truth, study.truth_answers)

    def segment(self, visitor: str, pause_s: float) -> Iterator["Step"]:
        """Runs the networks on the visitor's scan; yields their Steps, the last with the result.

        Closing the iterator stops the work and leaves the study as it was.

        Args:
            visitor: whose.
            pause_s: Steps that follow faster than this are joined.

        Raises:
            NothingOpen: before the first Step.
            Replaced: between two Steps.
        """
        volume = self.opened_study(visitor).volume
        for step in joined(self.steps(volume), pause_s):
            study = self.visitors.of(visitor)
            if study is None or study.scan is not volume:
                raise Replaced(say("study.replaced"))
            if step.result is not None:
                self._keep_prediction(visitor, volume, step.result)
            yield step

    def steps(self, volume: Volume) -> Iterator["Step"]:
        """The Steps of `segment_steps`; just the last one for voxels that were seen before."""
        from ..network.cascade import Step, segment_steps

        key = content_key(volume, self.engine.identity)
        known = self.results.get(key)
        if known is not None:
            yield Step(say("stage.done"), 1, 1, result=known)
            return
        for step in segment_steps(volume, self.engine):
            if step.result is not None:
                self.results.put(key, step.result)
            yield step

    def score(self, visitor: str) -> SegmentedStudy:
        """Measures the visitor's result and, with ground truth, compares it."""
        from ..network.known_patients import known_patients

        study = self.segmented_study(visitor)
        about = study.volume, study.prediction, self.engine.identity, study.truth
        with self.called(self.measuring, visitor):
            findings = find(*about, surfaces=False, known=known_patients())
        return self._found(visitor, study, findings)

    def score_surfaces(self, visitor: str) -> SegmentedStudy:
        """Adds the surface distances, which take longest, to the scores."""
        study = self.segmented_study(visitor)
        if study.findings is None or study.findings.scores is None:
            return study
        with self.called(self.measuring, visitor):
            findings = study.findings.with_surfaces()
        return self._found(visitor, study, findings)

    def take_away(self, visitor: str, kind: str, folder: Path | None = None) -> Path:
        """Writes the visitor's result as a file of a `downloads.KINDS`.

        Args:
            visitor: whose.
            kind: of file.
            folder: where to; the visitor's own by default.
        """
        study = self.segmented_study(visitor)
        if study.findings is None:
            raise NotSegmented(say("study.not_segmented"))
        with self.called(self.measuring, visitor):
            return write_file(kind, study.findings, folder or study.served)

    def turn(self, lane: Lane, visitor: str) -> AbstractContextManager[Turn]:
        """The visitor's place in the line of a lane."""
        return lane.turn(self.visitors.address(visitor))

    @contextmanager
    def called(self, lane: Lane, visitor: str) -> Iterator[None]:
        """Waits for the visitor's turn at a lane."""
        with self.turn(lane, visitor) as turn:
            turn.wait()
            yield

    def new_served_folder(self) -> Path:
        """A folder that is served and outlives the visitor, for the results of the endpoint."""
        return new_folder(self.served)

    @contextmanager
    def visit(self, address: str = "") -> Iterator[str]:
        """A visitor for one call of a program; what was theirs is freed at the end."""
        visitor = new_key()
        try:
            with self.visitors.event(visitor, address, is_program=True):
                yield visitor
        finally:
            self.jobs.stop(visitor)
            self.visitors.close(visitor)

    def sweep(self) -> None:
        """Ends the work of those who have left, and frees what was theirs."""
        self.visitors.sweep(self.jobs.stop)
        self.jobs.sweep()
        self.manners.sweep()
        self.uploads.sweep(self.visitors.is_here)
        return_freed_memory()

    def _received(self, received: Received) -> Path:
        """Uploaded files in a folder of their own; TooLarge where they are too many."""
        files = new_folder(self._folder)
        received.move_to(files)
        sizes = [path.stat().st_size for path in files.rglob("*") if path.is_file()]
        if len(sizes) > LIMITS.files or sum(sizes) > LIMITS.upload_bytes:
            _remove(files)
            raise TooLarge(say("upload.too_large", limits=LIMITS.sentence))
        return files

    def _keep_prediction(self, visitor: str, volume: Volume, prediction: Segmentation) -> None:
        self.visitors.update(visitor, lambda now: now.segmented(prediction), volume)

    def _found(self, visitor: str, study: SegmentedStudy, findings: Findings) -> SegmentedStudy:
        """Keeps what was found in a study, if its scan is still the visitor's."""
        return self.visitors.update(
            visitor, lambda now: replace(now, findings=findings), study.volume
        )

    def _read_scan(self, visitor: str, files: Path, answers: tuple[str, ...]) -> OpenedStudy:
        waits = False
        try:
            with self.called(self.decoding, visitor):
                volume = self.readers.read_scan(sorted(files.iterdir()), answers, wanted=is_wanted)
            study = self._opened(visitor, volume, but=files)
            choice = offered(volume)
            if choice and study.waiting_truth is None:
                self._let_wait(visitor, choice, waiting=files, answers=answers)
                waits = True
        except ChoiceNeeded as needed:
            self._forget_waiting(visitor, except_for=files)
            self._begun(visitor)
            self._let_wait(visitor, needed.choice, waiting=files, answers=answers)
            waits = True
            raise
        finally:
            if not waits:
                _remove(files)
        said = choice and Answers(answers).given(choice.question)
        if choice is None or said is None or not waits:
            return study
        return self.answer(visitor, choice.answers[Answers(answers).to(choice)])

    def _use_offered(self, visitor: str, study: OpenedStudy, is_wanted: bool) -> OpenedStudy:
        """Reads the files of the scan as its ground truth too, or lets them go."""
        files, answers = study.waiting, study.answers
        assert files is not None
        if is_wanted:
            _remove(study.waiting_truth)
        else:
            _remove(files)
        study = self.visitors.update(visitor, lambda now: replace(now, waiting=None, asked=None))
        return self._read_truth(visitor, study, files, answers) if is_wanted else study

    def _let_wait(self, visitor: str, choice: Choice, **kept: object) -> None:
        """Keeps an upload until its choice is made."""
        self.visitors.update(visitor, lambda now: replace(now, asked=choice, **kept))

    def _read_truth(
        self, visitor: str, study: OpenedStudy, files: Path, answers: tuple[str, ...]
    ) -> OpenedStudy:
        def wanted() -> bool:
            now = self.visitors.of(visitor)
            return is_wanted() and now is not None and now.scan is study.volume

        waits = False
        try:
            with self.called(self.decoding, visitor):
                paths = sorted(files.iterdir())
                truth = self.readers.read_truth(paths, study.volume, answers, wanted=wanted)
        except ChoiceNeeded as needed:
            kept = {"waiting_truth": files, "truth_answers": answers}
            self._let_wait(visitor, needed.choice, **kept)
            waits = True
            raise
        finally:
            if not waits:
                _remove(files)
                self.visitors.update(visitor, _without_waiting_truth)
        return self.visitors.update(visitor, lambda now: now.with_truth(truth), study.volume)

    def _opened(
        self,
        visitor: str,
        volume: Volume,
        truth: Segmentation | None = None,
        case: SyntheticCase | None = None,
        but: Path | None = None,
    ) -> OpenedStudy:
        """Makes a scan the visitor's; all files that wait are forgotten `but` these."""
        before = self._begun(visitor)
        self.jobs.stop(visitor, "segmenting")
        self._forget_waiting(visitor, except_for=but)
        if isinstance(before, OpenedStudy):  # what waits was asked about the scan before
            _remove(before.waiting_truth)
        served = before.served
        files = list(served.iterdir())
        study = self.visitors.update(visitor, lambda now: now.opened(volume, truth, case))
        for path in files:
            path.unlink(missing_ok=True)
        return study

    def _begun(self, visitor: str) -> Study:
        """The visitor's study; Replaced where they stopped the work, or left, in the meantime."""
        if not is_wanted():
            raise Replaced(say("study.replaced"))
        return self.visitors.begun(visitor)

    def _forget_waiting(self, visitor: str, except_for: Path | None = None) -> None:
        study = self.visitors.of(visitor)
        if study and study.waiting != except_for:
            _remove(study.waiting)


def _without_waiting_truth(study: Study) -> Study:
    is_asked = study.asked is not None and study.asked.question in OF_TRUTH
    asked = None if is_asked else study.asked
    return replace(study, waiting_truth=None, truth_answers=(), asked=asked)


def _remove(folder: Path | None) -> None:
    """Removes a folder, if there is one."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def joined(steps: Iterator["Step"], pause_s: float) -> Iterator["Step"]:
    """Joins the Steps that follow each other faster than `pause_s` seconds."""
    waiting: list[Step] = []
    last = time.monotonic()
    for step in steps:
        waiting.append(step)
        if step.result is not None or time.monotonic() - last >= pause_s:
            labelled = [
                (one.z, one.labels) for one in waiting if one.labels is not None and len(one.z)
            ]
            if labelled and step.result is None:
                z = tuple(k for some, _ in labelled for k in some)
                step = replace(step, z=z, labels=np.concatenate([labels for _, labels in labelled]))
            yield step
            waiting, last = [], time.monotonic()

"""What the page does for its visitors, without a page: read, segment, score, hand out files.

One `Service` for the whole process. What belongs to a visitor is in `visitors`, by their key. The
bounds of work are here too, whatever calls: so many scans are read at once, so many are segmented.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from ..errors import ChoiceNeeded, NothingOpen, NotSegmented, Replaced, TooLarge, UploadError
from ..reading.choice import Answers, Choice, Given, Question, as_texts, offered
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
from .visitors import (
    Basis,
    OpenedStudy,
    SegmentedStudy,
    Study,
    Visitors,
    new_folder,
    new_key,
    remove_folders,
)

if TYPE_CHECKING:
    from ..network.cascade import Step
    from ..network.engine import Engine

S = TypeVar("S", bound=Study)


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

    def show(self, visitor: str, volume: Volume, shown: dict) -> OpenedStudy:
        """Keeps what the viewer shows of a scan, if that is still the visitor's."""
        study = self.opened_study(visitor)
        if study.volume is not volume:
            raise Replaced(say("study.replaced"))
        return self.visitors.update(
            visitor, lambda now: replace(now, shown=shown), Basis(study, "scan")
        )

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

        The files of a scan wait until one is open, so that another can be chosen where this one
        fails.

        Args:
            visitor: whose.
            text: one of the choice's answers.

        Raises:
            NothingOpen: nothing waits for an answer.
            ChoiceNeeded: there is one more thing to choose.
            UploadError: as for what is read then.
        """
        study = self.visitors.of(visitor)
        choice = study.choice if study else None
        if study is None or choice is None or text not in choice.answers:
            raise NothingOpen(say("study.not_asked"))
        if choice.question == Question.SCAN:
            assert study.waiting is not None
            return self._read_scan(visitor, study.waiting, (*study.answers, text))
        if choice.question == Question.TRUTH:
            return self._use_offered(visitor, study, text == choice.answers[0])
        files, answers = study.waiting_truth, (*study.truth_answers, text)
        assert files is not None
        study = self.visitors.update(visitor, _with_truth_asked, Basis(study, "choice"))
        return self._read_truth(visitor, study, files, answers)

    def open_synthetic(self, visitor: str, case: SyntheticCase) -> OpenedStudy:
        """Makes a synthetic case, with its ground truth, the visitor's scan."""
        with self.asked(visitor, "asked_scan") as request:
            with self.called(self.making, visitor, request):
                made = case.make()
            return self._opened(visitor, request, *made, case)

    def open_truth(self, visitor: str, received: Received, answers: Given = ()) -> Study:
        """Reads an upload as ground truth for the visitor's scan; the files are deleted.

        Where there is no scan yet, or another one is on its way, the files wait for it and for
        `open_waiting_truth`. All but the returned Study is as for `open_scan`.
        """
        answers = as_texts(answers)
        files = self._received(received)

        def change(now: Study) -> Study:
            if not _is_coming(now):
                return _with_truth_asked(now)
            now = replace(now.without_waiting_truth(), asked_truth=None)
            return replace(now, waiting_truth=files, truth_answers=answers)

        try:
            before = self.visitors.begun(visitor).waiting_truth
            study = self.visitors.update(visitor, change)
        except UploadError:
            remove_folders(files)
            raise
        remove_folders(before)
        return study if study.waiting_truth else self._read_truth(visitor, study, files, answers)

    def open_waiting_truth(self, visitor: str) -> Study:
        """Reads the ground truth that came before its scan, if one did; UploadError as for any."""
        before = None

        def take(now: Study) -> Study:
            nonlocal before
            if now.waiting_truth is None or _is_coming(now) or now.chooses_truth:
                return now
            before = now
            return _with_truth_asked(now)

        study = self.visitors.update(visitor, take)
        if before is None:
            return study
        assert before.waiting_truth is not None
        return self._read_truth(visitor, study, before.waiting_truth, before.truth_answers)

    def clear_scan(self, visitor: str) -> Study:
        """Takes away the visitor's scan with all that belongs to it, and ends the work on it."""
        study = self.visitors.clear(visitor)
        self.jobs.stop(visitor)
        return study

    def clear_truth(self, visitor: str) -> Study:
        """Takes away the ground truth, also one that is being read or waits for its scan."""
        waiting = self.visitors.begun(visitor).waiting_truth

        def change(now: Study) -> Study:
            now = replace(now.without_waiting_truth(), asked_truth=None)
            return now.with_truth(None) if isinstance(now, OpenedStudy) else now

        study = self.visitors.update(visitor, change)
        remove_folders(waiting)
        return study

    def ask_run(self, visitor: str, study: OpenedStudy | None = None) -> Basis:
        """Notes that a scan is to be segmented, which may have to wait.

        Args:
            visitor: whose.
            study: with the scan; the one that is open by default.

        Raises:
            NothingOpen: there is no scan.
            Replaced: another one is open.
        """
        study = study or self.opened_study(visitor)
        mark = object()
        study = self.visitors.update(
            visitor, lambda now: replace(now, asked_run=mark), Basis(study, "scan")
        )
        return Basis(study, "scan", "asked_run")

    def segment(
        self, visitor: str, pause_s: float, request: Basis | None = None
    ) -> Iterator["Step"]:
        """Runs the networks on the visitor's scan; yields their Steps, the last with the result.

        Closing the iterator stops the work and leaves the study as it was.

        Args:
            visitor: whose.
            pause_s: Steps that follow faster than this are joined.
            request: from `ask_run`; made here by default.

        Raises:
            NothingOpen: before the first Step.
            Replaced: between two Steps.
        """
        request = request or self.ask_run(visitor)
        with self.about(visitor, request):
            volume = self.opened_study(visitor).volume
            for step in joined(self.steps(volume), pause_s):
                self._require(visitor, request)
                if step.result is not None:
                    self._keep_prediction(visitor, request, step.result)
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

    def count_false(self, visitor: str, counts_false: bool) -> OpenedStudy:
        """Says what a truth without tumors means, see `find`; `score` follows."""
        study = self.opened_study(visitor)
        return self.visitors.update(
            visitor, lambda now: replace(now, counts_false=counts_false), Basis(study, "truth")
        )

    def score(self, visitor: str) -> SegmentedStudy:
        """Measures the visitor's result and, with ground truth, compares it."""
        from ..network.known_patients import known_patients

        study = self.segmented_study(visitor)
        about = study.volume, study.prediction, self.engine.identity, study.truth
        with self.called(self.measuring, visitor, basis_of_result(study)):
            known, counts_false = known_patients(), study.counts_false
            findings = find(*about, surfaces=False, counts_false=counts_false, known=known)
        number = study.case.number if study.case else None
        return self._found(visitor, study, replace(findings, synthetic=number))

    def score_surfaces(self, visitor: str) -> SegmentedStudy:
        """Adds the surface distances, which take longest, to the scores."""
        study = self.segmented_study(visitor)
        if study.findings is None or study.findings.scores is None:
            return study
        with self.called(self.measuring, visitor, basis_of_result(study)):
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
        with self.called(self.measuring, visitor, basis_of_result(study)):
            return write_file(kind, study.findings, folder or study.served)

    def turn(self, lane: Lane, visitor: str) -> AbstractContextManager[Turn]:
        """The visitor's place in the line of a lane."""
        return lane.turn(self.visitors.address(visitor))

    @contextmanager
    def called(self, lane: Lane, visitor: str, basis: Basis) -> Iterator[None]:
        """Waits for the visitor's turn at a lane; see `about`."""
        with self.about(visitor, basis), self.turn(lane, visitor) as turn:
            turn.wait()
            self._require(visitor, basis)
            yield

    @contextmanager
    def about(self, visitor: str, basis: Basis) -> Iterator[None]:
        """Whatever goes wrong once the basis of a step is gone is of no interest: Replaced."""
        try:
            yield
        except Exception:
            self._require(visitor, basis)
            raise

    @contextmanager
    def asked(self, visitor: str, kind: str) -> Iterator[Basis]:
        """While a request of the visitor's is worked on; see `Visitors.ask` and `about`."""
        request = self.visitors.ask(visitor, kind)
        try:
            with self.about(visitor, request):
                yield request
        finally:
            self.visitors.withdraw(visitor, kind, request)

    def _require(self, visitor: str, basis: Basis) -> None:
        if not basis.holds(self.visitors.of(visitor)):
            raise Replaced(say("study.replaced")) from None

    def new_served_folder(self) -> Path:
        """A folder that is served: of a scan, or of a program's results, which outlive its call."""
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
            remove_folders(files)
            raise TooLarge(say("upload.too_large", limits=LIMITS.sentence))
        return files

    def _keep_prediction(self, visitor: str, request: Basis, prediction: Segmentation) -> None:
        def change(now: OpenedStudy) -> SegmentedStudy:
            self.jobs.keep(visitor)
            return replace(now.segmented(prediction), asked_run=None)

        self.visitors.update(visitor, change, request)

    def _found(self, visitor: str, study: SegmentedStudy, findings: Findings) -> SegmentedStudy:
        """Keeps what was found in a study, if its masks are still the visitor's."""
        return self.visitors.update(
            visitor, lambda now: replace(now, findings=findings), basis_of_result(study)
        )

    def _read_scan(self, visitor: str, files: Path, answers: tuple[str, ...]) -> OpenedStudy:
        def wanted() -> bool:
            return is_wanted() and request.holds(self.visitors.of(visitor))

        try:
            with self.asked(visitor, "asked_scan") as request:
                try:
                    with self.called(self.decoding, visitor, request):
                        paths = sorted(files.iterdir())
                        volume = self.readers.read_scan(paths, answers, wanted=wanted)
                except ChoiceNeeded as needed:
                    self._forget_waiting(visitor, except_for=files)
                    waiting = {"waiting": files, "answers": answers}
                    self._let_wait(visitor, request, needed.choice, **waiting)
                    raise
                study = self._opened(visitor, request, volume, but=files)
            choice = offered(volume)
            if choice and study.waiting_truth is None:
                opened = Basis(study, "scan")
                study = self._let_wait(visitor, opened, choice, waiting=files, answers=answers)
        finally:
            now = self.visitors.of(visitor)
            if now is None or now.waiting != files:
                remove_folders(files)
        said = Answers(answers).given(Question.TRUTH)
        if choice is None or said is None or study.choice is not choice:
            return study
        return self.answer(visitor, choice.answers[Answers(answers).to(choice)])

    def _use_offered(self, visitor: str, study: Study, is_wanted: bool) -> OpenedStudy:
        """Reads the files of the scan as its ground truth too, or lets them go."""
        files, answers, before = study.waiting, study.answers, study.waiting_truth
        assert files is not None

        def change(now: OpenedStudy) -> OpenedStudy:
            now = replace(now, waiting=None, answers=(), choice=None)
            return _with_truth_asked(now) if is_wanted else now

        opened = self.visitors.update(visitor, change, Basis(study, "choice"))
        if not is_wanted:
            remove_folders(files)
            return opened
        remove_folders(before)
        return self._read_truth(visitor, opened, files, answers)

    def _let_wait(self, visitor: str, basis: Basis, choice: Choice, **kept: Any) -> OpenedStudy:
        """Keeps an upload until its choice is made."""
        return self.visitors.update(visitor, lambda now: replace(now, choice=choice, **kept), basis)

    def _read_truth(
        self, visitor: str, study: Study, files: Path, answers: tuple[str, ...]
    ) -> OpenedStudy:
        """Reads a ground truth for which `study` notes the request."""
        request = Basis(study, "scan", "asked_truth")

        def change(now: OpenedStudy) -> OpenedStudy:
            self.jobs.keep(visitor)
            return now.with_truth(truth)

        def wanted() -> bool:
            return is_wanted() and request.holds(self.visitors.of(visitor))

        try:
            assert isinstance(study, OpenedStudy)
            with self.called(self.decoding, visitor, request):
                paths = sorted(files.iterdir())
                truth = self.readers.read_truth(paths, study.volume, answers, wanted=wanted)
            return self.visitors.update(visitor, change, request)
        except ChoiceNeeded as needed:
            waiting = {"waiting_truth": files, "truth_answers": answers}
            self._let_wait(visitor, request, needed.choice, **waiting)
            raise
        finally:
            self.visitors.withdraw(visitor, "asked_truth", request)
            now = self.visitors.of(visitor)
            if now is None or now.waiting_truth != files:
                remove_folders(files)

    def _opened(
        self,
        visitor: str,
        request: Basis,
        volume: Volume,
        truth: Segmentation | None = None,
        case: SyntheticCase | None = None,
        but: Path | None = None,
    ) -> OpenedStudy:
        """Makes what was asked for the visitor's scan, unless they have asked for another.

        All files that waited for an answer are forgotten `but` these.
        """

        def change(now: Study) -> OpenedStudy:
            self.jobs.keep(visitor)
            return now.opened(volume, truth, case, served)

        served = self.new_served_folder()
        try:
            before = self.visitors.begun(visitor)
            study = self.visitors.update(visitor, change, request)
        except UploadError:
            remove_folders(served)
            raise
        self.jobs.stop(visitor, "segmenting")
        for waiting in (before.waiting, before.waiting_truth):
            if waiting not in (but, study.waiting_truth):
                remove_folders(waiting)
        return study

    def _forget_waiting(self, visitor: str, except_for: Path | None = None) -> None:
        study = self.visitors.of(visitor)
        if study and study.waiting != except_for:
            remove_folders(study.waiting)


def basis_of_result(study: Study) -> Basis:
    """What everything depends on that is measured, drawn or written of masks."""
    return Basis(study, "scan", "prediction", "truth", "counts_false")


def _is_coming(study: Study) -> bool:
    """Whether the scan to which a ground truth belongs is not open yet."""
    is_open = isinstance(study, OpenedStudy)
    return not is_open or study.asked_scan is not None or study.chooses_scan


def _with_truth_asked(study: S) -> S:
    """The study with a request for a ground truth in place of the one that waits."""
    return replace(study.without_waiting_truth(), asked_truth=object())


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

"""Everything of one study: read, segment or take masks, compare, write. Safe to repeat."""

import resource
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from ..errors import UploadError
from ..network.cascade import segment
from ..network.engine import load_engine
from ..reading.given import read_prediction
from ..reading.workers import Readers
from ..scores.findings import Findings, find
from ..sentences import say
from ..writing.labels import write_nifti, write_png
from ..writing.report import report
from ..writing.slice_picture import snapshot
from .row import row_of
from .store import DONE, ROW, THUMBNAIL, write, write_failed, write_manifest, writing

EngineName = Literal["auto", "reference", "fast"]

THUMBNAIL_PX, THUMBNAIL_QUALITY = 224, 60


@dataclass(frozen=True)
class Job:
    """A study as it is sent to the process that runs it: plain values only.

    Attributes:
        key: see `keys`.
        out: the cohort's folder.
        scan, prediction, truth: paths; no prediction where the networks make it.
        engine: as for `load_engine`.
        html: whether to write the report of the study too.
        threads: that it may use.
        time_limit_s, memory_mb: after which it is ended.
    """

    key: str
    out: str
    scan: tuple[str, ...]
    prediction: tuple[str, ...] = ()
    truth: tuple[str, ...] = ()
    engine: EngineName = "auto"
    html: bool = False
    threads: int = 1
    time_limit_s: float = 600
    memory_mb: int = 6000

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def run_study(job: Job, readers: Readers) -> None:
    """Writes the results of a study, or the sentence that says why there are none.

    Raises:
        MemoryError: it needs more memory than this process may have.
    """
    began, out = time.monotonic(), Path(job.out)
    try:
        findings = _findings(job, readers)
    except UploadError as error:
        write_failed(out, job.key, str(error), time.monotonic() - began)
        return
    with writing(out, job.key) as folder:
        _write_masks(findings, folder)
        (folder / THUMBNAIL).write_bytes(thumbnail(findings))
        if job.html:
            (folder / "report.html").write_text(report(findings), encoding="utf-8")
        write(folder / ROW, row_of(findings))
        write_manifest(
            folder,
            DONE,
            weights=findings.identity,
            notices=findings.notices,
            files=sorted(path.name for path in folder.iterdir()),
            seconds=round(time.monotonic() - began, 2),
            peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        )


def _findings(job: Job, readers: Readers) -> Findings:
    volume = readers.read_scan(job.scan)
    if job.prediction:
        prediction = read_prediction(readers, job.prediction, volume)
        identity: str = say("label.given")
    else:
        engine = load_engine(job.engine)
        prediction, identity = segment(volume, engine=engine), engine.identity
    truth = readers.read_truth(job.truth, volume) if job.truth else None
    return find(volume, prediction, identity, truth)


def _write_masks(findings: Findings, folder: Path) -> None:
    """The segmentation in the scan's own geometry; of DICOM as a SEG too where that can be."""
    volume, prediction = findings.volume, findings.prediction
    if volume.kind == "picture":
        (folder / "segmentation").mkdir()
        write_png(prediction, folder / "segmentation")
        return
    write_nifti(prediction, volume, folder / "segmentation.nii.gz")
    from ..writing.dicom_seg import reason_against, write_dicom_seg

    if reason_against(prediction, volume) is None:
        with suppress(ImportError):  # highdicom is of an extra
            write_dicom_seg(prediction, volume, folder / "segmentation.dcm", findings.identity)


def thumbnail(findings: Findings) -> bytes:
    """The slices with the largest liver and the largest tumor area side by side, as WebP."""
    volume, prediction = findings.volume, findings.prediction
    areas = [mask.sum(axis=(1, 2)) for mask in (prediction.liver, prediction.tumor)]
    slices = [int(area.argmax()) for area in areas if area.any()] or [volume.shape[0] // 2]
    pictures = []
    for z in slices:
        png = np.frombuffer(snapshot(volume, z, prediction, findings.truth), np.uint8)
        picture = cv2.imdecode(png, cv2.IMREAD_COLOR)
        assert picture is not None  # written a line above
        width = round(picture.shape[1] * THUMBNAIL_PX / picture.shape[0])
        size = (max(1, width), THUMBNAIL_PX)
        pictures.append(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    quality = [cv2.IMWRITE_WEBP_QUALITY, THUMBNAIL_QUALITY]
    _, webp = cv2.imencode(".webp", np.hstack(pictures), quality)
    return webp.tobytes()

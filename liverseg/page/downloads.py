"""What a person can take home: each kind of file with a fixed name, nothing of the upload in it."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from ..scores.findings import Findings
from ..sentences import Sentence
from ..volume import SourceKind
from .visitors import SegmentedStudy, Study


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: of the file.
        title, note: for the page.
        sources: the kinds of scan it can be made from.
    """

    name: str
    title: str
    note: str
    sources: tuple[str, ...] = get_args(SourceKind)


KINDS = {
    "nifti": Kind(
        "segmentation.nii.gz",
        "Segmentation, NIfTI",
        "On the scan's own grid, of a tilted scan straightened: 0 background, 1 liver, 2 tumor.",
        tuple(kind for kind in get_args(SourceKind) if kind != "picture"),
    ),
    "png": Kind(
        "segmentation.zip",
        "Segmentation, PNG",
        "One palette picture for each slice: 0 background, 1 liver, 2 tumor.",
        ("picture",),
    ),
    "seg": Kind(
        "segmentation.dcm",
        "Segmentation, DICOM SEG",
        "To overlay on your scan in a DICOM viewer. Unlike the others, it is not anonymous: to "
        "refer to your scan, it repeats its patient ID and the UIDs of its study, series and "
        "slices.",
        ("dicom",),
    ),
    "csv": Kind("measurements.csv", "Numbers, CSV", "For a spreadsheet: one number per row."),
    "json": Kind("report.json", "Numbers, JSON", "For a program: everything measured."),
    "html": Kind("report.html", "Report, HTML", "One page to read or print, with pictures."),
}


def offered(study: Study) -> list[str]:
    """The kinds that can be made of a study's result; none before there is one."""
    return [key for key, reason in offers(study).items() if reason is None]


def offers(study: Study) -> dict[str, Sentence | None]:
    """The kinds of a study's result, each with the reason why it cannot be made, or None.

    Of kinds that stand for each other, as NIfTI and PNG do, only the fitting one is there.
    """
    if not isinstance(study, SegmentedStudy) or study.findings is None:
        return {}
    from ..writing.dicom_seg import reason_against

    source = study.volume.kind or "nifti"
    kinds = {key for key, kind in KINDS.items() if source in kind.sources} | {"seg"}
    reasons = {"seg": reason_against(study.findings.prediction, study.volume)}
    return {key: reasons.get(key) for key in KINDS if key in kinds}


def write_file(key: str, findings: Findings, folder: Path) -> Path:
    """Writes one kind of file.

    Args:
        key: of `KINDS`.
        findings: what to write.
        folder: where to.

    Raises:
        UploadError: where a DICOM SEG cannot be made from this scan.
    """
    name = KINDS[key].name
    # complete when it gets its name, whoever fetches an earlier one meanwhile
    with TemporaryDirectory(dir=folder) as unfinished:
        path = Path(unfinished, name)
        if key in ("csv", "json", "html"):
            path.write_text(_text(key, findings), encoding="utf-8")
        else:
            _write_labels(key, findings, path)
        return path.replace(folder / name)


def _text(key: str, findings: Findings) -> str:
    from ..writing.report import report
    from ..writing.tables import to_csv, to_json

    return {"csv": to_csv, "json": to_json, "html": report}[key](findings)


def _write_labels(key: str, findings: Findings, path: Path) -> None:
    from ..writing.dicom_seg import write_dicom_seg
    from ..writing.labels import write_nifti, write_png

    if key == "nifti":
        write_nifti(findings.prediction, findings.volume, path)
    elif key == "seg":
        write_dicom_seg(findings.prediction, findings.volume, path, findings.identity)
    else:
        with TemporaryDirectory(dir=path.parent) as folder, zipfile.ZipFile(path, "w") as archive:
            for picture in write_png(findings.prediction, folder):
                archive.write(picture, picture.name)

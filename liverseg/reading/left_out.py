"""What of an upload could not be used: counted by kind, and said to the person.

The kinds are what `filetype` and `dicom.kind` call a file, and what the readers leave out.
"""

from collections import Counter

from ..errors import BrokenFile, NotAScan, UploadError, WrongModality
from .dicom.kind import CONTOURS, NOT_CT_IMAGES

SAVE_AS = "Save the scan as NIfTI (.nii.gz) or DICOM."
ADVICE = {
    "MetaImage file": SAVE_AS,
    "NRRD file": SAVE_AS,
    "archive": "Unpack the archive, or make an ordinary zip of it.",
    "DICOMDIR file": "It only lists the files of a CD; upload the whole folder or CD.",
    CONTOURS: "Upload the CT here; contours become a ground truth once converted to a DICOM SEG.",
    "empty file": "A file without content was cut off on its way; save or send it again.",
    "colour screenshot": "Export the CT slices themselves from the archive.",
    "localizer": "A scout view is no scan; export the axial series.",
    "multi-frame file without positions": "Export the scan as single slices or as NIfTI.",
    "other file": "Upload an abdominal CT as DICOM, NIfTI, PNG or JPG.",
    "perfusion map": "Export the CT slices from which the map was made.",
    "projection of many slices (MIP)": "Export the CT slices that were projected.",
    "picture of another format": "Save the slices as PNG, or better upload the DICOM series.",
    "segmentation": "Upload the CT here and the segmentation into the ground-truth box.",
}


def no_scan(left_out: Counter) -> UploadError:
    """Why nothing in an upload is a scan."""
    if not left_out:
        return NotAScan("The upload holds no files. Upload a CT as DICOM, NIfTI, PNG or JPG.")
    images = {kind: count for kind, count in left_out.items() if kind in NOT_CT_IMAGES}
    if images:
        return WrongModality(
            f"These are no CT images{in_brackets(Counter(images))}. The networks read CT only; "
            "upload an abdominal CT."
        )
    if set(left_out) == {"damaged file"}:
        return BrokenFile("The files are cut or damaged and cannot be read. Upload fresh copies.")
    telling = (kind for kind, _ in left_out.most_common() if kind in ADVICE.keys() - {"other file"})
    advice = ADVICE[next(telling, "other file")]
    return NotAScan(f"No CT images were found{in_brackets(left_out)}. {advice}")


def in_brackets(left_out: Counter) -> str:
    """ " (2 localizers, 1 report)", or nothing."""
    return f" ({_counted(left_out)})" if left_out else ""


def left_out_notice(left_out: Counter) -> tuple[str, ...]:
    """One sentence that counts what was left out, or none."""
    return (f"Left out: {_counted(left_out)}.",) if left_out.total() else ()


def _counted(left_out: Counter) -> str:
    kinds = sorted((-count, kind) for kind, count in left_out.items() if count)
    return ", ".join(f"{-count} {_plural(kind, -count)}" for count, kind in kinds)


def _plural(kind: str, count: int) -> str:
    """The kinds are singular nouns, some with words behind them: "slice of another series"."""
    if count == 1:
        return kind
    for behind in (" of ", " at ", " without ", " with ", " or ", " than "):
        if behind in kind:
            noun, rest = kind.split(behind, 1)
            return f"{_plural(noun, count)}{behind}{rest}"
    return f"{kind}s"

"""What of an upload could not be used: counted by kind, and said to the person."""

from collections import Counter

from ..errors import BrokenFile, NotAScan, UploadError, WrongModality
from ..sentences import Sentence, say
from .kinds import OTHER_MODALITIES, LeftOut
from .limits import LIMITS

ADVICE = {
    LeftOut.ARCHIVE: "advice.archive",
    LeftOut.BROKEN_LINK: "advice.broken_link",
    LeftOut.DICOMDIR: "advice.dicomdir",
    LeftOut.CONTOURS: "advice.contours",
    LeftOut.EMPTY_FILE: "advice.empty_file",
    LeftOut.SCREENSHOT: "advice.screenshot",
    LeftOut.LOCALIZER: "advice.localizer",
    LeftOut.MULTI_FRAME: "advice.multi_frame",
    LeftOut.PERFUSION_MAP: "advice.perfusion_map",
    LeftOut.PROJECTION: "advice.projection",
    LeftOut.OTHER_PICTURE: "advice.other_picture",
    LeftOut.SEGMENTATION: "advice.segmentation",
}


def no_scan(left_out: Counter[LeftOut]) -> UploadError:
    """Why nothing in an upload is a scan."""
    if not left_out:
        return NotAScan(say("upload.empty"))
    images = Counter({kind: n for kind, n in left_out.items() if kind in OTHER_MODALITIES})
    if images:
        return WrongModality(say("upload.other_modality", found=counted(images)))
    if set(left_out) == {LeftOut.DAMAGED_FILE}:
        return BrokenFile(say("upload.all_damaged"))
    telling = (ADVICE[kind] for kind, _ in left_out.most_common() if kind in ADVICE)
    advice = say(next(telling, "advice.other"))
    return NotAScan(say("upload.no_ct", found=counted(left_out), advice=advice))


def left_out_notice(left_out: Counter[LeftOut]) -> tuple[Sentence, ...]:
    """One sentence that counts what was left out, or none."""
    return (say("upload.left_out", found=counted(left_out)),) if left_out.total() else ()


def counted(left_out: Counter[LeftOut]) -> tuple[Sentence, ...]:
    """Each kind with its number, the most frequent first: "2 localizers", "1 report"."""
    limits = {"side": LIMITS.side, "voxels_m": LIMITS.voxels // 10**6}
    kinds = sorted((-count, kind) for kind, count in left_out.items() if count)
    return tuple(say(f"kind.{kind}", count=-count, **limits) for count, kind in kinds)

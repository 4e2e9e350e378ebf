"""The process of a cohort's studies, for which some are bad: by the number of slices they crash it,
hang, or eat its memory. Run as a command in place of `liverseg.cohort.study_process`.
"""

import os
import signal
import sys
import time

import nibabel
from nibabel.filebasedimages import ImageFileError

from liverseg.cohort.study import run_study
from liverseg.cohort.study_process import serve

COMMAND = (sys.executable, "-m", "tests.helpers.failing_studies")
CRASHES, HANGS, EATS, BREAKS = 11, 12, 13, 14  # slices


def run(job, readers):
    try:
        slices = nibabel.load(job.scan[0]).shape[2]
    except (ImageFileError, OSError):  # DICOM, and what is corrupt
        slices = 0
    if slices == CRASHES:
        os.kill(os.getpid(), signal.SIGSEGV)
    if slices == HANGS:
        time.sleep(600)
    if slices == EATS:
        eaten = [b"x" * 10**8 for _ in range(job.memory_mb)]
        raise AssertionError(len(eaten))
    if slices == BREAKS:
        raise ValueError("patient-name")
    run_study(job, readers)


if __name__ == "__main__":
    serve(run)

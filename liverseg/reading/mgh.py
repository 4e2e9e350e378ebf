"""MGH headers, FreeSurfer's format: .mgh, and .mgz where it is packed; by nibabel."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

import numpy as np
from nibabel.freesurfer.mghformat import DATA_OFFSET, MGHHeader

from ..volume import Form
from .archive import Member
from .stored import Stored, check_announced, raw_slabs

SCANNER = 1


def open_mgh(stream: IO[bytes], member: Member, max_voxels: int, opened: ExitStack) -> Stored:
    """See `stored.Open`."""
    # nibabel reads what comes behind the voxels as well; nothing of it is needed
    size = MGHHeader.template_dtype.itemsize
    header = MGHHeader(stream.read(DATA_OFFSET)[:size].ljust(size, b"\0"), check=False)
    dtype = header.get_data_dtype()
    shape = check_announced(header.get_data_shape(), dtype, max_voxels, "MGH")

    def slabs() -> Iterator[np.ndarray]:
        stream.seek(DATA_OFFSET)
        for slab in raw_slabs(stream, shape, dtype):
            yield slab[0].astype(np.float32)

    form = None
    if header["goodRASFlag"] == 1:
        form = Form(SCANNER, header.get_affine().astype(float))
    sizes = np.abs(header["delta"].astype(float)) if form else np.zeros(3)
    return Stored(shape, dtype.itemsize, slabs, (form, None), sizes, ("L", "I", "A"))

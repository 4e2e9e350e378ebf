"""NIfTI headers: NIfTI-1 and NIfTI-2, in one file, by nibabel."""

import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO, Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from ..errors import NotAScan
from ..sentences import say
from ..volume import Form
from .archive import Member
from .stored import Stored, check_announced

MM_PER_UNIT = {1: 1000.0, 3: 0.001}  # of the header's unit codes metre and micron
MAX_DATA_OFFSET = 1_000_000  # bytes; extensions before the voxels are read whole
HEAD_BYTES = 540
DAMAGE = (
    ArithmeticError,
    EOFError,
    HeaderDataError,
    ImageFileError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)


def open_nifti(stream: IO[bytes], member: Member, max_voxels: int, opened: ExitStack) -> Stored:
    """See `stored.Open`."""
    head = stream.read(HEAD_BYTES)
    kind = nibabel.Nifti2Image if b"n+2" in head[4:8] else nibabel.Nifti1Image
    if kind is nibabel.Nifti1Image and head[344:347] != b"n+1":
        raise NotAScan(say("nifti.half_a_pair"))
    announced = kind.header_class(head[: kind.header_class.sizeof_hdr], check=False)
    dtype = announced.get_data_dtype()
    shape = check_announced(announced.get_data_shape(), dtype, max_voxels, "NIfTI")
    if not 0 <= announced.get_data_offset() <= MAX_DATA_OFFSET:
        raise ValueError
    stream.seek(0)
    source: Any = stream  # nibabel wants an IOBase, which every one of them is
    image = kind.from_stream(source)
    header, dataobj = image.header, image.dataobj

    def slabs() -> Iterator[np.ndarray]:
        proxy: Any = dataobj  # for nibabel an array, but here it is what can be reshaped
        proxy = proxy.reshape(shape)
        for k in range(shape[2]):
            yield np.asarray(proxy[:, :, k], np.float32)

    # nibabel puts 1 for missing sizes, so these are taken from the header as it is stored
    sizes = np.abs(announced["pixdim"][1:4].astype(float)) * _mm(header)
    forms = _form(header.get_sform, header), _form(header.get_qform, header)
    # where there is no form, nibabel and SPM take the first axis to the left, the second forward
    return Stored(shape, dtype.itemsize, slabs, forms, sizes, ("L", "A", "S"))


def _form(read: Callable[..., tuple], header: nibabel.Nifti1Header) -> Form | None:
    try:
        affine, code = read(coded=True)
    except DAMAGE:
        return None
    return None if affine is None else Form(int(code), np.diag([*[_mm(header)] * 3, 1.0]) @ affine)


def _mm(header: nibabel.Nifti1Header) -> float:
    """mm in a unit of the header."""
    return MM_PER_UNIT.get(int(header["xyzt_units"]) & 0x07, 1.0)

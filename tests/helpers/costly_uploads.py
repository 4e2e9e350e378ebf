"""Uploads that are small to send and once cost seconds and gigabytes to read."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from tests.helpers.make_dicom import (
    changed,
    ct,
    enhanced,
    group,
    seg,
    set_pixels,
    to_bytes,
)

SIDE = 4096


def zip_of(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return path


def rle(dataset: Dataset, *segments: bytes) -> Dataset:
    """The dataset with run-length encoded segments as its pixels."""
    starts = np.cumsum([64, *map(len, segments)])[:-1].tolist()
    head = struct.pack("<16I", len(segments), *starts, *[0] * (15 - len(segments)))
    dataset.PixelData = encapsulate([head + b"".join(segments)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = RLELossless
    return dataset


def dozen_of_segs(path: Path) -> Path:
    """Each of nearly 400 million voxels."""
    one = seg({"Liver": np.zeros((23, 8, 8))})
    changed(one, Rows=SIDE, Columns=SIDE, PixelData=bytes(23 * SIDE**2 // 8))
    content = to_bytes(one)
    return zip_of(path, {f"{k}": content for k in range(12)})


def sixty_masks(path: Path) -> Path:
    one = ct(stored=np.zeros((8, 8), np.uint8), Rows=SIDE, Columns=SIDE)
    content = to_bytes(rle(one, b"\x81\0" * (SIDE**2 // 128)))
    return zip_of(path, {f"liver/{k}": content for k in range(60)})


def zips_of_folders(path: Path) -> Path:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as inner:
        for k in range(4900):
            inner.writestr(f"{k}/", b"")
    return zip_of(path, {f"{k}.zip": stream.getvalue() for k in range(100)})


def lying_locator(path: Path) -> Path:
    """A zip64 of 500,000 entries whose locator points to a record that says five."""

    def record(count: int, size: int, start: int) -> bytes:
        return struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)

    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *[0] * 12, 1, *[0] * 5) + b"a"
    count = 500_000
    start = 4 + 56
    directory = entry * count
    content = b"PK\3\4" + record(5, 5 * len(entry), start) + directory
    content += record(count, len(directory), start)
    content += struct.pack("<4sLQL", b"PK\6\7", 0, 4, 1)
    content += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5, 5, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return zip_of(path, {"inner.zip": content})


def pictures_of_nothing(path: Path) -> Path:
    stream = io.BytesIO()
    Image.new("RGBA", (SIDE, SIDE), (9, 9, 9, 100)).save(stream, "PNG")
    return zip_of(path, {f"{k}.png": stream.getvalue() for k in range(23)})


def headers_of_many_elements(path: Path) -> Path:
    elements = b"".join(
        struct.pack("<HH2sH", 0x6001 + 2 * (k // 60_000), 0x1000 + k % 60_000, b"LO", 0)
        for k in range(190_000)
    )
    content = to_bytes(ct())
    at = content.index(b"\xe0\x7f\x10\x00OW")
    content = content[:at] + elements + content[at:]
    return zip_of(path, {f"{k}": content for k in range(20)})


def jpeg_of_many_scans(path: Path) -> Path:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (256, 256)).repeat(4, 0).repeat(4, 1)
    Image.fromarray(noise.astype(np.uint8)).save(stream, "JPEG", progressive=True, quality=5)
    content = stream.getvalue()
    last = content.rindex(b"\xff\xda")
    content = content[:last] + content[last:-2] * 5000 + content[-2:]
    return zip_of(path, {"slice.jpg": content})


def runs_of_one(path: Path) -> Path:
    one = ct(stored=np.zeros((8, 8), np.uint16), Rows=512, Columns=512)
    runs = b"\0\1" * 512**2
    files = {}
    for k in range(200):
        one.ImagePositionPatient = [0, 0, k]
        files[f"{k}"] = to_bytes(rle(one, b"\0\4" * 512**2, runs))
    return zip_of(path, files)


def many_orientations(path: Path) -> Path:
    files = {}
    for k in range(1200):
        turn, tilt = np.radians(k % 360), np.radians(3 * (k // 360))
        row = np.cos(turn), np.sin(turn), 0
        column = -np.sin(turn) * np.cos(tilt), np.cos(turn) * np.cos(tilt), np.sin(tilt)
        files[f"{k}"] = to_bytes(ct(float(k), ImageOrientationPatient=[*row, *column]))
    return zip_of(path, files)


def two_phases(path: Path, side: int = 512) -> Path:
    """Honest: an enhanced CT of 200 frames, a hundred of each phase."""
    one = enhanced(200)
    frames = np.random.default_rng(0).integers(0, 1500, (200, side, side), np.uint16)
    set_pixels(one, frames)
    for k, groups in enumerate(one.PerFrameFunctionalGroupsSequence):
        groups.PlanePositionSequence[0].ImagePositionPatient = [0.0, 0.0, 5.0 * (k // 2)]
        groups.FrameContentSequence = [group(TemporalPositionIndex=k % 2)]
    path.write_bytes(to_bytes(one))
    return path

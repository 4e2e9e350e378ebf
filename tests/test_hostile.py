"""Files made to harm: each is refused or harmless within 5 s and 500 MB above rest."""

import gzip
import multiprocessing
import os
import resource
import struct
import time
import zipfile
import zlib
from io import BytesIO

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID, RLELossless

from liverseg.errors import UploadError
from liverseg.reading.upload import read_scan, read_truth
from tests.helpers.make_dicom import (
    body,
    changed,
    ct,
    enhanced,
    group,
    in_syntax,
    seg,
    series,
    to_bytes,
    write,
)

pytestmark = pytest.mark.slow

if not hasattr(os, "fork"):
    pytest.skip(reason="measures memory in forked processes", allow_module_level=True)

SECONDS, MEGABYTES = 5, 500
HANGS_AFTER = 180  # seconds of wall clock, on a machine that others use too
J2K, JPEG_LOSSLESS, JPEG_LS = (f"1.2.840.10008.1.2.4.{n}" for n in (90, 70, 80))
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["liverseg.reading.upload", __name__])


def measured_read(path, scan_folder, results) -> None:
    """In a process of its own: what happened, in how many seconds and MB above rest."""
    volume = read_scan(scan_folder) if scan_folder else None
    with open("/proc/self/statm") as statm:
        rest_mb = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    start = time.process_time()  # of the processor, whatever else the machine does
    try:
        outcome = read_truth(path, volume) if volume else read_scan(path)
        outcome = f"read {getattr(outcome, 'labels', getattr(outcome, 'hu', None)).shape}"
    except UploadError as refusal:
        outcome = f"refused: {refusal}"
    except BaseException as error:
        outcome = f"crashed: {type(error).__name__} {error}"
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    results.put((outcome, time.process_time() - start, peak_mb - rest_mb))


def harmless(path, scan_folder=None) -> str:
    """Reads a file in another process and returns the outcome, once it proved harmless."""
    results = FORKS.SimpleQueue()
    process = FORKS.Process(target=measured_read, args=(path, scan_folder, results))
    process.start()
    process.join(HANGS_AFTER)
    if process.is_alive():
        process.kill()
        pytest.fail("it hangs")
    assert process.exitcode == 0
    outcome, seconds, megabytes = results.get()
    assert not outcome.startswith("crashed"), outcome
    assert seconds < SECONDS
    assert megabytes < MEGABYTES
    return outcome


def save(content: bytes, folder, name: str = "upload"):
    (folder / name).write_bytes(content)
    return folder / name


def zip_of(folder, *entries: tuple[str | zipfile.ZipInfo, bytes], name: str = "upload.zip"):
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for entry, content in entries:
            made.writestr(entry, content)
    return folder / name


# ---------------------------------------------------------------- archives


@pytest.mark.parametrize(
    "name",
    ["../../escape", "/tmp/escape", "..\\..\\escape", "C:\\escape", "a/../../../escape"],
)
def test_paths_in_a_zip_reach_nothing(tmp_path, name):
    inside = tmp_path / "a" / "b" / "c"
    inside.mkdir(parents=True)
    path = zip_of(inside, *((f"{name}{k}", to_bytes(one)) for k, one in enumerate(series(3))))
    before = sorted(tmp_path.rglob("*"))
    assert harmless(path).startswith("read (3,")
    assert sorted(tmp_path.rglob("*")) == before
    assert not os.path.exists("/tmp/escape0")


def test_an_entry_without_a_name(tmp_path):
    path = zip_of(tmp_path, ("#x", to_bytes(ct())))
    assert harmless(save(path.read_bytes().replace(b"#x", b"\0x"), tmp_path)).startswith("read (1,")


def test_links_in_zips_and_folders_are_not_followed(tmp_path):
    secret = write([ct()], tmp_path / "secret") / "image_3"
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    path = zip_of(tmp_path, (link, str(secret).encode()))
    assert "no files" in harmless(path)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(secret)
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    assert "no files" in harmless(folder)


def test_a_device_is_no_file():
    assert "not a file" in harmless("/dev/zero")


@pytest.mark.parametrize("start", [b"", b"\0" * 128 + b"DICM", b"\x89PNG\r\n\x1a\n"])
def test_a_zip_bomb(tmp_path, start):
    assert "refused" in harmless(zip_of(tmp_path, ("bomb", start + bytes(300_000_000))))


def test_a_zip_bomb_of_many_small_files(tmp_path):
    content = bytes(9_000_000)
    path = zip_of(tmp_path, *((f"bomb{k}", content) for k in range(230)))
    assert "unpacked" in harmless(path)


def test_a_zip_bomb_whose_directory_lies(tmp_path):
    path = zip_of(tmp_path, ("bomb", bytes(300_000_000)))
    content = path.read_bytes().replace(struct.pack("<I", 300_000_000), struct.pack("<I", 600))
    assert "refused" in harmless(save(content, tmp_path))


@pytest.mark.parametrize("depth", [2, 6])
def test_archives_in_archives(tmp_path, depth):
    path = zip_of(tmp_path, ("bomb", bytes(100_000_000)))
    for _ in range(depth):
        content = path.read_bytes()
        path = zip_of(tmp_path, *((f"{k}.zip", content) for k in range(10)))
    assert "refused" in harmless(path)


def test_an_archive_that_is_its_own_member_over_and_over(tmp_path):
    """All entries of the directory point to one compressed member."""
    path = zip_of(tmp_path, ("bomb", bytes(20_000_000)))
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    directory = content[start:end] * 4000
    tail = bytearray(content[end:])
    struct.pack_into("<HHI", tail, 8, 4000, 4000, len(directory))
    assert "refused" in harmless(save(content[:start] + directory + tail, tmp_path))


def test_thirty_thousand_entries(tmp_path):
    path = zip_of(tmp_path, *((f"{k}", b"") for k in range(30_000)))
    assert "more than 5000 files" in harmless(path)


def test_a_directory_of_a_million_entries_behind_a_small_count(tmp_path):
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *[0] * 18) + b""
    directory = entry * 1_000_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5, 5, len(directory), 0, 0)
    assert "more than 5000 files" in harmless(save(b"PK\3\4" + directory + end, tmp_path))


def test_thirty_thousand_loose_files(tmp_path):
    for k in range(5100):
        (tmp_path / str(k)).touch()
    assert "more than 5000 files" in harmless(tmp_path)


# ---------------------------------------------------------------- DICOM


def deflated(dataset, extra: bytes = b"") -> bytes:
    """A file in the deflated transfer syntax with more behind its dataset."""
    content = to_bytes(dataset)
    end = 144 + struct.unpack_from("<I", content, 140)[0]
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    meta = content[:end].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    meta = meta[:140] + struct.pack("<I", len(meta) - 144) + meta[144:]
    at = meta.index(b"1.2.840.10008.1.2.1.99")
    meta = meta[: at - 2] + struct.pack("<H", 22) + meta[at:]
    return meta + packer.compress(content[end:] + extra) + packer.flush()


def test_a_deflated_file_made_here_is_read(tmp_path):
    assert harmless(save(deflated(ct()), tmp_path)).startswith("read (1,")


@pytest.mark.parametrize("tag", [(0x7FE1, 0x1010), (0x0029, 0x1010)])
def test_a_deflated_bomb(tmp_path, tag):
    header = struct.pack("<HH2sHI", *tag, b"OB", 0, 700_000_000)
    dataset = ct() if tag[0] > 0x7FE0 else changed(ct(), PixelData=None)
    path = save(deflated(dataset, header + bytes(700_000_000)), tmp_path)
    assert path.stat().st_size < 4_000_000
    harmless(path)


def test_a_deflated_bomb_that_hides_its_transfer_syntax(tmp_path):
    content = deflated(ct(), bytes(300_000_000))
    hidden = content[:140] + struct.pack("<I", 12) + content[144:]
    assert "refused" in harmless(save(hidden, tmp_path))


@pytest.mark.parametrize("side", [5000, 20_000, 65_535])
@pytest.mark.parametrize("syntax", [J2K, JPEG_LOSSLESS, JPEG_LS])
def test_a_compressed_frame_that_claims_to_be_huge(tmp_path, syntax, side):
    dataset = in_syntax(ct(), syntax)
    size = struct.pack(">II", 16, 12) if syntax == J2K else struct.pack(">HH", 12, 16)
    huge = struct.pack(">II" if syntax == J2K else ">HH", side, side)
    assert size in dataset.PixelData
    dataset.PixelData = dataset.PixelData.replace(size, huge)
    assert "refused" in harmless(write([dataset], tmp_path / "scan"))
    changed(dataset, Rows=side, Columns=side)
    assert "refused" in harmless(write([dataset], tmp_path / "consistent"))


def test_a_run_length_bomb(tmp_path):
    dataset = ct()
    frame = struct.pack("<16I", 2, 64, 20_000_064, *[0] * 13) + b"\x81\0" * 20_000_000
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = RLELossless
    assert "refused" in harmless(write([dataset], tmp_path / "scan"))


def test_millions_of_fragments(tmp_path):
    dataset = ct()
    dataset.PixelData = encapsulate([b"\xff\xd8"])[:8] + b"\xfe\xff\x00\xe0\0\0\0\0" * 1_400_000
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(JPEG_LOSSLESS)
    assert "refused" in harmless(write([dataset], tmp_path / "scan"))


@pytest.mark.parametrize(
    "attributes",
    [
        {"Rows": 65_535, "Columns": 65_535},
        {"Rows": 0},
        {"Columns": 0},
        {"BitsAllocated": 64},
        {"BitsAllocated": 0},
        {"BitsAllocated": 1},
        {"BitsStored": 0},
        {"BitsStored": 65_535},
        {"HighBit": 65_535},
        {"PixelRepresentation": 9},
        {"SamplesPerPixel": 65_535},
        {"NumberOfFrames": 2_147_483_647},
        {"NumberOfFrames": -5},
        {"PhotometricInterpretation": "YBR_FULL_422"},
        {"ImagePositionPatient": [1e308, -1e308, 1e308]},
        {"ImageOrientationPatient": [1e-300, 0, 0, 0, 1e-300, 0]},
        {"PixelSpacing": [1e-300, 1e300]},
        {"RescaleSlope": 1e308, "RescaleIntercept": -1e308},
        {"InstanceNumber": 2_147_483_647},
    ],
    ids=str,
)
def test_absurd_numbers(tmp_path, attributes):
    harmless(write(series(3, **attributes), tmp_path / "scan"))


@pytest.mark.parametrize("frames", [2_147_483_647, -1, 10_000])
def test_absurd_frames(tmp_path, frames):
    dataset = enhanced(4)
    changed(dataset, NumberOfFrames=frames)
    assert "refused" in harmless(write([dataset], tmp_path / "scan"))


def with_elements(elements: bytes) -> bytes:
    """A CT slice with raw explicit little endian bytes in front of its pixels."""
    content = to_bytes(ct())
    at = content.index(b"\xe0\x7f\x10\x00OW")
    return content[:at] + elements + content[at:]


SEQUENCE = struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, 0xFFFFFFFF)
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
OPEN_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


@pytest.mark.parametrize(
    "elements",
    {
        "deep": (SEQUENCE + OPEN_ITEM) * 3000,
        "wide": SEQUENCE + ITEM * 1_000_000 + END,
        "wide with length": SEQUENCE[:8] + struct.pack("<I", 8_000_000) + ITEM * 1_000_000,
        "many": b"".join(
            struct.pack("<HH2sH", 0x6001 + 2 * (k // 60_000), 0x1000 + k % 60_000, b"LO", 0)
            for k in range(1_200_000)
        ),
        "endless": SEQUENCE + OPEN_ITEM,
        "beyond the end": SEQUENCE[:8] + struct.pack("<I", 0xFFFFFFF0),
    }.items(),
    ids=lambda item: item[0],
)
def test_absurd_sequences(tmp_path, elements):
    harmless(save(with_elements(elements[1]), tmp_path))


def test_a_segmentation_of_absurd_sequences(tmp_path):
    scan = write(series(3), tmp_path / "scan")
    found = seg({"Liver": np.ones((3, 12, 16))})
    found.SegmentSequence = [group(SegmentNumber=1, SegmentLabel="Liver")] * 5_000
    harmless(write([found], tmp_path / "seg"), scan)
    changed(found, Rows=65_535, Columns=65_535)
    assert "refused" in harmless(write([found], tmp_path / "huge"), scan)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "${7*7} {{7*7}} <%= 7*7 %> #{7*7}",
        "%s%n%x {0.__class__} \\",
        "\0\1\2\x1b[31m\r\n\x7f\u202e",
        "A" * 10_000_000,
    ],
    ids=["html", "template", "format", "control", "10 MB"],
)
def test_hostile_text_in_headers(tmp_path, text):
    content = text.encode("utf-8", "replace")
    content += b" " * (len(content) % 2)
    elements = b"".join(
        struct.pack("<HH2sHI", group_, element, b"UT", 0, len(content)) + content
        for group_, element in ((0x0010, 0x0010), (0x0008, 0x103E))[: 1 + (len(content) < 1000)]
    )
    base = to_bytes(changed(ct(), PatientName=None, PatientID=None))
    at = base.index(struct.pack("<HH2s", 0x0018, 0x0050, b"DS"))
    outcome = harmless(save(base[:at] + elements + base[at:], tmp_path))
    assert outcome.startswith("read (1,")
    text = text.encode("latin-1", "replace").decode("latin-1")
    values = {"ImageType": [text[:60]] * 3, "Modality": text[:12], "ConvolutionKernel": text[:12]}
    outcome = harmless(write([changed(ct(), **values)], tmp_path / "values"))
    assert text[:12] not in outcome


# ---------------------------------------------------------------- NIfTI and pictures


def nifti_header(shape: tuple[int, ...], dtype: type = np.int16) -> bytearray:
    """The 352 bytes in front of the voxels."""
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), dtype), np.eye(4))
    head = bytearray(image.to_bytes()[:352])
    struct.pack_into("<8h", head, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    return head


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((2000, 2000, 2000), np.int16),
        ((700, 700, 700), np.int16),
        ((700, 700, 700), np.float64),
        ((32767, 32767, 32767), np.uint8),
        ((-5, 512, 512), np.int16),
        ((0, 512, 512), np.int16),
        ((512, 512, 500, 9), np.int16),
    ],
)
@pytest.mark.parametrize("as_truth", [False, True])
def test_a_nifti_bomb(tmp_path, shape, dtype, as_truth):
    scan = write(series(3), tmp_path / "scan") if as_truth else None
    stream = BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as packed:
        packed.write(nifti_header(shape, dtype))
        for _ in range(30):
            packed.write(bytes(10_000_000))
    assert "refused" in harmless(save(stream.getvalue(), tmp_path), scan)


@pytest.mark.parametrize("as_truth", [False, True])
def test_many_niftis_at_the_limit(tmp_path, as_truth):
    """Each alone could be a scan of thousands of slices, or its labels."""
    scan = write(series(3), tmp_path / "scan") if as_truth else None
    stream = BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as packed:
        packed.write(nifti_header((500, 500, 396), np.uint8 if as_truth else np.int16))
        for _ in range(99 if as_truth else 198):
            packed.write(bytes(1_000_000))
    content = stream.getvalue()
    path = zip_of(tmp_path, *((f"{k}.nii.gz", content) for k in range(40)))
    assert "NIfTI files" in harmless(path, scan)


def test_a_nifti_extension_bomb(tmp_path):
    head = nifti_header((64, 64, 8))
    struct.pack_into("<f", head, 108, 400_000_000.0)
    struct.pack_into("<4b", head, 348, 1, 0, 0, 0)
    content = bytes(head) + struct.pack("<ii", 400_000_000 - 352, 4) + bytes(100_000_000)
    assert "refused" in harmless(save(gzip.compress(content, 1), tmp_path))


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    length, check = len(content), zlib.crc32(kind + content)
    return struct.pack(">I", length) + kind + content + struct.pack(">I", check)


@pytest.mark.parametrize("side", [9000, 20_000, 60_000])
def test_a_picture_bomb(tmp_path, side):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(50_000_000), 1))
    assert "refused" in harmless(save(b"\x89PNG\r\n\x1a\n" + header + pixels, tmp_path))


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_text_bomb_in_a_picture(tmp_path, kind):
    stream = BytesIO()
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(stream, "PNG")
    content = stream.getvalue()
    start = {b"zTXt": b"k\0\0", b"iCCP": b"k\0\0", b"iTXt": b"k\0\1\0\0\0"}[kind]
    bomb = chunk(kind, start + zlib.compress(bytes(100_000_000), 1))
    harmless(save(content[:33] + bomb + content[33:], tmp_path))  # 33 bytes of magic and IHDR


def test_a_jpeg_of_absurd_size(tmp_path):
    stream = BytesIO()
    Image.fromarray(body().astype(np.uint8)).save(stream, "JPEG")
    content = stream.getvalue().replace(
        struct.pack(">HH", 12, 16), struct.pack(">HH", 65535, 65535)
    )
    assert "refused" in harmless(save(content, tmp_path))


def test_random_bytes_behind_every_magic(tmp_path):
    noise = np.random.default_rng(0).bytes(200_000)
    starts = [
        bytes(128) + b"DICM",
        b"PK\3\4",
        b"\x1f\x8b\x08",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        struct.pack("<i", 348),
        struct.pack(">i", 540),
        b"\x08\0\x05\0CS\x0a\0",
    ]
    for start in starts:
        assert "refused" in harmless(save(start + noise, tmp_path))

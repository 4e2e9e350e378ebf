"""Files, folders and archives in any mixture; what is refused; what is never shown."""

import gzip
import io
import logging
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from liverseg.errors import (
    BrokenFile,
    ChoiceNeeded,
    NoDecoder,
    NotAScan,
    TooLarge,
    UploadError,
)
from liverseg.reading import archive, budget, limits, upload
from liverseg.reading.choice import offered
from liverseg.reading.upload import read_scan, read_truth
from liverseg.sentences import say
from liverseg.volume import LPS_TO_RAS
from tests.helpers.make_dicom import (
    body,
    changed,
    ct,
    enhanced,
    seg,
    series,
    to_bytes,
    write,
)

CANARY = "Zanaria"


def zipped(folder: Path, path: Path, inside: str = "", **options) -> Path:
    """A zip of a folder's files, below a folder of the archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as made:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                made.write(file, f"{inside}{file.relative_to(folder)}")
    return path


def expected(count: int) -> np.ndarray:
    return np.stack([body(k) for k in range(count)])


# ---------------------------------------------------------------- mixtures


@pytest.mark.parametrize("kind", ["folder", "files", "zip", "text", "zip and files", "generator"])
def test_any_mixture_of_files_folders_and_zips_is_one_scan(tmp_path, kind):
    folder = write(series(6), tmp_path / "scan" / "deep")
    files = sorted(folder.iterdir())
    if kind == "zip and files":
        half = tmp_path / "half"
        half.mkdir()
        for path in files[:3]:
            path.rename(half / path.name)
        paths = [zipped(half, tmp_path / "half.zip"), *files[3:]]
    else:
        paths = {
            "folder": tmp_path / "scan",
            "files": files[::-1],
            "zip": zipped(folder, tmp_path / "scan.zip", "a/b/"),
            "text": str(folder),
            "generator": (path for path in files),
        }[kind]
    assert np.array_equal(read_scan(paths).hu, expected(6))


LIVER = np.zeros((4, 12, 16), np.uint8)
LIVER[1:, 4:9, 5:12] = 1


def seg_beside(folder):
    write([seg({"Liver": LIVER})], folder / "SEG")


def dicom_masks_beside(folder):
    """As 3D-IRCADb unpacks."""
    masks = [
        ct(5.0 * k, stored=LIVER[k] * np.uint8(255), RescaleIntercept=0) for k in range(len(LIVER))
    ]
    write(masks, folder / "MASKS_DICOM" / "liver")


def nifti_beside(folder):
    affine = np.diag([0.8, 0.7, 5.0, 1.0])
    affine[:3, 3] = (-100, -200, 0)
    image = nibabel.Nifti1Image(LIVER.transpose(2, 1, 0), LPS_TO_RAS @ affine)
    nibabel.save(image, folder / "labels.nii.gz")


def pictures_beside(folder):
    """As CHAOS is laid out."""
    (folder / "Ground").mkdir()
    for k, plane in enumerate(LIVER):
        Image.fromarray(plane * np.uint8(255)).save(folder / "Ground" / f"liver_GT_{k:03d}.png")


@pytest.mark.parametrize("beside", [seg_beside, dicom_masks_beside, nifti_beside, pictures_beside])
def test_masks_in_the_folder_of_their_ct_are_offered_and_read_as_its_truth(tmp_path, beside):
    write(series(4), tmp_path / "both" / "CT")
    beside(tmp_path / "both")
    volume = read_scan(tmp_path / "both")
    assert np.array_equal(volume.hu, expected(4))
    assert offered(volume).question == "truth"
    truth = read_truth(tmp_path / "both", volume)
    assert np.array_equal(truth.liver, LIVER > 0)
    assert truth.notices[0].code == "upload.left_out"
    assert offered(read_scan(write(series(4), tmp_path / "alone"))) is None


def test_an_archive_in_an_archive_is_opened_once(tmp_path):
    """As 3D-IRCADb comes: zips of scan and masks in a zip of the case."""
    write(series(3), tmp_path / "scan")
    write(mask_series(3), tmp_path / "masks" / "liver")
    outer = tmp_path / "3Dircadb1.1.zip"
    with zipfile.ZipFile(outer, "w") as made:
        for name, folder in (("PATIENT_DICOM", "scan"), ("MASKS_DICOM", "masks")):
            inner = zipped(tmp_path / folder, tmp_path / f"{name}.zip", f"{name}/")
            made.write(inner, f"3Dircadb1.1/{inner.name}")
        made.writestr("3Dircadb1.1/__MACOSX/._PATIENT_DICOM.zip", b"\0\5\26\7" + bytes(200))
    volume = read_scan(outer)
    assert np.array_equal(volume.hu, expected(3))
    truth = read_truth(outer, volume)
    assert np.array_equal(truth.liver, expected(3) > -100)


def mask_series(count: int) -> list:
    return [
        ct(5.0 * k, stored=np.where(body(k) > -100, 255, 0).astype(np.uint8), RescaleIntercept=0)
        for k in range(count)
    ]


def test_a_zip_named_liver_is_a_folder_named_liver(tmp_path):
    volume = read_scan(write(series(3), tmp_path / "scan"))
    masks = zipped(write(mask_series(3), tmp_path / "m"), tmp_path / "liver.zip")
    assert read_truth(masks, volume).notices == (say("truth.no_tumors"),)


def test_dicom_goes_before_nifti_and_pictures(tmp_path):
    folder = write(series(3), tmp_path / "scan")
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(folder / "preview.png")
    volume = read_scan(folder)
    assert volume.source.kind == "dicom"
    assert volume.notices == ("Left out: 1 picture.",)


# ---------------------------------------------------------------- ordinary mistakes


@pytest.mark.parametrize("paths", [[], "empty"])
def test_nothing_is_refused(tmp_path, paths):
    with pytest.raises(NotAScan, match="no files"):
        read_scan(tmp_path if paths == "empty" else paths)


def test_a_missing_file_is_refused_without_its_name(tmp_path):
    with pytest.raises(BrokenFile, match="no longer there") as refusal:
        read_scan(tmp_path / f"{CANARY}.dcm")
    assert CANARY not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Patient: nobody\n" * 100, "1 other file"),
        (b"", "1 empty file.*send it again"),
        (bytes(5000), "1 other file"),
        (b"\xff" * 5000, "1 other file"),
        (b"Rar!\x1a\x07" + bytes(500), "Unpack the archive"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(500), "Unpack the archive"),
        (b"GIF89a" + bytes(500), "1 picture in another format.*as PNG"),
        (b"II+\0" + bytes(500), "1 picture in another format.*as PNG"),
        (b"MM\0+" + bytes(500), "1 picture in another format.*as PNG"),
        (b"BM" + bytes(500), "1 picture in another format.*as PNG"),
        (b"RIFF\1\0\0\0WEBPVP8L" + bytes(500), "1 picture in another format.*as PNG"),
        (
            gzip.compress(b"\\\x01\0\0" + bytes(124) + b"DICM" + bytes(500), mtime=0),
            "Unpack the archive",
        ),
        (b"%PDF-1.7" + bytes(500), "1 other file"),
    ],
)
def test_what_is_no_image_is_refused_with_advice(tmp_path, content, words):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(NotAScan, match=words):
        read_scan(tmp_path)


def test_the_advice_is_about_what_tells_most(tmp_path):
    for k in range(3):
        (tmp_path / f"note{k}").write_text("see the other file")
    (tmp_path / "scan").write_bytes(b"GIF89a" + bytes(500))
    with pytest.raises(NotAScan, match=r"3 other files, 1 picture in another format.*as PNG"):
        read_scan(tmp_path)


def test_every_refusal_is_one_to_three_sentences(tmp_path):
    write([changed(dataset, Modality="MR") for dataset in series(2)], tmp_path / "mr")
    (tmp_path / "text").write_text("text")
    write([seg({"Liver": np.ones((2, 8, 8))})], tmp_path / "seg")
    for name in ("mr", "text", "seg"):
        with pytest.raises(UploadError) as refusal:
            read_scan(tmp_path / name)
        text = str(refusal.value)
        assert text.endswith(".")
        assert 1 <= text.count(". ") + 1 <= 3
        assert text[0].isupper()


# ---------------------------------------------------------------- limits


@pytest.fixture
def small_limits(monkeypatch):
    """Limits that a test reaches with little."""

    def change(**values):
        changed_limits = replace(limits.LIMITS, **values)
        for module in (archive, upload, sys.modules["liverseg.reading.dicom.scan"]):
            monkeypatch.setattr(module, "LIMITS", changed_limits)

    return change


def test_too_many_files_are_refused(tmp_path, small_limits):
    small_limits(files=5)
    folder = write(series(6), tmp_path / "scan")
    for paths in (folder, list(folder.iterdir()), zipped(folder, tmp_path / "scan.zip")):
        with pytest.raises(TooLarge, match="more than 5 files"):
            read_scan(paths)


def test_too_many_bytes_are_refused(tmp_path, small_limits):
    folder = write(series(6), tmp_path / "scan")
    small_limits(upload_bytes=3000)
    with pytest.raises(TooLarge, match="unpacked"):
        read_scan(zipped(folder, tmp_path / "scan.zip"))
    small_limits(file_bytes=500)
    with pytest.raises(TooLarge, match="A file is larger"):
        read_scan(folder)


def test_too_many_voxels_are_refused(tmp_path, small_limits):
    small_limits(voxels=1000)
    with pytest.raises(TooLarge, match="voxels"):
        read_scan(write(series(6), tmp_path / "scan"))


def zip_of_folders(path, count):
    with zipfile.ZipFile(path, "w") as made:
        for k in range(count):
            made.writestr(f"{k}/", b"")


@pytest.mark.parametrize(
    ("cost", "least", "most"),
    [
        ("elements", 50, 500),
        ("frames", 10, 11),
        ("decoded_bytes", 7_000, 100_000),
    ],
)
def test_what_is_announced_counts_for_the_whole_upload(tmp_path, monkeypatch, cost, least, most):
    """Each of two halves is within the limits."""
    other = changed(enhanced(6), SeriesInstanceUID="1.2.3")
    folder = write([enhanced(5), other], tmp_path / "scan")
    monkeypatch.setattr(budget, "LIMITS", replace(limits.LIMITS, **{cost: most}))
    with pytest.raises(ChoiceNeeded):
        read_scan(folder)
    monkeypatch.setattr(budget, "LIMITS", replace(limits.LIMITS, **{cost: least - 1}))
    with pytest.raises(TooLarge) as refused:
        read_scan(folder)
    assert refused.value.code == f"budget.{cost}"


@pytest.mark.parametrize("kind", ["seg", "masks", "nifti", "png"])
def test_the_voxels_of_a_truth_count_together(tmp_path, monkeypatch, kind):
    scan = read_scan(write(series(3), tmp_path / "scan"))
    mask = np.ones((3, 12, 16), np.uint8)
    mask[:, 0] = 0
    folder = tmp_path / "liver"
    if kind == "seg":
        write([seg({"Liver": mask}), seg({"Liver": mask})], folder)
    elif kind == "masks":
        write([ct(5.0 * k, stored=mask[k]) for k in range(3)], folder)
    else:
        folder.mkdir()
    if kind == "nifti":
        for name in ("liver", "liver_tumor"):
            affine = LPS_TO_RAS @ scan.affine
            nibabel.save(nibabel.Nifti1Image(mask.T, affine), folder / f"{name}.nii.gz")
    elif kind == "png":
        for k, plane in enumerate(mask):
            Image.fromarray(plane).save(folder / f"{k}.png")
    voxels = mask.size * (2 if kind in ("seg", "nifti") else 1)
    read_truth(folder, scan)
    monkeypatch.setattr(budget, "LIMITS", replace(limits.LIMITS, truth_voxels=voxels - 1))
    with pytest.raises(TooLarge) as refused:
        read_truth(folder, scan)
    assert refused.value.code == "budget.truth_voxels"


def test_the_limits_are_a_sentence_for_page_and_readme():
    text = limits.LIMITS.sentence
    assert "5000 files" in text
    assert "400 million voxels" in text
    assert text.endswith(".")


# ---------------------------------------------------------------- archives


def test_a_password_is_named(tmp_path):
    path = zipped(write(series(2), tmp_path / "scan"), tmp_path / "scan.zip")
    content = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(magic)
        while start >= 0:
            content[start + at] |= 1
            start = content.find(magic, start + 4)
    path.write_bytes(content)
    with pytest.raises(BrokenFile, match="password"):
        read_scan(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_than_deflate_are_refused(tmp_path, method):
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("slice", to_bytes(ct()))
    with pytest.raises(NoDecoder, match="deflate"):
        read_scan(path)


def test_a_stored_zip_and_a_zip64_are_read(tmp_path):
    path = tmp_path / "scan.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        for k, dataset in enumerate(series(3)):
            with made.open(f"s{k}", "w", force_zip64=True) as stream:
                stream.write(to_bytes(dataset))
    assert read_scan(path).shape[0] == 3


@pytest.mark.parametrize("keep", [4, 30, 0.3, 0.9, -1, -22])
def test_a_cut_zip_is_refused(tmp_path, keep):
    path = zipped(write(series(3), tmp_path / "scan"), tmp_path / "scan.zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(UploadError):
        read_scan(path)


def test_a_damaged_member_is_left_out(tmp_path):
    path = zipped(write(series(5), tmp_path / "scan"), tmp_path / "scan.zip")
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    volume = read_scan(path)
    assert volume.shape[0] == 4
    assert "1 damaged" in " ".join(volume.notices)


def locked(content: bytes) -> bytes:
    """A zip whose entries are marked as encrypted."""
    changed_content = bytearray(content)
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = changed_content.find(magic)
        while start >= 0:
            changed_content[start + at] |= 1
            start = changed_content.find(magic, start + 4)
    return bytes(changed_content)


def zip_bytes(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return stream.getvalue()


SETUP = {"setup.exe": b"MZ" + bytes(300)}
FOREIGN = {
    "password": (locked(zip_bytes(SETUP)), "archive.password"),
    "lzma": (zip_bytes(SETUP, zipfile.ZIP_LZMA), "archive.method"),
    "bzip2": (zip_bytes(SETUP, zipfile.ZIP_BZIP2), "archive.method"),
    "noise": (b"PK\x03\x04" + b"x" * 300, "archive.damaged_zip"),
    "cut": (zip_bytes(SETUP)[:-30], "archive.damaged_zip"),
    "huge": (zip_bytes({"film": bytes(150_000_000)}), "archive.ratio"),
    "classes": (zip_bytes({f"{k}/": b"" for k in range(10_001)}), "archive.too_many_files"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("inside", [False, True], ids=["beside", "in the zip of the scan"])
def test_an_archive_that_cannot_be_opened_is_left_out_beside_a_scan(tmp_path, kind, inside):
    content, _ = FOREIGN[kind]
    folder = write(series(3), tmp_path / "disc")
    for name in ("a.jar", "z.zip"):
        (folder / name).write_bytes(content)
    path = zipped(folder, tmp_path / "disc.zip") if inside else folder
    volume = read_scan(path)
    assert np.array_equal(volume.hu, expected(3))
    assert volume.notices == ("Left out: 2 archives.",)
    masks = write(mask_series(3), tmp_path / "truth" / "liver")
    (masks / "a.zip").write_bytes(content)
    assert "Left out: 1 archive." in read_truth(masks.parent, volume).notices


@pytest.mark.parametrize("kind", FOREIGN)
def test_an_archive_that_cannot_be_opened_is_refused_alone(tmp_path, kind):
    content, code = FOREIGN[kind]
    (tmp_path / "scan.zip").write_bytes(content)
    (tmp_path / "README").write_text("A scan for you.")
    with pytest.raises(UploadError) as refused:
        read_scan(tmp_path)
    assert refused.value.code == code
    write([changed(dataset, Modality="MR") for dataset in series(2)], tmp_path)
    with pytest.raises(UploadError) as refused:
        read_scan(tmp_path)
    assert refused.value.code == "upload.other_modality"


def test_a_viewer_of_thousands_of_files_beside_the_scan_is_left_out(tmp_path):
    folder = write(series(3), tmp_path / "disc")
    classes = {f"org/C{k}.class": b"\xca\xfe\xba\xbe" for k in range(5200)}
    (folder / "viewer.jar").write_bytes(zip_bytes(classes))
    assert read_scan(folder).notices == ("Left out: 5200 other files.",)


def test_of_many_archives_those_are_opened_that_fit(tmp_path, monkeypatch):
    for count in (5, 6, 4):
        zip_of_folders(tmp_path / f"{count}.zip", count)
    write(series(3), tmp_path)
    (tmp_path / "9.zip").write_bytes(zip_bytes({"slice": to_bytes(ct(15.0))}))
    monkeypatch.setattr(budget, "LIMITS", replace(limits.LIMITS, entries=10))
    volume = read_scan(tmp_path)
    assert volume.shape[0] == 4
    assert volume.notices == ("Left out: 1 archive.",)


def renamed(content: bytes, old: bytes, new: bytes, local: bool) -> bytes:
    """A zip whose names are others in one of its two lists."""
    start = content.index(b"PK\x01\x02")
    parts = [content[:start], content[start:]]
    parts[not local] = parts[not local].replace(old, new)
    return b"".join(parts)


@pytest.mark.parametrize("local", [True, False], ids=["local", "directory"])
@pytest.mark.parametrize("new", [b"ct\\s", b"\x81\x82_s", b"..//", b"ct/\xff"])
def test_of_two_names_that_differ_that_of_the_directory_counts(tmp_path, local, new):
    slices = {f"ct/s{k}": to_bytes(dataset) for k, dataset in enumerate(series(3))}
    path = tmp_path / "scan.zip"
    path.write_bytes(renamed(zip_bytes(slices), b"ct/s", new, local))
    volume = read_scan(path)
    assert np.array_equal(volume.hu, expected(3))
    assert volume.notices == ()


def test_masks_of_a_zip_with_backslashes_lie_in_their_folders(tmp_path):
    volume = read_scan(write(series(3), tmp_path / "scan"))
    files = {f"M/liver/{k}": to_bytes(one) for k, one in enumerate(mask_series(3))}
    content = zip_bytes({"M/liver/": b"", **files}).replace(b"M/liver/", b"M\\liver\\")
    (tmp_path / "masks.zip").write_bytes(content)
    truth = read_truth(tmp_path / "masks.zip", volume)
    assert np.array_equal(truth.liver, expected(3) > -100)
    assert truth.notices == (say("truth.no_tumors"),)


@pytest.mark.parametrize("mark", [b"PK\x07\x08", b"PK00"])
@pytest.mark.parametrize("counted", [True, False])
def test_a_mark_of_splitting_before_a_zip_does_not_matter(tmp_path, mark, counted):
    slices = {f"s{k}": to_bytes(dataset) for k, dataset in enumerate(series(3))}
    stream = io.BytesIO(mark if counted else b"")
    with zipfile.ZipFile(stream, "a") as made:
        for name, content in slices.items():
            made.writestr(name, content)
    content = stream.getvalue() if counted else mark + stream.getvalue()
    assert content.startswith(mark)
    (tmp_path / "scan.zip").write_bytes(content)
    assert np.array_equal(read_scan(tmp_path / "scan.zip").hu, expected(3))


# ---------------------------------------------------------------- links


@pytest.fixture
def annex(tmp_path) -> Path:
    """Folders of links to files, as DataLad and git-annex lay out data sets."""
    stored = write(series(3), tmp_path / "annex")
    folder = tmp_path / "data" / "scan"
    folder.mkdir(parents=True)
    for number, file in enumerate(sorted(stored.iterdir())):
        (folder / f"{number}.dcm").symlink_to(file)
    return folder.parent


def test_links_to_files_are_followed_only_where_that_is_said(annex):
    assert np.array_equal(read_scan(annex, follow_links=True).hu, expected(3))
    with pytest.raises(NotAScan, match="no files"):
        read_scan(annex)


def test_links_to_folders_devices_and_nothing_are_never_followed(annex, tmp_path):
    (annex / "loop").symlink_to(annex)
    (annex / "device").symlink_to("/dev/zero")
    (annex / "lost").symlink_to(tmp_path / "not fetched")
    volume = read_scan(annex, follow_links=True)
    assert volume.notices == ("Left out: 1 link to a file that is not there.",)
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "link").symlink_to(tmp_path / "not fetched")
    with pytest.raises(NotAScan, match=r"1 link to a file.*Fetch the files"):
        read_scan(tmp_path / "lost", follow_links=True)


def test_masks_behind_links_keep_the_names_of_their_folders(annex, tmp_path):
    volume = read_scan(annex, follow_links=True)
    stored = write(mask_series(3), tmp_path / "objects")
    folder = tmp_path / "masks" / "liver"
    folder.mkdir(parents=True)
    for number, file in enumerate(sorted(stored.iterdir())):
        (folder / f"{number}.dcm").symlink_to(file)
    truth = read_truth(folder.parent, volume, follow_links=True)
    assert np.array_equal(truth.liver, expected(3) > -100)


# ---------------------------------------------------------------- privacy


def everything_emitted(folder: Path, capfd, caplog) -> str:
    """What reading a folder says: result, notices, refusals, logs, warnings, both streams."""
    said = []
    with caplog.at_level(logging.DEBUG):
        for read in (read_scan, lambda paths: read_truth(paths, read_scan(folder / "good"))):
            for path in (folder, *folder.iterdir()):
                try:
                    said.append(repr(read(path)))
                    said.append(" ".join(read(path).notices))
                except UploadError as refusal:
                    said.append(f"{refusal} {refusal.__cause__}")
                    said += map(str, getattr(refusal, "choices", ()))
    out, err = capfd.readouterr()
    return " ".join([*said, out, err, caplog.text])


def test_no_header_text_or_name_is_ever_said(tmp_path, capfd, caplog):
    names = {
        "PatientName": f"{CANARY}^A",
        "PatientID": f"{CANARY}1",
        "PatientBirthDate": f"19{CANARY}",
        "SeriesDescription": f"<b>{CANARY}</b>",
        "StudyDescription": f"${{{CANARY}}} {{{{{CANARY}}}}}",
        "InstitutionName": CANARY,
        "ImageComments": CANARY,
        "ConvolutionKernel": CANARY,
        "SeriesInstanceUID": f"1.2.{CANARY}",
        "FrameOfReferenceUID": f"1.2.{CANARY}",
        "StationName": CANARY,
        "ProtocolName": CANARY,
    }
    base = tmp_path / CANARY
    write(series(3, **names), base / "good", f"{CANARY}_{{}}")
    write(series(4, gap_mm=3, **names | {"SeriesInstanceUID": CANARY}), base / f"other {CANARY}")
    write([changed(dataset, Modality=CANARY) for dataset in series(2, **names)], base / "kind")
    write(series(2, RescaleType=CANARY, **names), base / "map")
    broken = write(series(2, **names), base / "broken")
    for path in broken.iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    for number in ("InstanceNumber", "PixelSpacing", "ImagePositionPatient", "RescaleSlope"):
        replaced = to_bytes(series(1, **names)[0]).replace(b"5.0 ", b"Zan ")
        (base / f"{number}.dcm").write_bytes(replaced)
    (base / f"{CANARY}.txt").write_text(CANARY * 100)
    with zipfile.ZipFile(base / f"{CANARY}.zip", "w") as made:
        made.writestr(f"../{CANARY}/{CANARY}", CANARY * 300)
    assert CANARY not in everything_emitted(base, capfd, caplog)


def test_reading_in_a_fresh_process_prints_nothing(tmp_path):
    write(series(3, PatientBirthDate=CANARY, InstanceNumber=1), tmp_path / CANARY)
    program = "import sys; from liverseg.reading.upload import read_scan; read_scan(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(upload.__file__).parents[2],
    )
    assert done.returncode == 0
    assert CANARY not in done.stdout + done.stderr


def test_nothing_is_left_open_or_on_disk(tmp_path, monkeypatch):
    path = zipped(write(series(3), tmp_path / "scan"), tmp_path / "scan.zip")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    opened = []
    plain_open = io.open

    def remembering(*args, **kwargs):
        stream = plain_open(*args, **kwargs)
        opened.append(stream)
        return stream

    monkeypatch.setattr(io, "open", remembering)
    read_scan(path)
    assert opened
    assert all(stream.closed for stream in opened)
    assert not list(scratch.iterdir())


# ---------------------------------------------------------------- real files


IRCAD = "ircad_01_PATIENT_DICOM.zip", (129, 512, 512), (1.6, 0.57, 0.57), 2_865_131
TOTALSEG = "totalseg_20_dicom.zip", (20, 512, 512), (2.0, 0.9766, 0.9766), 366_708
DCMQI = "dcmqi_ct3", (3, 512, 512), (1.0, 0.8105, 0.8105), 107_098


@pytest.mark.parametrize(
    ("scan", "shape", "spacing", "liver_voxels", "truth"),
    [
        (*IRCAD, "ircad_01_liver.nii.gz"),
        (*IRCAD, "ircad_01_MASKS_DICOM_liver.zip"),
        (*TOTALSEG, "totalseg_20_liver.nii.gz"),
        (*DCMQI, "dcmqi_ct3/liver_seg.dcm"),
    ],
)
def test_real_uploads(uploads, scan, shape, spacing, liver_voxels, truth):
    volume = read_scan(uploads / scan)
    assert volume.shape == shape
    assert volume.spacing == pytest.approx(spacing, abs=1e-4)
    assert np.count_nonzero(read_truth(uploads / truth, volume).liver) == liver_voxels


def test_the_real_masks_dropped_as_the_scan_are_refused(uploads):
    with pytest.raises(NotAScan, match="masks"):
        read_scan(uploads / "ircad_01_MASKS_DICOM_liver.zip")
    with pytest.raises(NotAScan, match="mask"):
        read_scan(uploads / "ircad_01_liver.nii.gz")

"""NRRD, MetaImage and MGH: what SimpleITK and nibabel write lies where they say, or is refused."""

import bz2
import gzip
import tracemalloc

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from liverseg.errors import BrokenFile, NotAScan, TooLarge, TruthMismatch, UploadError
from liverseg.page.uploads import Upload
from liverseg.reading.upload import read_scan, read_truth
from liverseg.volume import LIVER, TUMOR
from tests.helpers.make_dicom import body

SPACING_MM = (0.7, 0.8, 5.0)  # x, y, z
ORIGIN_MM = (-100.0, -200.0, -50.0)
SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
TURN = np.radians(4)
DIRECTIONS = {
    "LPS": np.eye(3),
    "RAS": np.diag([-1.0, -1.0, 1.0]),
    "left-handed": np.diag([1.0, 1.0, -1.0]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "oblique": np.array(
        [[np.cos(TURN), -np.sin(TURN), 0], [np.sin(TURN), np.cos(TURN), 0], [0, 0, 1]]
    ),
}


def hu(count: int = 6) -> np.ndarray:
    """(z, y, x) int16 HU in LPS."""
    return np.stack([body(k, (60, 40)) for k in range(count)])


def image(array: np.ndarray, direction: np.ndarray = DIRECTIONS["LPS"]) -> sitk.Image:
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(SPACING_MM)
    made.SetOrigin(ORIGIN_MM)
    made.SetDirection(direction.ravel().tolist())
    return made


def save(made: sitk.Image, path, packed: bool = False):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(made, path, useCompression=packed)
    return path.parent


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_voxel_lies_where_simpleitk_puts_it(tmp_path, suffix, packed, name):
    array = hu() if name != "coronal" else np.ascontiguousarray(hu(60)[:, :40])
    made = image(array, DIRECTIONS[name])
    volume = read_scan(save(made, tmp_path / f"scan{suffix}", packed))
    assert volume.notices == ()
    assert volume.hu.size == array.size
    for voxel in ((0, 0, 0), (2, 30, 10), (5, 1, 39)):
        k, j, i = voxel
        place = made.TransformIndexToPhysicalPoint((i, j, k))
        found = np.linalg.inv(volume.source.affine) @ (*place, 1)
        x, y, z = np.rint(found[:3]).astype(int)
        assert np.allclose(volume.source.affine @ (x, y, z, 1), (*place, 1), atol=0.1)
        assert volume.hu[z, y, x] == np.clip(array[voxel], -1024, 3071)


def test_a_tilted_scan_keeps_its_shear(tmp_path):
    """ITK writes none; these are other programs' files."""
    header = (
        "NRRD0005\ntype: int16\ndimension: 3\nspace: left-posterior-superior\nsizes: {} {} {}\n"
        "space directions: (0.7,0,0) (0,0.8,0) (0,1,5)\nspace origin: (-100,-200,-50)\n"
        "encoding: raw\nendian: little\n\n"
    )
    path = tmp_path / "scan.nrrd"
    path.write_bytes(header.format(*hu().shape[::-1]).encode() + hu().tobytes())
    volume = read_scan(path)
    assert volume.source.affine[:3, 2] == pytest.approx((0, 1, 5))
    assert volume.source.affine[:3, 3] == pytest.approx(ORIGIN_MM)
    assert [said.code for said in volume.notices] == ["geometry.tilted"]


@pytest.mark.parametrize("space", ["right-anterior-superior", "left-anterior-superior", "LPS"])
def test_nrrd_spaces_are_turned_to_lps(tmp_path, space):
    signs = {"right-anterior-superior": (-1, -1, 1), "left-anterior-superior": (1, -1, 1)}
    header = (
        f"NRRD0004\n# a comment\ntype: short\ndimension: 3\nspace: {space}\nsizes: 40 60 6\n"
        "space directions: (0.7,0,0) (0,0.8,0) (0,0,5)\nspace origin: (1,2,3)\n"
        "kinds: domain domain domain\nencoding: raw\nendian: big\n\n"
    )
    path = tmp_path / "scan"
    array = hu()
    path.write_bytes(header.encode() + array.astype(">i2").tobytes())
    volume = read_scan(path)
    x, y, z = signs.get(space, (1, 1, 1))
    found = (np.linalg.inv(volume.source.affine) @ (x * 1, y * 2, z * 3, 1))[:3]
    i, j, k = np.rint(found).astype(int)
    assert np.allclose(found, (i, j, k), atol=1e-6)
    assert volume.hu[k, j, i] == array[0, 0, 0]


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_stored_types_become_hu(tmp_path, suffix, dtype):
    volume = read_scan(save(image(hu().astype(dtype)), tmp_path / f"scan{suffix}"))
    assert np.array_equal(volume.hu, hu())


@pytest.mark.parametrize("packed", [False, True])
def test_mgh_lies_where_nibabel_puts_it(tmp_path, packed):
    affine = np.array([[-0.7, 0, 0, 100], [0, 0, 5.0, -20], [0, -0.8, 0, 30], [0, 0, 0, 1]])
    array = np.ascontiguousarray(hu(6).transpose(2, 1, 0)).astype(np.int16)
    made = nibabel.MGHImage(array, affine)
    nibabel.save(made, tmp_path / ("scan.mgz" if packed else "scan.mgh"))
    volume = read_scan(tmp_path)
    assert volume.kind == "mgh"
    for voxel in ((0, 0, 0), (11, 30, 4)):
        place = np.diag([-1, -1, 1, 1]) @ affine @ (*voxel, 1)
        x, y, z = np.rint((np.linalg.inv(volume.source.affine) @ place)[:3]).astype(int)
        assert np.allclose(volume.source.affine @ (x, y, z, 1), place, atol=0.1)
        assert volume.hu[z, y, x] == array[voxel]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_mask_in_any_of_the_formats_lies_on_its_scan(tmp_path, suffix):
    save(image(hu()), tmp_path / "scan" / "scan.nrrd")
    labels = np.zeros(hu().shape, np.uint8)
    labels[1:4, 10:30, 5:25], labels[2, 15:20, 10:14] = LIVER, TUMOR
    save(image(labels[::-1].copy(), np.diag([1.0, 1.0, 1.0])), tmp_path / "truth" / f"mask{suffix}")
    truth = read_truth(tmp_path / "truth", read_scan(tmp_path / "scan"))
    assert np.array_equal(truth.labels, labels[::-1])
    assert truth.notices == ()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha", ".mgh"])
def test_a_file_that_was_packed_again_is_read(tmp_path, suffix, times):
    if suffix == ".mgh":
        array = hu().transpose(2, 1, 0).astype(np.int16)
        content = nibabel.MGHImage(array, np.diag([-0.7, -0.8, 5.0, 1.0])).to_bytes()
    else:
        folder = save(image(hu()), tmp_path / "one" / f"scan{suffix}")
        content = (folder / f"scan{suffix}").read_bytes()
    for _ in range(times):
        content = gzip.compress(content)
    (tmp_path / "packed").write_bytes(content)
    assert np.array_equal(read_scan(tmp_path / "packed").hu, hu())


# ---------------------------------------------------------------- voxels in another file

NRRD = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: {sizes}
space directions: (0.7,0,0) (0,0.8,0) (0,0,5)
space origin: (0,0,0)
encoding: {encoding}
endian: little
{more}
"""
MHD = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 0 0 0
ElementSpacing = {spacing}
DimSize = {sizes}
ElementType = {type}
{more}
ElementDataFile = {data}
"""


def sizes(array: np.ndarray) -> str:
    return " ".join(map(str, array.shape[::-1]))


def nhdr(data: str, **changes) -> str:
    fields = {"sizes": sizes(hu()), "encoding": "raw", "more": ""} | changes
    return NRRD.format(**fields | {"more": f"{fields['more']}\ndata file: {data}".strip()})


def mhd(data: str, **changes) -> str:
    fields = {"sizes": sizes(hu()), "spacing": "0.7 0.8 5", "type": "MET_SHORT", "more": ""}
    return MHD.format(**fields | changes, data=data).replace("\n\n", "\n")


DETACHED = {"scan.nhdr": nhdr, "scan.mhd": mhd}


@pytest.mark.parametrize("name", DETACHED)
def test_voxels_are_found_beside_their_header_or_by_their_name(tmp_path, name):
    beside, apart = tmp_path / "beside", tmp_path / "apart"
    for header, data in ((beside, beside), (apart / "1", apart / "2")):
        header.mkdir(parents=True)
        data.mkdir(exist_ok=True)
        (header / name).write_text(DETACHED[name]("the scan.raw"))
        (data / "the scan.raw").write_bytes(hu().tobytes())
    for folder in (beside, apart):
        volume = read_scan(folder)
        assert np.array_equal(volume.hu, hu())
        assert volume.notices == ()  # nothing was left out


@pytest.mark.parametrize("name", DETACHED)
def test_voxels_are_found_by_the_name_that_the_page_gave_their_file(tmp_path, name):
    """It numbers headers and puts _ for letters that could harm."""
    told = ["CT (1) Bauch & Leber.raw", "scan" + "x" * 150 + ".raw", "ct.raw"]
    for k, data in enumerate(told):
        files = {f"0000{k}.{name[-3:]}": DETACHED[name](data).encode(), data: hu().tobytes()}
        paths = []
        for number, content in enumerate(files.values()):
            paths.append(tmp_path / f"arrived{k}_{number}")
            paths[-1].write_bytes(content)
        upload = Upload(paths, list(files))
        upload.move_to(tmp_path / f"folder{k}")
        assert np.array_equal(read_scan(tmp_path / f"folder{k}").hu, hu())


@pytest.mark.parametrize("name", DETACHED)
def test_of_two_files_with_the_name_the_one_beside_the_header_counts(tmp_path, name):
    for folder, values in (("a", hu()), ("b", hu() + 7)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ct.raw").write_bytes(values.tobytes())
    (tmp_path / "b" / name).write_text(DETACHED[name]("./ct.raw"))
    assert np.array_equal(read_scan(tmp_path).hu, np.clip(hu() + 7, -1024, 3071))
    (tmp_path / "b" / "ct.raw").rename(tmp_path / "c.raw")
    (tmp_path / "c.raw").rename(tmp_path / "ct.raw")
    with pytest.raises(BrokenFile) as refusal:
        read_scan(tmp_path)
    assert refusal.value.code == "volume_file.data_missing"


@pytest.mark.parametrize("name", DETACHED)
@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("/etc/passwd", "volume_file.data_elsewhere"),
        ("../ct.raw", "volume_file.data_elsewhere"),
        ("sub/../../ct.raw", "volume_file.data_elsewhere"),
        ("..\\ct.raw", "volume_file.data_elsewhere"),
        ("C:\\ct.raw", "volume_file.data_elsewhere"),
        ("\\\\server\\ct.raw", "volume_file.data_elsewhere"),
        ("file:///etc/passwd", "volume_file.data_elsewhere"),
        ("~/ct.raw", "volume_file.data_elsewhere"),
        ("x" * 5000, "volume_file.data_elsewhere"),
        ("LIST", "volume_file.data_in_parts"),
        ("LIST 2", "volume_file.data_in_parts"),
        ("ct%03d.raw 1 6 1", "volume_file.data_in_parts"),
        ("%s%s%s%n", "volume_file.data_in_parts"),
        ("other.raw", "volume_file.data_missing"),
    ],
)
def test_voxels_outside_the_upload_are_never_read(tmp_path, name, data, code):
    folder = tmp_path / "upload"
    folder.mkdir()
    (tmp_path / "ct.raw").write_bytes(hu().tobytes())
    (folder / "ct001.raw").write_bytes(hu().tobytes())
    (folder / name).write_text(DETACHED[name](data))
    for read in (read_scan, lambda path: read_truth(path, truth_scan(tmp_path))):
        with pytest.raises(UploadError) as refusal:
            read(folder)
        assert refusal.value.code == code


def truth_scan(tmp_path):
    return read_scan(save(image(hu()), tmp_path / "scan" / "scan.mha"))


@pytest.mark.parametrize("name", DETACHED)
def test_a_link_as_the_file_of_voxels_is_not_followed(tmp_path, name):
    folder = tmp_path / "upload"
    folder.mkdir()
    (tmp_path / "ct.raw").write_bytes(hu().tobytes())
    (folder / "ct.raw").symlink_to(tmp_path / "ct.raw")
    (folder / name).write_text(DETACHED[name]("ct.raw"))
    with pytest.raises(BrokenFile) as refusal:
        read_scan(folder)
    assert refusal.value.code == "volume_file.data_missing"


def test_skipped_bytes_and_other_compressions(tmp_path):
    raw = hu().tobytes()
    cases = {
        "skip.nhdr": (nhdr("a.raw", more="byte skip: 100"), "a.raw", bytes(100) + raw),
        "end.nhdr": (nhdr("b.raw", more="byteskip: -1"), "b.raw", bytes(77) + raw),
        "lines.nhdr": (nhdr("c.raw", more="line skip: 2"), "c.raw", b"one\ntwo\n" + raw),
        "bzip2.nhdr": (nhdr("d.raw", encoding="bzip2"), "d.raw", bz2.compress(raw)),
        "gzip.nhdr": (nhdr("e.gz", encoding="gzip"), "e.gz", gzip.compress(raw)),
        "skip.mhd": (mhd("f.raw", more="HeaderSize = 100"), "f.raw", bytes(100) + raw),
        "end.mhd": (mhd("g.raw", more="HeaderSize = -1"), "g.raw", bytes(9) + raw),
    }
    for name, (header, data, content) in cases.items():
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_text(header)
        (folder / data).write_bytes(content)
        assert np.array_equal(read_scan(folder).hu, hu()), name


# ---------------------------------------------------------------- hostile headers


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (NRRD.format(sizes="10000 10000 10000", encoding="gzip", more=""), TooLarge),
        (NRRD.format(sizes="1000000000000 1 1", encoding="raw", more=""), TooLarge),
        (NRRD.format(sizes="-5 40 6", encoding="raw", more=""), BrokenFile),
        (NRRD.format(sizes="0 40 6", encoding="raw", more=""), BrokenFile),
        (NRRD.format(sizes="40 40", encoding="raw", more=""), BrokenFile),
        (NRRD.format(sizes="9" * 5000, encoding="raw", more=""), BrokenFile),
        (NRRD.format(sizes="40 40 6", encoding="ascii", more=""), NotAScan),
        (NRRD.format(sizes="40 40 6", encoding="raw", more="byte skip: 99999999999"), BrokenFile),
        (NRRD.format(sizes="40 40 6", encoding="raw", more="line skip: -7"), BrokenFile),
        (NRRD.format(sizes="40 40 6", encoding="raw", more="byte skip: -1"), BrokenFile),
        (NRRD.format(sizes="40 40 6", encoding="raw", more="x: y\n" * 300_000), BrokenFile),
        ("NRRD0004\n" + "a" * 2_000_000, BrokenFile),
        (NRRD.replace("short", "block").format(sizes="4 4 6", encoding="raw", more=""), NotAScan),
        (mhd("LOCAL", sizes="10000 10000 10000"), TooLarge),
        (mhd("LOCAL", sizes="40 40"), BrokenFile),
        (mhd("LOCAL", sizes="40 40 -6"), BrokenFile),
        (mhd("LOCAL", type="MET_STRING"), NotAScan),
        (mhd("LOCAL", type="MET_FLOAT_ARRAY"), NotAScan),
        (mhd("LOCAL", more="ElementNumberOfChannels = 3"), NotAScan),
        (mhd("LOCAL", spacing="0.7"), BrokenFile),
        (mhd("LOCAL", more="HeaderSize = -1"), BrokenFile),
        (mhd("LOCAL", more="Comment = " + "a" * 2_000_000), BrokenFile),
        (mhd("LOCAL"), BrokenFile),  # no voxels
        ("ObjectType = Image\nNDims = 99999999999999999999\nDimSize = 1\n", BrokenFile),
    ],
)
def test_an_impossible_header_is_refused_before_memory_is_taken(tmp_path, content, error):
    (tmp_path / "scan").write_text(content)
    tracemalloc.start()
    try:
        with pytest.raises(error):
            read_scan(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [True, False])
def test_a_gzip_bomb_behind_a_header_is_not_inflated(tmp_path, packed):
    bomb = gzip.compress(bytes(100_000_000), 9)
    header = NRRD.format(sizes="700 700 700", encoding="gzip" if packed else "raw", more="")
    content = header.encode() + (bomb if packed else b"")
    (tmp_path / "scan").write_bytes(content if packed else gzip.compress(content + bytes(10**8)))
    tracemalloc.start()
    try:
        with pytest.raises(BrokenFile) as refusal:
            read_scan(tmp_path)
        assert refusal.value.code == "volume_file.less_than_announced"
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("spacing", ["0 0.8 5", "nan 0.8 5", "1e308 1 1", "inf 1 1"])
def test_an_impossible_spacing_is_said(tmp_path, spacing):
    header = mhd("LOCAL", spacing=spacing)
    (tmp_path / "scan.mha").write_bytes(header.encode() + hu().tobytes())
    volume = read_scan(tmp_path)
    assert volume.spacing is None
    assert "volume_file.no_voxel_size" in [said.code for said in volume.notices]


def test_a_header_without_a_place_is_said(tmp_path):
    header = NRRD.format(sizes=sizes(hu()), encoding="raw", more="").replace(
        "space: left-posterior-superior\n", ""
    )
    lines = [line for line in header.split("\n") if not line.startswith("space")]
    content = "\n".join([*lines[:-2], "spacings: 0.7 0.8 5", "", ""])
    (tmp_path / "scan.nrrd").write_bytes(content.encode() + hu().tobytes())
    volume = read_scan(tmp_path)
    assert volume.spacing == pytest.approx(SPACING_MM[::-1])
    assert volume.source.affine is None
    assert [said.code for said in volume.notices] == ["volume_file.orientation_guessed"]


def test_several_volumes_and_colors_are_refused(tmp_path):
    colors = sitk.GetImageFromArray(np.zeros((4, 20, 20, 3), np.uint8), isVector=True)
    over_time = sitk.JoinSeries([image(hu()), image(hu())])
    for name, made in (("colors", colors), ("time", over_time)):
        for suffix in (".nrrd", ".mha"):
            folder = save(made, tmp_path / f"{name}{suffix[1:]}" / f"scan{suffix}")
            with pytest.raises(NotAScan) as refusal:
                read_scan(folder)
            assert refusal.value.code in ("volume_file.several_volumes", "volume_file.no_numbers")


# ---------------------------------------------------------------- 3D Slicer's segmentations

SLICER = """NRRD0004
type: unsigned char
dimension: {dimension}
space: left-posterior-superior
sizes: {sizes}
space directions: {none}(0.7,0,0) (0,0.8,0) (0,0,5)
kinds: {list}domain domain domain
encoding: gzip
space origin: (-100,-200,-50)
{segments}

"""
TAGS = (
    "Segment{n}_Tags:=Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and "
    "type - 3D Slicer General Anatomy list~SCT^85756007^Tissue~{type}~^^~Anatomic codes - DICOM "
    "master list~{region}~^^|"
)


def seg_nrrd(planes: np.ndarray, segments: list[tuple[str, int, int]], tags: str = "") -> bytes:
    """As Slicer writes it.

    Args:
        planes: (layers, z, y, x) uint8.
        segments: name, layer and value of each.
        tags: more lines.
    """
    lines = []
    for n, (name, layer, value) in enumerate(segments):
        lines += [f"Segment{n}_Name:={name}", f"Segment{n}_LabelValue:={value}"]
        lines += [f"Segment{n}_Layer:={layer}", f"Segment{n}_ID:=Segment_{n + 1}"]
    several = len(planes) > 1
    shape = planes.shape if several else planes.shape[1:]
    header = SLICER.format(
        dimension=len(shape),
        sizes=" ".join(
            map(str, (*shape[:0:-1], shape[0]) if not several else (shape[0], *shape[:0:-1]))
        )
        if several
        else " ".join(map(str, shape[::-1])),
        none="none " if several else "",
        list="list " if several else "",
        segments="\n".join([*lines, tags]).strip(),
    )
    voxels = np.moveaxis(planes, 0, -1) if several else planes[0]
    return header.encode() + gzip.compress(np.ascontiguousarray(voxels).tobytes())


@pytest.fixture
def scan(tmp_path):
    return truth_scan(tmp_path)


@pytest.fixture
def parts(scan):
    """Masks of a liver, a tumor in it and a spleen, (z, y, x) bool."""
    liver, tumor, spleen = (np.zeros(scan.shape, bool) for _ in range(3))
    liver[1:4, 10:30, 5:20], tumor[2, 15:20, 10:14], spleen[2:4, 20:30, 30:38] = True, True, True
    return liver, tumor, spleen


def read_segments(tmp_path, scan, content: bytes):
    (tmp_path / "truth").mkdir(exist_ok=True)
    (tmp_path / "truth" / "Segmentation.seg.nrrd").write_bytes(content)
    return read_truth(tmp_path / "truth", scan)


@pytest.mark.parametrize("overlap", [False, True])
def test_segments_of_slicer_go_by_their_names(tmp_path, scan, parts, overlap):
    liver, tumor, spleen = parts
    if overlap:
        planes = np.stack([liver * 1 + spleen * 2, tumor * 1]).astype(np.uint8)
        named = [("Leber", 0, 1), ("Milz", 0, 2), ("Metastase 1", 1, 1)]
    else:
        planes = (np.where(tumor, 3, liver * 5) + spleen * 1)[None].astype(np.uint8)
        named = [("spleen", 0, 1), ("tumor", 0, 3), ("liver", 0, 5)]
    truth = read_segments(tmp_path, scan, seg_nrrd(planes, named))
    assert np.array_equal(truth.liver, liver)
    assert np.array_equal(truth.tumor, tumor)
    assert [said.code for said in truth.notices] == ["truth.others_ignored"]


def test_a_terminology_of_slicer_counts_before_the_name(tmp_path, scan, parts):
    liver, tumor, _ = parts
    planes = (liver * 1 + tumor * 1)[None].astype(np.uint8)
    tags = [
        TAGS.format(n=0, type="SCT^10200004^Liver", region="^^"),
        TAGS.format(n=1, type="SCT^4147007^Mass", region="SCT^10200004^Liver"),
    ]
    content = seg_nrrd(planes, [("A", 0, 1), ("B", 0, 2)], "\n".join(tags))
    truth = read_segments(tmp_path, scan, content)
    assert np.array_equal(truth.liver, liver)
    assert np.array_equal(truth.tumor, tumor)


def test_one_segment_without_a_name_of_its_own_is_the_liver(tmp_path, scan, parts):
    truth = read_segments(
        tmp_path, scan, seg_nrrd(parts[0][None].astype(np.uint8), [("Segment_1", 0, 1)])
    )
    assert np.array_equal(truth.liver, parts[0])
    assert "truth.unnamed" in [said.code for said in truth.notices]


def test_segments_that_are_neither_liver_nor_tumor_are_refused(tmp_path, scan, parts):
    content = seg_nrrd(parts[2][None].astype(np.uint8), [("spleen", 0, 1)])
    with pytest.raises(TruthMismatch) as refusal:
        read_segments(tmp_path, scan, content)
    assert refusal.value.code == "truth.seg_without_liver"
    with pytest.raises(NotAScan) as refusal:
        read_scan(tmp_path / "truth")
    assert refusal.value.code == "volume_file.mask_not_scan"

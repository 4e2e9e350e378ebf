"""Nothing identifying leaves the headers and names of an upload, and nothing leaves the machine.

Every text element of a DICOM header, and every name of a file or folder, holds a canary: a word of
its own that is then searched for in all that the page shows, answers, logs and leaves on the disk.
"""

import gzip
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pydicom
import pytest
from gradio_client import Client, exceptions, handle_file
from playwright.sync_api import expect, sync_playwright
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset

from liverseg.phantom import make_phantom
from liverseg.phantom.files import write_dicom, write_ircadb_masks
from tests.helpers.browser import open_browser
from tests.helpers.page_server import ROOT, files_below, served_apart, wait_until

pytestmark = pytest.mark.slow

CANARY = "canary"
OFFLINE = Path(__file__).resolve().parent / "offline"
SHAPE = (12, 96, 96)
PATIENCE_MS = 60_000

TEXT = ("PN", "LO", "SH", "LT", "ST", "UT")
WHO_AND_WHERE = (0x0008, 0x0010, 0x0032, 0x0038, 0x0040)  # groups: study, patient, visit, request
MEANT_FOR_READING = ("RescaleType", "SpecificCharacterSet")


def plant(dataset: Dataset) -> None:
    """Writes canaries into every text element, a private one and one in a sequence."""
    for tag, (vr, multiplicity, *_) in DicomDictionary.items():
        if tag >> 16 in WHO_AND_WHERE and vr in TEXT and multiplicity == "1":
            dataset.add_new(tag, vr, "")
    for element in dataset:
        if element.VR in TEXT and element.keyword not in MEANT_FOR_READING:
            element.value = f"{CANARY}{element.tag:08x}"
    block = dataset.private_block(0x0099, f"{CANARY} private", create=True)
    block.add_new(1, "LO", f"{CANARY} private value")
    nested = Dataset()
    nested.PatientName = f"{CANARY}^nested"
    dataset.OtherPatientIDsSequence = [nested]


LISTEN = """window.heard = [];
const ask = window.fetch;
window.fetch = async (...request) => {
  const answer = await ask(...request);
  const reader = answer.clone().body?.pipeThrough(new TextDecoderStream()).getReader();
  (async () => {
    for (let part; reader && !(part = await reader.read()).done; ) window.heard.push(part.value);
  })().catch(() => {});
  return answer;
};"""  # the answers of the queue are streams without an end, whose body the browser does not give


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    """A folder with zips full of canaries: a scan, its masks, and one that is refused."""
    folder = tmp_path_factory.mktemp("upload")
    volume, truth = make_phantom(3, shape=SHAPE)
    paths = write_dicom(volume, folder / "scan")
    masks = write_ircadb_masks(truth, volume, folder / "truth")
    for path in [*paths, *(path for path in masks.rglob("*") if path.is_file())]:
        dataset = pydicom.dcmread(path)
        plant(dataset)
        dataset.save_as(path)
    mr = pydicom.dcmread(paths[0])
    mr.Modality = "MR"
    broken = io.BytesIO()
    mr.save_as(broken)
    zipped(folder / f"{CANARY}-scan.zip", {f"{CANARY}/{p.name}": p.read_bytes() for p in paths})
    zipped(
        folder / f"{CANARY}-truth.zip",
        {
            f"{CANARY}/{path.relative_to(masks.parent)}": path.read_bytes()
            for path in masks.rglob("*")
            if path.is_file()
        },
    )
    zipped(
        folder / f"{CANARY}-refused.zip",
        {f"{CANARY}.dcm": broken.getvalue(), f"{CANARY}2": broken.getvalue()[:2000]},
    )
    return folder


def zipped(path, contents):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page in a process that can reach no other machine."""
    folder = tmp_path_factory.mktemp("apart")
    with served_apart(folder, PYTHONPATH=str(OFFLINE)) as served:
        yield served


def test_the_header_of_the_test_is_full_of_canaries(uploads):
    header = pydicom.dcmread(next((uploads / "scan").iterdir()))
    found = [element for element in header if CANARY in str(element.value).lower()]
    assert len(found) > 100
    assert {"PatientName", "InstitutionName"} <= {element.keyword for element in found}


def test_a_visit_emits_and_leaves_no_canary_and_asks_no_other_machine(served, uploads, tmp_path):
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        page = browser.new_page(accept_downloads=True)
        page.set_default_timeout(PATIENCE_MS)
        answers, addresses = [], []
        page.add_init_script(LISTEN)
        page.on("response", lambda answer: answers.append(answer))
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(served.url)
        page.set_input_files("#scan input.files", str(uploads / f"{CANARY}-refused.zip"))
        expect(page.locator("#scan .refused")).to_be_visible(timeout=PATIENCE_MS)
        refused = page.content()
        page.set_input_files("#scan input.files", str(uploads / f"{CANARY}-scan.zip"))
        expect(page.locator("#scan .ready")).to_be_visible(timeout=PATIENCE_MS)
        page.set_input_files("#truth input.files", str(uploads / f"{CANARY}-truth.zip"))
        expect(page.locator("#truth .ready")).to_be_visible(timeout=PATIENCE_MS)
        page.click("#segment")
        expect(page.locator('.lv[data-phase="result"]')).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator("#numbers .group")).to_have_count(2, timeout=PATIENCE_MS)
        taken = take_away(page, tmp_path)
        heard = page.evaluate("heard.join('')")
        emitted = [refused, page.content(), heard, *map(body, answers)]
        left = [content(path) for path in files_below(served.scratch)]
        names = [str(path) for path in served.scratch.rglob("*")]
        browser.close()
    assert len(answers) > 20 and len(left) > 3 and "process_completed" in heard
    assert sorted(taken) == [
        "measurements.csv",
        "report.html",
        "report.json",
        "segmentation.nii.gz",
    ]
    for text in [*emitted, *taken.values(), *left, *names, served.log.read_text()]:
        assert CANARY not in text.lower()
    assert all(one.startswith((served.url, "data:", "blob:")) for one in addresses)
    assert "OFFLINE" not in served.log.read_text()


def take_away(page, folder):
    """Every anonymous file that the page offers, by name."""
    page.locator("#results").get_by_role("tab", name="Downloads").click()
    files = {}
    for kind in ("nifti", "csv", "json", "html"):
        with page.expect_download() as download:
            page.click(f"#files button[data-kind={kind}]")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        files[path.name] = content(path)
    return files


def body(answer) -> str:
    """An answer's headers and, where it has an end, its body as text."""
    headers = answer.all_headers()
    if "text/event-stream" in headers.get("content-type", "") or "attachment" in str(headers):
        return str(headers)
    return f"{headers} {text(answer.body())}"


def content(path) -> str:
    return text(path.read_bytes())


def text(content: bytes) -> str:
    content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    return content.decode("latin-1")


def test_the_endpoint_answers_without_a_canary(served, uploads):
    client = Client(served.url, verbose=False)
    scan, truth = (handle_file(uploads / f"{CANARY}-{name}.zip") for name in ("scan", "truth"))
    report, labels = client.predict([scan], [truth], None, api_name="/segment")
    assert CANARY not in str(report).lower()
    assert CANARY not in content(Path(labels))
    with pytest.raises(exceptions.AppError) as refused:
        refused_zip = handle_file(uploads / f"{CANARY}-refused.zip")
        client.predict([refused_zip], None, None, api_name="/segment")
    assert CANARY not in str(refused.value).lower()
    for path in files_below(served.scratch):
        assert CANARY not in content(path) and CANARY not in str(path)
    assert CANARY not in served.log.read_text()


def test_the_networks_report_to_nobody(tmp_path):
    """ONNX Runtime keeps a device id and a queue of events for its maker, unless told not to."""
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    program = (
        "from liverseg.phantom import make_phantom\n"
        "from liverseg import segment\n"
        f"segment(make_phantom(3, shape={SHAPE})[0])\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=environment)
    assert not [path for path in tmp_path.rglob("*") if "onnx" in str(path).lower()]


def test_uploads_are_gone_as_soon_as_they_are_read(served, uploads):
    client = Client(served.url, verbose=False)
    client.predict([handle_file(uploads / f"{CANARY}-scan.zip")], None, None, api_name="/segment")

    def uploaded():
        return [path for path in files_below(served.scratch) if path.suffix in (".zip", ".dcm")]

    wait_until(lambda: not uploaded(), 5)

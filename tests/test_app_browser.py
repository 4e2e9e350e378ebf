"""The page in a real browser, as a visitor uses it."""

import csv
import json
import re
import threading
import time
import zipfile
from unittest import mock

import highdicom
import nibabel
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from liverseg import phantom
from liverseg.network.cascade import segment
from liverseg.page.synthetic_case import CONTRASTS_HU, SIZES_MM, SyntheticCase
from liverseg.phantom import make_phantom
from liverseg.phantom.files import write_dicom, write_ircadb_masks
from liverseg.reading.upload import read_scan, read_truth
from liverseg.scores.measurements import measure
from liverseg.scores.metrics import compare
from liverseg.volume import Segmentation
from liverseg.writing.labels import write_nifti
from tests.helpers.axe import grave_findings
from tests.helpers.page_server import files_below, served_here, slow_down, wait_until

pytestmark = pytest.mark.slow

SHAPE = (16, 128, 128)
LAPTOP = {"width": 1366, "height": 768}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with served_here(tmp_path_factory.mktemp("page")) as served:
        yield served


class Visitor:
    """A browser of its own with the page open; `problems` collects what must not happen."""

    def __init__(self, chromium, served, **settings):
        settings = {"viewport": LAPTOP, "accept_downloads": True, **settings}
        self.context = chromium.new_context(**settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.problems, self.addresses = [], []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda m: m.type == "error" and self.problems.append(m.text))
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.page.goto(served.url)
        expect(self.page.locator("#scan .hint")).to_be_visible(timeout=PATIENCE_MS)

    def give(self, box, *paths, kind="files"):
        self.page.set_input_files(f"#{box} input.{kind}", [str(path) for path in paths])

    def open_scan(self, *paths, **how):
        self.give("scan", *paths, **how)
        expect(self.page.locator("#scan .ready")).to_be_visible(timeout=PATIENCE_MS)

    def open_truth(self, *paths, **how):
        self.give("truth", *paths, **how)
        expect(self.page.locator("#truth .ready")).to_be_visible(timeout=PATIENCE_MS)

    def segment(self):
        self.page.click("#segment")
        self.wait_for_result()

    def wait_for_result(self):
        expect(self.page.locator('.lv[data-phase="result"]')).to_be_visible(timeout=PATIENCE_MS)
        expect(self.page.locator("#numbers .group").first).to_be_visible(timeout=PATIENCE_MS)

    def number(self, row, column):
        """A cell of the page's table."""
        name = self.page.locator("#numbers th[scope=row]", has_text=re.compile(f"^{row}$"))
        return name.locator("xpath=..").locator("td").nth(column).inner_text()

    def tab(self, name):
        wanted = self.page.locator("#results").get_by_role("tab", name=name)
        if not wanted.count():  # on a phone it is behind the dots
            self.page.click("#results .overflow-menu > button")
            wanted = self.page.locator("#results .overflow-dropdown button", has_text=name)
        wanted.click()


@pytest.fixture
def visitor(chromium, served):
    visitor = Visitor(chromium, served)
    yield visitor
    visitor.context.close()
    assert visitor.problems == []
    assert all(address.startswith((served.url, "data:", "blob:")) for address in visitor.addresses)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return written_case(tmp_path_factory.mktemp("case"), seed=3)


def written_case(folder, seed):
    """A folder with the scan's and the masks' files, and a zip of each."""
    volume, truth = make_phantom(seed, shape=SHAPE)
    write_dicom(volume, folder / "PATIENT_DICOM", extension="")
    write_ircadb_masks(truth, volume, folder)
    for name in ("PATIENT_DICOM", "MASKS_DICOM"):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            for file in sorted((folder / name).rglob("*")):
                archive.write(file, file.relative_to(folder))
    return folder


@pytest.fixture(scope="module")
def expected(case):
    """What the package says about the case."""
    volume = read_scan(case / "PATIENT_DICOM")
    truth = read_truth(case / "MASKS_DICOM", volume)
    return compare(segment(volume), truth, volume)


def test_a_scan_with_its_masks_shows_the_dice_that_the_package_computes(visitor, case, expected):
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    assert "16 slices, 128×128" in visitor.page.inner_text("#scan .status")
    visitor.open_truth(case / "MASKS_DICOM.zip")
    visitor.segment()
    dice = f"{expected.liver.dice:.3f}"
    expect(visitor.page.locator("[data-number=liver-dice-scan]")).to_have_text(dice)
    assert visitor.number("Dice", 0) == dice
    hd95 = f"{expected.liver.hd95_mm:.1f}"
    wait_until(lambda: visitor.page.wait_for_timeout(50) or visitor.number("HD95", 0) == hd95, 20)


def test_folders_work_too_and_the_truth_may_come_first(visitor, case, expected):
    visitor.open_truth(case / "MASKS_DICOM", kind="folder")
    assert "Received" in visitor.page.inner_text("#truth .status")
    visitor.open_scan(case / "PATIENT_DICOM", kind="folder")
    expect(visitor.page.locator("#truth .status")).to_contain_text("on the scan")
    visitor.segment()
    assert visitor.number("Dice", 0) == f"{expected.liver.dice:.3f}"


def test_masks_of_liver_and_tumors_may_be_two_nifti_files(visitor, case, expected, tmp_path):
    volume = read_scan(case / "PATIENT_DICOM")
    truth = read_truth(case / "MASKS_DICOM", volume)
    files = []
    for name, mask in (("liver", truth.liver), ("liver_tumor", truth.tumor)):
        write_nifti(Segmentation(mask.astype(np.uint8)), volume, tmp_path / f"{name}.nii.gz")
        files.append(tmp_path / f"{name}.nii.gz")
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.open_truth(*files)
    visitor.segment()
    for column, scores in enumerate((expected.liver, expected.tumor)):
        assert visitor.number("Dice", column) == f"{scores.dice:.3f}"


def test_a_truth_that_comes_after_the_result_is_scored_at_once(visitor, case, expected):
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.segment()
    assert visitor.page.locator("#numbers .group").count() == 1
    visitor.page.click("#another")
    visitor.open_truth(case / "MASKS_DICOM.zip")
    assert visitor.number("Dice", 0) == f"{expected.liver.dice:.3f}"


def test_the_synthetic_case_takes_one_click(visitor):
    visitor.page.fill("#seed input", "7")
    visitor.page.click("#synthetic")
    visitor.wait_for_result()
    assert float(visitor.number("Dice", 0)) > 0.5


def test_a_lesson_opens_a_synthetic_case_of_the_chosen_difficulty(visitor, monkeypatch):
    make, asked = phantom.make_phantom, []

    def small(*of, **how):
        asked.append((of, how))
        return make(*of, shape=SHAPE, **how)

    monkeypatch.setattr(phantom, "make_phantom", small)
    page = visitor.page
    page.click("#lv-tab-teach")
    page.click(".lv-menu [data-lesson=find]")
    page.fill("[name=lv-case]", "5")
    page.select_option("[name=lv-size]", "large")
    page.select_option("[name=lv-contrast]", "clear")
    page.click("[data-action=find-case]")
    words = "This is case 5: large tumors, clear."
    expect(page.locator(".lv-case")).to_have_text(words, timeout=PATIENCE_MS)
    expect(page.locator("#panel.open")).to_have_count(0)
    of, how = asked[0]
    assert of == (5,)
    assert how == {"diameter_mm": SIZES_MM["large"], "contrast_hu": CONTRASTS_HU["clear"]}
    page.click("[data-action=find-start]")
    expect(page.locator("#results")).to_be_hidden()
    page.click("[data-action=find-done]")
    expect(page.locator(".lv-outcome")).to_contain_text("missed")
    expect(page.locator("#results")).to_be_visible()
    page.click("[data-action=find-network]")
    expect(page.locator(".lv-network")).to_contain_text(
        re.compile("The network: .*(found|missed)"), timeout=PATIENCE_MS
    )
    expect(page.locator("[data-action=find-network]")).to_be_hidden()
    expect(page.locator(".lv-outcome")).to_contain_text("missed")


def test_what_is_refused_is_said_and_the_earlier_result_stays(visitor, case, tmp_path):
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.segment()
    before = visitor.page.inner_text("#numbers")
    visitor.page.click("#another")
    (tmp_path / "notes.txt").write_text("no scan")
    visitor.give("scan", tmp_path / "notes.txt")
    refused = visitor.page.locator("#scan .refused .status")
    expect(refused).to_contain_text("No CT images were found", timeout=PATIENCE_MS)
    expect(visitor.page.get_by_test_id("toast-text")).to_have_count(0)  # said once
    assert visitor.page.inner_text("#numbers") == before
    expect(visitor.page.locator('.lv[data-phase="result"]')).to_be_visible()


def test_a_truth_that_came_first_and_is_none_is_refused_and_the_scan_shown(visitor, case, tmp_path):
    (tmp_path / "notes.txt").write_text("no masks")
    visitor.open_truth(tmp_path / "notes.txt")  # kept, since there is no scan yet
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    refused = visitor.page.locator("#truth .refused .status")
    expect(refused).to_contain_text("No masks were found", timeout=PATIENCE_MS)
    expect(visitor.page.locator('.lv[data-phase="scan"]')).to_be_visible()
    visitor.segment()


def test_an_empty_case_number_is_the_first_case(visitor, monkeypatch):
    small, numbers = make_phantom(3, shape=SHAPE), []
    monkeypatch.setattr(SyntheticCase, "make", lambda case: numbers.append(case.number) or small)
    visitor.page.fill("#seed input", "")
    visitor.page.click("#synthetic")
    visitor.wait_for_result()
    assert numbers == [0]


def test_a_case_number_that_is_too_large_is_refused_and_the_next_one_opened(visitor, monkeypatch):
    small = make_phantom(3, shape=SHAPE)
    monkeypatch.setattr(SyntheticCase, "make", lambda case: small)
    visitor.page.fill("#seed input", "99999999999999999999")
    visitor.page.click("#synthetic")
    expect(visitor.page.get_by_test_id("toast-text")).to_contain_text("999999")
    expect(visitor.page.locator("#status .stage")).to_be_empty()
    visitor.page.fill("#seed input", "3")
    visitor.page.click("#synthetic")
    visitor.wait_for_result()


def test_a_closed_panel_is_no_stop_for_keys(visitor, case):
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.segment()
    expect(visitor.page.locator("#panel h2")).to_be_hidden()
    visitor.page.focus("#another")
    where = "document.activeElement.getBoundingClientRect().right"
    for _ in range(60):
        visitor.page.keyboard.press("Tab")
        assert visitor.page.evaluate(where) > 0


def test_the_page_asks_which_of_two_scans_it_shall_show(visitor, tmp_path):
    for seed, slices in ((1, 12), (2, 14)):
        volume, _ = make_phantom(seed, shape=(slices, 64, 64))
        write_dicom(volume, tmp_path / "both" / str(seed))
    visitor.give("scan", tmp_path / "both", kind="folder")
    choice = visitor.page.locator("#choice label", has_text="14 slices")
    choice.click(timeout=PATIENCE_MS)
    expect(visitor.page.locator("#scan .status")).to_contain_text("14 slices, 64×64")
    expect(visitor.page.locator("#choice")).to_be_hidden()


def test_the_page_asks_whether_masks_beside_slices_are_the_truth(visitor, tmp_path):
    volume, truth = make_phantom(3, shape=(6, 64, 64))
    gray = np.clip((volume.hu + 40) * 255 / 200, 0, 255).astype(np.uint8)
    for k in range(6):
        Image.fromarray(gray[k]).save(tmp_path / f"Anna_{k + 7}.png")
        Image.fromarray(truth.liver[k] * np.uint8(255)).save(tmp_path / f"Anna_{k + 7}_Maske.png")
    visitor.give("scan", *tmp_path.iterdir())
    expect(visitor.page.locator("#scan .status")).to_contain_text("6 slices, 64×64")
    expect(visitor.page.locator("#choice")).to_contain_text("Use the masks beside the scan")
    visitor.page.locator("#choice label", has_text="Use them").click()
    expect(visitor.page.locator("#truth .status")).to_contain_text("is on the scan")
    expect(visitor.page.locator("#choice")).to_be_hidden()


@pytest.fixture
def slow_networks(served, monkeypatch):
    """Slices given to the networks, each batch taking a quarter of a second longer."""
    return slow_down(served.service.engine, monkeypatch, 0.25)


def test_cancel_stops_the_work_and_brings_back_what_was_there(visitor, slow_networks, tmp_path):
    folder = written_case(tmp_path, seed=11)
    visitor.open_scan(folder / "PATIENT_DICOM.zip")
    visitor.page.click("#segment")
    expect(visitor.page.locator('.lv[data-phase="preview"]')).to_be_visible(timeout=PATIENCE_MS)
    visitor.page.click("#cancel")
    expect(visitor.page.locator('.lv[data-phase="scan"]')).to_be_visible(timeout=PATIENCE_MS)
    visitor.page.wait_for_timeout(400)
    done = len(slow_networks)
    visitor.page.wait_for_timeout(1000)
    assert len(slow_networks) == done < 2 * SHAPE[0]
    visitor.page.click("#another")
    visitor.segment()


def test_a_scan_that_is_opened_during_the_work_takes_the_place_of_the_last(
    visitor, slow_networks, tmp_path
):
    (tmp_path / "first").mkdir()
    folder = written_case(tmp_path / "first", seed=12)
    volume, _ = make_phantom(13, shape=(20, 128, 128))
    write_dicom(volume, tmp_path / "second")
    visitor.open_scan(folder / "PATIENT_DICOM.zip")
    visitor.page.click("#segment")
    expect(visitor.page.locator('.lv[data-phase="preview"]')).to_be_visible(timeout=PATIENCE_MS)
    visitor.page.click("#another")
    visitor.give("scan", tmp_path / "second", kind="folder")
    expect(visitor.page.locator("#scan .status")).to_contain_text("20 slices", timeout=PATIENCE_MS)
    expect(visitor.page.locator("#cancel")).to_be_hidden(timeout=PATIENCE_MS)
    expect(visitor.page.locator("#status .stage")).to_be_empty()
    expect(visitor.page.locator('.lv[data-phase="scan"]')).to_be_visible(timeout=PATIENCE_MS)
    expect(visitor.page.locator(".lv-slice")).to_contain_text("/ 20")
    expect(visitor.page.get_by_test_id("toast-text")).to_have_count(0)
    visitor.segment()
    expect(visitor.page.locator(".lv-slice")).to_contain_text("/ 20")


def test_a_truth_that_is_read_while_another_scan_is_opened_is_not_laid_on_that_one(
    visitor, served, case, tmp_path, monkeypatch
):
    read, held, may_go_on = served.service.readers.read_truth, threading.Event(), threading.Event()

    def slow(*about, wanted):
        held.set()
        may_go_on.wait(30)
        return read(*about, wanted=wanted)

    monkeypatch.setattr(served.service.readers, "read_truth", slow)
    volume, _ = make_phantom(13, shape=(20, 128, 128))
    write_dicom(volume, tmp_path / "second")
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.segment()
    visitor.page.click("#another")
    visitor.give("truth", case / "MASKS_DICOM.zip")
    wait_until(lambda: visitor.page.wait_for_timeout(20) or held.is_set(), 30)
    visitor.give("scan", tmp_path / "second", kind="folder")
    expect(visitor.page.locator("#scan .status")).to_contain_text("20 slices", timeout=PATIENCE_MS)
    may_go_on.set()
    expect(visitor.page.locator('.lv[data-phase="scan"]')).to_be_visible(timeout=PATIENCE_MS)
    visitor.page.wait_for_timeout(300)
    expect(visitor.page.locator("#numbers .group")).to_have_count(0)
    expect(visitor.page.locator("#truth .status")).not_to_contain_text("on the scan")
    expect(visitor.page.get_by_test_id("toast-text")).to_have_count(0)


def test_truth_and_scan_can_be_removed(visitor, case):
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.open_truth(case / "MASKS_DICOM.zip")
    expect(visitor.page.locator(".lv-name")).to_have_text("CT, 16 slices")
    visitor.page.click("#clear-truth")
    expect(visitor.page.locator("#clear-truth")).to_be_hidden(timeout=PATIENCE_MS)
    expect(visitor.page.locator("#truth .status")).to_be_empty()
    expect(visitor.page.locator("[data-layer=truth] button")).to_be_disabled()
    visitor.page.click("#clear-scan")
    expect(visitor.page.locator('.lv[data-phase="empty"]')).to_be_visible(timeout=PATIENCE_MS)
    expect(visitor.page.locator("#scan .status")).to_be_empty()
    expect(visitor.page.locator("#segment")).to_be_disabled()
    visitor.open_scan(case / "PATIENT_DICOM.zip")


def test_who_waits_sees_a_place_in_the_queue_in_our_words(
    chromium, served, slow_networks, tmp_path
):
    ann, bob = (Visitor(chromium, served) for _ in range(2))
    for seed, visitor in enumerate((ann, bob), start=21):
        (tmp_path / str(seed)).mkdir()
        visitor.open_scan(written_case(tmp_path / str(seed), seed) / "PATIENT_DICOM.zip")
    ann.page.click("#segment")
    expect(ann.page.locator('.lv[data-phase="preview"]')).to_be_visible(timeout=PATIENCE_MS)
    bob.page.click("#segment")
    words = bob.page.locator("#status .stage")
    expect(words).to_have_text("Place 1 of 1 in the queue", timeout=PATIENCE_MS)
    assert bob.page.inner_text("#status").strip() == words.inner_text()
    ann.wait_for_result()
    bob.wait_for_result()
    expect(words).to_be_empty()
    for visitor in (ann, bob):
        visitor.context.close()


def test_a_closed_tab_stops_the_work_and_frees_the_scan_in_time(
    chromium, served, slow_networks, tmp_path
):
    folder = written_case(tmp_path, seed=12)
    visitor = Visitor(chromium, served)
    before = set(files_below(served.scratch))
    visitor.open_scan(folder / "PATIENT_DICOM.zip")
    files = set(files_below(served.scratch)) - before
    open_before = len(served.service.visitors)
    visitor.page.click("#segment")
    expect(visitor.page.locator('.lv[data-phase="preview"]')).to_be_visible(timeout=PATIENCE_MS)
    visitor.context.close()
    wait_until(lambda: not any(one.open for one in served.service.visitors._streams.values()), 30)
    free_what_was_left(served)
    assert len(served.service.visitors) < open_before
    assert files and not any(path.exists() for path in files)
    time.sleep(1)
    done = len(slow_networks)
    time.sleep(1)
    assert len(slow_networks) == done


def free_what_was_left(served):
    """What the page's own sweep does some seconds after a tab was closed."""
    with mock.patch.object(served.service.visitors, "_grace_s", -1):
        served.service.sweep()


def test_two_visitors_see_nothing_of_each_other(chromium, served, case, tmp_path):
    ann, bob = Visitor(chromium, served), Visitor(chromium, served)
    other = written_case(tmp_path, seed=13)
    ann.open_scan(case / "PATIENT_DICOM.zip")
    ann.open_truth(case / "MASKS_DICOM.zip")
    ann.segment()
    assert bob.page.locator('.lv[data-phase="empty"]').count() == 1
    assert bob.page.locator("#numbers .group").count() == 0
    bob.open_scan(other / "PATIENT_DICOM.zip")
    bob.segment()
    assert ann.number("Liver volume", 0) != bob.number("Liver volume", 0)
    assert "Dice" not in bob.page.inner_text("#numbers")
    for visitor in (ann, bob):
        visitor.tab("Downloads")
        downloaded(visitor, "json", tmp_path)
    of_ann, of_bob = (
        {url for url in one.addresses if url.endswith((".bin", ".json")) and "/files/" in url}
        for one in (ann, bob)
    )
    assert len(of_ann) > 3 and len(of_bob) > 3 and not of_ann & of_bob
    folders = {url.rpartition("/")[0] for url in of_ann | of_bob}
    assert len(folders) == 2  # each under a name of 256 random bits
    for url in folders:
        assert bob.context.request.get(url).status == 404
    ann.context.close()

    def gone(urls):
        free_what_was_left(served)
        return all(bob.context.request.get(url).status == 404 for url in urls)

    wait_until(lambda: gone(of_ann), 30)
    assert all(bob.context.request.get(url).status == 200 for url in of_bob)
    bob.context.close()


def test_a_drawing_stays_in_its_browser(chromium, served, case, tmp_path):
    ann, bob = Visitor(chromium, served), Visitor(chromium, served)
    found = {}
    for visitor in (ann, bob):
        visitor.open_scan(case / "PATIENT_DICOM.zip")
        visitor.page.click("#lv-tab-teach")
        visitor.page.click(".lv-menu [data-lesson=draw]")
        asked = len(visitor.addresses)
        if visitor is ann:
            box = visitor.page.locator(".lv canvas").first.bounding_box()
            visitor.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        with visitor.page.expect_download() as download:
            visitor.page.click("[data-action=download]")
        path = tmp_path / "drawing.nii.gz"
        download.value.save_as(path)
        found[visitor] = np.asarray(nibabel.load(path).dataobj).any()
        assert all(url.startswith("blob:") for url in visitor.addresses[asked:])
    assert found[ann] and not found[bob]
    ann.context.close()
    bob.context.close()


def test_a_crash_in_one_upload_leaves_the_scan_alone_that_runs_meanwhile(
    chromium, served, slow_networks, tmp_path, monkeypatch
):
    folder = written_case(tmp_path, seed=14)
    ann, bob = Visitor(chromium, served), Visitor(chromium, served)
    bob.open_scan(folder / "PATIENT_DICOM.zip")
    bob.page.click("#segment")
    expect(bob.page.locator('.lv[data-phase="preview"]')).to_be_visible(timeout=PATIENCE_MS)
    with monkeypatch.context() as patch:
        patch.setattr(served.service.readers, "read_scan", lambda *_, **__: 1 / 0)
        ann.give("scan", folder / "PATIENT_DICOM.zip")
        expect(ann.page.get_by_text("Something went wrong")).to_be_visible()
        box = ann.page.locator("#scan .refused .status")
        expect(box).to_contain_text("This could not be read.")
    assert bob.page.locator('.lv[data-phase="preview"]').count() == 1  # it still runs
    bob.wait_for_result()
    volume = read_scan(folder / "PATIENT_DICOM.zip")
    expected = measure(segment(volume), volume).liver_ml
    assert bob.number("Liver volume", 0) == f"{expected:,.0f}"
    ann.open_scan(folder / "PATIENT_DICOM.zip")
    ann.context.close()
    bob.context.close()


def test_what_is_taken_away_agrees_with_the_screen(visitor, case, tmp_path):
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.open_truth(case / "MASKS_DICOM.zip")
    visitor.segment()
    dice, volume_ml = visitor.number("Dice", 0), visitor.number("Liver volume", 0)
    visitor.tab("Downloads")
    kinds = ("nifti", "seg", "csv", "json", "html")
    files = {kind: downloaded(visitor, kind, tmp_path) for kind in kinds}
    report = json.loads(files["json"].read_text())
    assert f"{report['scores']['liver']['dice']:.3f}" == dice
    assert f"{report['measurements']['liver_ml']:,.0f}" == volume_ml
    labels = nibabel.load(files["nifti"])
    voxel_ml = np.prod(labels.header.get_zooms()) / 1000
    liver_ml = np.count_nonzero(np.asarray(labels.dataobj)) * voxel_ml
    assert liver_ml == pytest.approx(report["measurements"]["liver_ml"], rel=1e-4)
    seg = highdicom.seg.segread(files["seg"])
    volume = read_scan(case / "PATIENT_DICOM")
    assert {str(uid) for _, _, uid in seg.get_source_image_uids()} <= {
        str(header.SOPInstanceUID) for header in volume.source.headers
    }
    np.testing.assert_allclose(labels.affine, lps_to_ras(volume.source.affine), atol=1e-4)
    with files["csv"].open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if not row["slice"]]
    written = {row["quantity"]: row["value"] for row in rows}
    screen = {"Liver volume": 0, "Tumor volume": 1, "Tumor burden": 1}
    screen |= {"Dice, liver": 0, "Precision, liver": 0, "Recall, liver": 0, "Dice, tumor": 1}
    for quantity, column in screen.items():
        shown = visitor.number(quantity.split(",")[0], column)
        digits = len(shown.partition(".")[2])
        assert f"{float(written[quantity]):,.{digits}f}" == shown
    report = visitor.context.new_page()
    report.goto(files["html"].as_uri())
    words = report.inner_text("body")
    assert "not for diagnosis" in words
    assert dice in words
    assert volume_ml in words
    assert report.locator("img").count() == 2
    assert report.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")


def lps_to_ras(affine):
    """NIfTI's axes of a DICOM affine."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def downloaded(visitor, kind, folder):
    with visitor.page.expect_download() as download:
        visitor.page.click(f"#files button[data-kind={kind}]")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_the_figures_are_drawn_and_the_curve_steers_the_viewer(visitor, case):
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.segment()
    visitor.tab("By slice")
    expect(visitor.page.locator("#curves .scatterlayer")).to_be_visible(timeout=PATIENCE_MS)
    expect(visitor.page.locator("#curves .shapelayer path")).to_have_count(1)
    plot = visitor.page.locator("#curves .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    visitor.page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    expect(visitor.page.locator(".lv-slice")).to_contain_text(re.compile(r"Slice [3456] "))
    visitor.tab("In 3-D")
    expect(visitor.page.locator("#surfaces canvas").first).to_be_visible(timeout=PATIENCE_MS)


def test_the_picture_is_seen_without_scrolling_and_is_the_largest_thing(visitor, case):
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.segment()
    stage = visitor.page.locator(".lv-stage").bounding_box()
    assert stage["y"] >= 0 and stage["y"] + stage["height"] <= LAPTOP["height"]
    assert stage["width"] * stage["height"] > 0.4 * LAPTOP["width"] * LAPTOP["height"]


def test_the_picture_does_not_move_when_results_arrive(visitor, case):
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.page.click("#segment")
    visitor.page.wait_for_timeout(600)  # the panel slides away
    before = visitor.page.locator(".lv-stage").bounding_box()
    visitor.wait_for_result()
    assert visitor.page.locator(".lv-stage").bounding_box() == before


@pytest.mark.parametrize("tab", ["view", "threshold"])
def test_a_projector_with_wide_scrollbars_shows_every_tool(chromium, served, case, tab):
    """Of 1280×720; headless Chromium has no scrollbars, so their width is taken away."""
    visitor = Visitor(chromium, served, viewport={"width": 1280, "height": 720})
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.open_truth(case / "MASKS_DICOM.zip")
    visitor.segment()
    side = visitor.page.locator(".lv-side")
    side.evaluate("(side) => { side.style.paddingRight = '15px'; }")
    visitor.page.click(f"#lv-tab-{tab}")
    visitor.page.wait_for_timeout(300)
    assert side.evaluate("(side) => side.scrollWidth <= side.clientWidth")
    assert side.evaluate("(side) => side.scrollHeight <= side.clientHeight")
    visitor.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_the_whole_way_without_scrolling_sideways(chromium, served, case, theme):
    visitor = Visitor(chromium, served, viewport=PHONE, color_scheme=theme, has_touch=True)
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.segment()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    stage = visitor.page.locator(".lv-stage").bounding_box()
    assert stage["width"] > 0.9 * PHONE["width"]
    assert visitor.problems == []
    visitor.context.close()


def states(visitor, case):
    """Brings the page into all its states, one after the other; yields their names."""
    page = visitor.page
    yield "empty"
    visitor.open_scan(case / "PATIENT_DICOM.zip")
    visitor.open_truth(case / "MASKS_DICOM.zip")
    yield "panel"
    visitor.segment()
    for tab in ("threshold", "tumors", "teach", "view"):
        page.click(f"#lv-tab-{tab}")
        yield tab
    page.click("#lv-tab-teach")
    for lesson in ("draw", "find", "why"):
        page.click(f".lv-menu [data-lesson={lesson}]")
        yield lesson
        page.click(f".lv-lesson[data-lesson={lesson}] [data-action=close-lesson]")
    for tab in ("By slice", "Downloads", "About"):
        visitor.tab(tab)
        yield tab
    page.click("#lv-tab-view")
    page.click("[data-action=help]")
    yield "keys"


@pytest.mark.parametrize(
    ("width", "theme"), [(LAPTOP, "light"), (LAPTOP, "dark"), (PHONE, "light")]
)
def test_nothing_serious_hinders_people_who_see_or_move_differently(
    chromium, served, case, width, theme
):
    visitor = Visitor(chromium, served, viewport=width, color_scheme=theme)
    found = {state: grave_findings(visitor.page) for state in states(visitor, case)}
    assert {state: problems for state, problems in found.items() if problems} == {}
    visitor.context.close()


def test_the_warnings_stand_at_the_upload_box(visitor):
    panel = visitor.page.locator("#panel")
    for words in ("not for diagnosis", "Do not upload identifiable patient data"):
        expect(panel).to_contain_text(words)

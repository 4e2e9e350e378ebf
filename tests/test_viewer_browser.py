"""The viewer in a real browser: one small case, one server, one Chromium."""

import base64
import re
from dataclasses import dataclass

import gradio as gr
import numpy as np
import pytest
from browser import open_browser
from playwright.sync_api import sync_playwright
from scipy import ndimage

from liverseg.measure import Measurements, measure
from liverseg.metrics import Scores, compare
from liverseg.phantom import make_phantom
from liverseg.segment import Step
from liverseg.viewer import LiverViewer, pack_preview, pack_result, pack_scan, private_folder
from liverseg.volume import LIVER, TUMOR, Probability, Segmentation, Volume

SHAPE = (24, 128, 128)
MIDDLE = SHAPE[0] // 2


@dataclass(frozen=True, eq=False)
class Case:
    volume: Volume
    truth: Segmentation
    prediction: Segmentation
    scores: Scores
    measurements: Measurements


def threshold(liver_values, tumor_values, liver, tumor):
    """(z, y, x) labels as documented: P >= round(255 t), tumors inside the liver."""
    labels = (liver_values >= round(255 * liver)).astype(np.uint8) * LIVER
    labels[(labels == LIVER) & (tumor_values >= round(255 * tumor))] = TUMOR
    return labels


def imperfect(truth):
    """Probabilities as a mediocre network would give them: shifted, blurred, one lesion unseen."""
    lesions, count = ndimage.label(truth.tumor)
    seen = truth.tumor & (lesions != count)
    soft = [
        ndimage.gaussian_filter(np.roll(mask, shift, axis=2).astype(np.float32), sigma)
        for mask, shift, sigma in ((truth.liver, 2, (0.5, 3, 3)), (seen, 1, (0.3, 1.5, 1.5)))
    ]
    return [np.round(255 * values).astype(np.uint8) for values in soft]


@pytest.fixture(scope="module")
def case():
    volume, truth = make_phantom(3, shape=SHAPE, tumors=4)
    liver, tumor = imperfect(truth)
    labels = threshold(liver, tumor, 0.5, 0.5)
    prediction = Segmentation(
        labels, Probability(liver, (0, 0, 0)), Probability(tumor[2:], (2, 0, 0))
    )
    scores = compare(prediction, truth, volume, surfaces=False)
    return Case(volume, truth, prediction, scores, measure(prediction, volume))


def steps(case):
    """Preliminary masks of the whole scan in three steps."""
    for k in range(0, SHAPE[0], 8):
        z = tuple(range(k, k + 8))
        labels = np.minimum(case.prediction.labels[k : k + 8], LIVER)
        yield Step("Outlining the liver", k + 8, SHAPE[0], z, labels)


def values_of(case):
    """What the page shows under each button, as a list: the last one stays."""
    folder = private_folder()
    scan = pack_scan(case.volume, folder)
    previews = [scan]
    for step in steps(case):
        previews.append(pack_preview(previews[-1], step, folder=folder))
    result = pack_result(
        scan,
        case.prediction,
        case.truth,
        case.scores,
        case.measurements,
        measure(case.truth, case.volume),
        folder=folder,
    )
    picture = Volume(np.clip(case.volume.hu[:1], -100, 155), windowed=(-100, 155))
    return {
        "scan": [scan],
        "truth": [pack_result(scan, truth=case.truth, folder=folder)],
        "preview": previews[-1:],
        "result": [result],
        "all": [*previews, result],
        "picture": [pack_scan(picture, private_folder())],
        "nothing": [None],
    }


@pytest.fixture(scope="module")
def server(case, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        with gr.Blocks() as demo:
            viewer = LiverViewer()
            for name, values in values_of(case).items():
                button = gr.Button(name, elem_id=name)
                button.click(lambda values=values: (yield from values), None, viewer)
        demo.launch(prevent_thread_lock=True, quiet=True, run_history=False)
        yield demo.local_url
        demo.close()


@pytest.fixture(scope="module")
def page(server):
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(10_000)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
        page.goto(server)
        yield page
        browser.close()


@pytest.fixture
def viewer(page):
    """The result on screen, as a visitor who has done nothing yet sees it."""
    page.problems.clear()
    page.reload()
    show(page, "result")
    yield page
    assert page.problems == []


def show(page, name, phase=None):
    page.click(f"#{name}")
    page.wait_for_selector(f".lv[data-phase={phase or name}]")
    page.focus("[data-plane=axial] canvas")
    settle(page)


def settle(page):
    """Waits until what changed is painted."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def press(page, key):
    page.keyboard.press(key)
    settle(page)


def text(page, selector):
    return page.inner_text(selector)


def shown_slice(page):
    """The slice on screen, from 0."""
    return int(re.match(r"Slice (\d+) / 24", text(page, ".lv-slice"))[1]) - 1


def number(page, name):
    """A number on screen; None for a dash."""
    words = text(page, f"[data-number={name}]")
    return None if words == "–" else float(words.split()[0].replace(",", ""))


def colors(page, plane="axial"):
    """(pixels, 3) RGB of a picture as painted."""
    script = """(canvas) => {
      const { width, height } = canvas;
      const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
      return btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
    }"""
    raw = page.eval_on_selector(f"[data-plane={plane}] canvas", script)
    return np.frombuffer(base64.b64decode(raw), np.uint8).reshape(-1, 4)[:, :3].astype(int)


def colored(page, plane="axial"):
    """How many pixels are not grey."""
    rgb = colors(page, plane)
    return int(np.count_nonzero(rgb.max(axis=1) - rgb.min(axis=1) > 20))


def middle(page, selector="[data-plane=axial] canvas"):
    box = page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_it_begins_with_the_middle_slice(viewer, case):
    assert shown_slice(viewer) == MIDDLE
    assert text(viewer, ".lv-position") == f"{MIDDLE * case.volume.spacing.z:.1f} mm"
    assert text(viewer, ".lv-window-text").split() == ["W", "400", "L", "50"]


def test_keys_scroll(viewer):
    for key, expected in [
        ("ArrowUp", MIDDLE + 1),
        ("ArrowDown", MIDDLE),
        ("ArrowRight", MIDDLE + 1),
        ("ArrowLeft", MIDDLE),
        ("PageUp", MIDDLE + 10),
        ("PageDown", MIDDLE),
        ("Home", 0),
        ("ArrowDown", 0),
        ("End", 23),
        ("ArrowUp", 23),
    ]:
        press(viewer, key)
        assert shown_slice(viewer) == expected


def test_every_step_of_the_wheel_is_painted_and_asks_the_server_nothing(viewer):
    requests = []
    viewer.on("request", lambda request: requests.append(request.url))
    viewer.mouse.move(*middle(viewer))
    pictures = set()
    for step in range(1, 9):
        viewer.mouse.wheel(0, 100)
        settle(viewer)
        assert shown_slice(viewer) == MIDDLE - step
        pictures.add(colors(viewer).tobytes())
    assert len(pictures) == 8
    assert requests == []


def test_small_steps_of_a_touchpad_add_up(viewer):
    viewer.mouse.move(*middle(viewer))
    for _ in range(10):
        viewer.mouse.wheel(0, -10)
    settle(viewer)
    assert shown_slice(viewer) == MIDDLE + 2


def test_a_drag_scrolls(viewer):
    x, y = middle(viewer)
    viewer.mouse.move(x, y)
    viewer.mouse.down()
    viewer.mouse.move(x, y + 30, steps=5)
    viewer.mouse.up()
    settle(viewer)
    assert shown_slice(viewer) == MIDDLE - 5


def test_a_click_in_the_strip_moves_there_and_a_drag_goes_on(viewer):
    box = viewer.locator(".lv-strip input").bounding_box()
    y = box["y"] + box["height"] / 2
    viewer.mouse.move(box["x"] + 0.25 * box["width"], y)
    viewer.mouse.down()
    settle(viewer)
    assert shown_slice(viewer) == 6
    viewer.mouse.move(box["x"] + box["width"], y)
    viewer.mouse.up()
    settle(viewer)
    assert shown_slice(viewer) == 23


def test_windows_have_keys_and_the_right_mouse_button(viewer):
    before = colors(viewer)
    press(viewer, "2")
    assert text(viewer, ".lv-window-text").split() == ["W", "150", "L", "70"]
    assert (colors(viewer) != before).any()
    assert viewer.eval_on_selector(".lv-window", "(s) => s.selectedOptions[0].text").startswith(
        "Liver 150"
    )
    x, y = middle(viewer)
    viewer.mouse.move(x, y)
    viewer.mouse.down(button="right")
    viewer.mouse.move(x + 20, y - 30)
    viewer.mouse.up(button="right")
    settle(viewer)
    assert text(viewer, ".lv-window-text").split() == ["W", "190", "L", "100"]


def cursor(page):
    """HU, x mm and y mm under the mouse, as written on screen."""
    words = text(page, ".lv-cursor").replace("−", "-")
    return [float(n) for n in re.match(r"(-?\d+) HU\s+x ([\d.]+)\s+y ([\d.]+) mm", words).groups()]


def test_what_is_under_the_cursor_is_the_scans(viewer, case):
    spacing = case.volume.spacing
    x, y = middle(viewer)
    places = []
    for dx, dy in [(0, 0), (-120, 0), (120, 0), (0, 80)]:
        viewer.mouse.move(x + dx, y + dy)
        settle(viewer)
        hu, x_mm, y_mm = cursor(viewer)
        voxel = MIDDLE, round(y_mm / spacing.y), round(x_mm / spacing.x)
        assert hu == pytest.approx(case.volume.hu[voxel], abs=2)
        words = ("", "Liver", "Tumor")[case.prediction.labels[voxel]]
        assert words in text(viewer, ".lv-cursor")
        places.append((x_mm, y_mm))
    # radiological: the patient's left and back are on the right and below
    assert places[1][0] < places[0][0] < places[2][0]
    assert places[0][1] < places[3][1]


def test_zoom_keeps_what_is_under_the_cursor_and_a_double_click_resets(viewer):
    x, y = middle(viewer)
    viewer.mouse.move(x + 100, y - 50)
    settle(viewer)
    before, picture = cursor(viewer), colors(viewer)
    viewer.keyboard.down("Control")
    viewer.mouse.wheel(0, -300)
    viewer.keyboard.up("Control")
    settle(viewer)
    assert (colors(viewer) != picture).any()
    viewer.mouse.move(x + 101, y - 50)
    settle(viewer)
    assert cursor(viewer)[1:] == pytest.approx(before[1:], abs=case_pixel())
    assert shown_slice(viewer) == MIDDLE
    viewer.mouse.dblclick(x, y)
    settle(viewer)
    np.testing.assert_array_equal(colors(viewer), picture)


def case_pixel():
    """mm that the cursor may be off by: one voxel."""
    return 3.1


def test_layers_have_keys_and_space_hides_them(viewer):
    everything = colored(viewer)
    assert everything > 1000
    viewer.keyboard.down(" ")
    settle(viewer)
    assert colored(viewer) == 0
    viewer.keyboard.up(" ")
    settle(viewer)
    assert colored(viewer) == everything
    for key in "ltg":
        press(viewer, key)
    assert colored(viewer) == 0
    press(viewer, "g")
    assert 0 < colored(viewer) < everything / 2  # an outline
    assert viewer.get_attribute("[data-layer=truth] button", "aria-pressed") == "true"


def test_outline_and_opacity_change_the_picture(viewer):
    press(viewer, "g")
    filled = colored(viewer)
    viewer.select_option("[data-layer=liver] select", "outline")
    settle(viewer)
    assert colored(viewer) < filled / 2
    viewer.select_option("[data-layer=liver] select", "fill")
    viewer.fill("[data-layer=liver] input", "0")
    settle(viewer)
    assert colored(viewer) < filled / 2


def test_numbers_on_screen_are_pythons(viewer, case):
    for structure in ("liver", "tumor"):
        expected = getattr(case.scores, structure).dice
        assert number(viewer, f"{structure}-dice-scan") == pytest.approx(expected, abs=5e-4)
    assert number(viewer, "liver-volume") == pytest.approx(case.measurements.liver_ml, abs=0.5)
    assert number(viewer, "tumor-volume") == pytest.approx(case.measurements.tumor_ml, abs=0.05)
    for z in range(MIDDLE, SHAPE[0], 3):
        scores = case.scores.slices[z]
        for structure in ("liver", "tumor"):
            expected = getattr(scores, structure).dice
            found = number(viewer, f"{structure}-dice-slice")
            assert found == (None if expected is None else pytest.approx(expected, abs=5e-4))
        for _ in range(3):
            press(viewer, "ArrowUp")


def test_masks_come_while_the_picture_stays(viewer):
    show(viewer, "scan")
    assert colored(viewer) == 0
    assert number(viewer, "liver-dice-scan") is None
    press(viewer, "ArrowUp")
    places = viewer.locator(".lv-stage, .lv-strip, .lv-numbers, .lv-tabs")
    before = [box.bounding_box() for box in places.all()]
    show(viewer, "preview")
    assert colored(viewer) > 1000
    assert text(viewer, ".lv-message") == "Outlining the liver"
    assert number(viewer, "liver-dice-scan") is None
    show(viewer, "result")
    assert text(viewer, ".lv-message") == ""
    assert number(viewer, "liver-dice-scan") is not None
    assert shown_slice(viewer) == MIDDLE + 1
    assert [box.bounding_box() for box in places.all()] == before


def test_a_stream_of_values_ends_with_the_result(viewer, case):
    show(viewer, "nothing", "empty")
    assert text(viewer, ".lv-message") == "No scan yet"
    show(viewer, "all", "result")
    expected = case.scores.tumor.dice
    viewer.wait_for_function(
        "document.querySelector('[data-number=tumor-dice-scan]').innerText > '0'"
    )
    assert number(viewer, "tumor-dice-scan") == pytest.approx(expected, abs=5e-4)


def test_a_picture_says_that_its_size_is_unknown(viewer):
    show(viewer, "picture", "scan")
    assert text(viewer, ".lv-unknown") == "Pixel size unknown: no mm"
    assert text(viewer, ".lv-window-text").split() == ["W", "255", "L", "28"]
    viewer.mouse.move(*middle(viewer))
    settle(viewer)
    assert "HU" not in text(viewer, ".lv-cursor")
    assert "mm" not in text(viewer, ".lv-cursor")


def test_the_page_can_steer_and_follow(viewer):
    viewer.evaluate("document.addEventListener('lv:slice', (e) => (window.followed = e.detail))")
    viewer.evaluate("document.dispatchEvent(new CustomEvent('lv:goto', { detail: 3 }))")
    settle(viewer)
    assert shown_slice(viewer) == 3
    assert viewer.evaluate("window.followed") == 3


def test_the_sheet_of_keys_opens_and_closes(viewer):
    press(viewer, "?")
    assert "Hide all layers while held" in text(viewer, ".lv-help")
    press(viewer, "Escape")
    assert not viewer.is_visible(".lv-help")


def test_play_runs_through_the_slices(viewer):
    press(viewer, "p")
    viewer.wait_for_timeout(400)
    press(viewer, "p")
    stopped = shown_slice(viewer)
    assert stopped > MIDDLE
    viewer.wait_for_timeout(200)
    assert shown_slice(viewer) == stopped

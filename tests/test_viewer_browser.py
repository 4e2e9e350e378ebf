"""The viewer in a real browser: one small case, one server, one Chromium."""

import base64
import re

import cv2
import gradio as gr
import nibabel
import numpy as np
import pytest
from playwright.sync_api import expect
from scipy import ndimage

from liverseg.network.cascade import Step
from liverseg.page.events import with_addresses
from liverseg.page.routes import script_address
from liverseg.page.synthetic_case import SyntheticCase
from liverseg.page.viewer.component import PALETTE, LiverViewer
from liverseg.page.viewer.packing import pack_masks, pack_preview, pack_result
from liverseg.phantom import make_phantom
from liverseg.scores.findings import find
from liverseg.scores.glossary import EXPLANATIONS
from liverseg.scores.measurements import measure
from liverseg.scores.metrics import compare
from liverseg.volume import LIVER, TUMOR, Probability, Segmentation, Spacing, Volume
from tests.helpers.packed import pack_scan, private_folder
from tests.helpers.page_server import served_blocks

pytestmark = pytest.mark.slow

SHAPE = (24, 128, 128)
MIDDLE = SHAPE[0] // 2
THRESHOLDS = (0.5, 0.5)


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
    return find(volume, prediction, "weights", truth, surfaces=False)


def steps(case):
    """Preliminary masks of the whole scan in three steps."""
    for k in range(0, SHAPE[0], 8):
        z = tuple(range(k, k + 8))
        labels = np.minimum(case.prediction.labels[k : k + 8], LIVER)
        yield Step("Outlining the liver", k + 8, SHAPE[0], z, labels)


def largest_alone(mask):
    lesions, _ = ndimage.label(mask)
    return (lesions == np.bincount(lesions[mask]).argmax()).astype(np.uint8)


def values_of(case):
    """What the page shows under each button, as a list: the last one stays."""
    folder = private_folder()
    scan = pack_scan(case.volume, folder)
    previews = [scan]
    for step in steps(case):
        previews.append(pack_preview(previews[-1], step, folder=folder))
    result = pack_result(scan, case, THRESHOLDS, folder=folder)
    fewer = Segmentation(case.truth.labels - largest_alone(case.truth.tumor))
    picture = Volume(np.clip(case.volume.hu[:1], -100, 155), windowed=(-100, 155))
    return {
        "scan": [scan],
        "truth": [pack_masks(scan, None, case.truth, THRESHOLDS, folder=folder)],
        "fewer": [pack_masks(scan, None, fewer, THRESHOLDS, folder=folder)],
        "preview": previews[-1:],
        "result": [result],
        "all": [*previews, result],
        "picture": [pack_scan(picture, private_folder())],
        "nothing": [None],
    }


def case_opener(case):
    """Answers a lesson that asks for a synthetic case: with the same scan every time."""

    def open_case(event: gr.EventData):
        wanted = SyntheticCase(int(event.number), event.size, event.contrast)
        folder = private_folder()
        scan = pack_scan(case.volume, folder, wanted)
        return with_addresses(pack_masks(scan, None, case.truth, THRESHOLDS, folder=folder))

    return open_case


@pytest.fixture(scope="module")
def server(case, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("served")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        with gr.Blocks() as demo:
            viewer = LiverViewer(scripts=script_address(""))
            viewer.open_case(case_opener(case), None, viewer)
            for name, values in with_addresses(values_of(case)).items():
                button = gr.Button(name, elem_id=name)
                button.click(lambda values=values: (yield from values), None, viewer)
        with served_blocks(demo, folder) as url:
            yield url


@pytest.fixture(scope="module")
def page(server, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(10_000)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
    page.goto(server)
    return page


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
    """How many pixels are not gray."""
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


class Fingers:
    """Touches the picture at points given from its middle."""

    def __init__(self, page):
        self.page, self.middle = page, middle(page)
        self.session = page.context.new_cdp_session(page)

    def send(self, kind, *points):
        x, y = self.middle
        touches = [{"x": x + dx, "y": y + dy, "id": k} for k, (dx, dy) in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
        settle(self.page)


def test_a_finger_scrolls_and_two_fingers_zoom(viewer):
    fingers = Fingers(viewer)
    fingers.send("touchStart", (0, 0))
    for y in (10, 20, 30):
        fingers.send("touchMove", (0, y))
    fingers.send("touchEnd")
    assert shown_slice(viewer) == MIDDLE - 5
    before = of_color(viewer, "#000000")
    fingers.send("touchStart", (-40, 0))
    fingers.send("touchStart", (-40, 0), (40, 0))
    for x in (60, 90, 120):
        fingers.send("touchMove", (-x, 0), (x, 0))
    fingers.send("touchEnd")
    assert shown_slice(viewer) == MIDDLE - 5
    assert of_color(viewer, "#000000") < before / 2  # the air around the body is out of sight


def test_a_drag_with_shift_moves_the_picture(viewer):
    x, y = middle(viewer)
    viewer.mouse.move(x + 60, y + 30)
    settle(viewer)
    before = cursor(viewer)
    viewer.keyboard.down("Shift")
    viewer.mouse.move(x, y)
    viewer.mouse.down()
    viewer.mouse.move(x - 50, y - 40, steps=3)
    viewer.mouse.up()
    viewer.keyboard.up("Shift")
    viewer.mouse.move(x + 10, y - 10)
    settle(viewer)
    assert cursor(viewer)[1:] == pytest.approx(before[1:], abs=0.1)
    assert shown_slice(viewer) == MIDDLE


@pytest.mark.parametrize(
    ("key", "width", "level"),
    [(1, 400, 50), (2, 150, 70), (3, 150, 30), (4, 350, 40), (5, 1500, -600), (6, 1800, 400)],
)
def test_every_preset_has_a_key(viewer, key, width, level):
    press(viewer, str(key))
    assert text(viewer, ".lv-window-text").split() == ["W", str(width), "L", str(level)]


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
        assert hu == case.volume.hu[voxel]
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


@pytest.mark.parametrize("keys", ["o", "[", "]", "+", "-", "1r", "+r"])
def test_keys_for_style_opacity_and_zoom(viewer, keys):
    press(viewer, "+")  # so that there is something to zoom out of
    pictures = [colors(viewer).tobytes()]
    for key in keys:
        press(viewer, key)
        pictures.append(colors(viewer).tobytes())
    assert pictures[-1] != pictures[-2]


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
    assert viewer.get_attribute(".lv-progress", "aria-valuenow") == "100"
    assert viewer.is_visible(".lv-progress")
    assert number(viewer, "liver-volume") is None  # of half a liver
    assert number(viewer, "liver-dice-scan") is None
    show(viewer, "result")
    assert not viewer.is_visible(".lv-progress")
    assert number(viewer, "liver-dice-scan") is not None
    assert shown_slice(viewer) == MIDDLE + 1
    assert [box.bounding_box() for box in places.all()] == before


def test_a_stream_of_values_ends_with_the_result(viewer, case):
    show(viewer, "nothing", "empty")
    assert text(viewer, ".lv-message") == "Open a CT scan or a synthetic case"
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


def go_to(page, z):
    page.evaluate(f"document.dispatchEvent(new CustomEvent('lv:goto', {{ detail: {z} }}))")
    settle(page)


def test_the_page_can_steer_and_follow(viewer):
    viewer.evaluate("document.addEventListener('lv:slice', (e) => (window.followed = e.detail))")
    go_to(viewer, 3)
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


def of_color(page, color):
    """How many pixels have exactly this color."""
    rgb = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
    return int(np.count_nonzero((np.abs(colors(page) - rgb) <= 1).all(axis=1)))


@pytest.mark.parametrize("structure", ["liver", "tumor"])
def test_errors_are_colored_as_python_counts_them(viewer, case, structure):
    z = int(np.argmax((case.prediction.tumor | case.truth.tumor).sum(axis=(1, 2))))
    go_to(viewer, z)
    press(viewer, "e")
    viewer.fill("[data-layer=errors] input", "1")
    if structure == "tumor":
        press(viewer, "x")
    settle(viewer)
    predicted, true = (
        getattr(segmentation, structure)[z] for segmentation in (case.prediction, case.truth)
    )
    counts = [(predicted & true).sum(), (predicted & ~true).sum(), (~predicted & true).sum()]
    assert sum(counts[1:]) > 0
    found = [
        of_color(viewer, color)
        for color in (
            PALETTE["true_positive"],
            PALETTE["false_positive"],
            PALETTE["false_negative"],
        )
    ]
    shares = np.array(found) / sum(found)
    np.testing.assert_allclose(shares, np.array(counts) / sum(counts), atol=0.03)
    assert f"{structure}: missed" in text(viewer, ".lv-legend")


def test_the_heat_map_shows_the_probability(viewer):
    without = colored(viewer)
    press(viewer, "h")
    viewer.wait_for_function("document.querySelector('.lv-legend').innerText.includes('liver')")
    viewer.wait_for_load_state("networkidle")
    settle(viewer)
    assert colored(viewer) > without
    press(viewer, "h")
    assert colored(viewer) == without


def set_threshold(page, name, value):
    page.fill(f"[data-threshold={name}] input", str(value))
    settle(page)


def open_thresholds(page):
    page.click("#lv-tab-threshold")
    page.wait_for_selector("[data-threshold=liver] input:enabled")


# 255 times 0.3, 0.5 and 0.7 lie halfway between two levels
@pytest.mark.parametrize(("liver", "tumor"), [(0.3, 0.7), (0.62, 0.21), (0.5, 0.3)])
def test_a_threshold_changes_mask_volume_and_dice_as_in_python(viewer, case, liver, tumor):
    open_thresholds(viewer)
    set_threshold(viewer, "liver", liver)
    set_threshold(viewer, "tumor", tumor)
    tumor_values = np.zeros(SHAPE, np.uint8)
    tumor_values[case.prediction.tumor_probability.box] = case.prediction.tumor_probability.values
    labels = threshold(case.prediction.liver_probability.values, tumor_values, liver, tumor)
    expected = Segmentation(labels)
    scores = compare(expected, case.truth, case.volume, surfaces=False)
    for structure in ("liver", "tumor"):
        voxels = np.count_nonzero(getattr(expected, structure))
        found = text(viewer, f"[data-number={structure}-volume]").split()[0].replace(",", "")
        digits = len(found.partition(".")[2])
        assert float(found) == pytest.approx(voxels * case.volume.voxel_ml, abs=0.51 / 10**digits)
        for where, overlap in [
            ("scan", getattr(scores, structure)),
            ("slice", getattr(scores.slices[MIDDLE], structure)),
        ]:
            dice = number(viewer, f"{structure}-dice-{where}")
            assert dice == pytest.approx(overlap.dice, abs=5.01e-4)


def test_the_curve_knows_the_best_threshold(viewer, case):
    open_thresholds(viewer)
    dice = [
        compare(
            Segmentation(
                (case.prediction.liver_probability.values >= round(255 * t)).astype(np.uint8)
            ),
            case.truth,
            case.volume,
            surfaces=False,
        ).liver.dice
        for t in np.arange(1, 100) / 100
    ]
    expected = f"liver {max(dice):.3f} at {(1 + int(np.argmax(dice))) / 100:.2f}"
    assert expected in text(viewer, "#lv-panel-threshold .lv-hint")


def test_thresholds_go_back_to_the_networks(viewer, case):
    before = number(viewer, "liver-dice-scan")
    open_thresholds(viewer)
    set_threshold(viewer, "liver", 0.9)
    assert number(viewer, "liver-dice-scan") != before
    viewer.click("#lv-panel-threshold button")
    settle(viewer)
    assert number(viewer, "liver-dice-scan") == before
    assert text(viewer, "[data-threshold=liver] output") == "0.50"


def test_a_tumor_in_the_list_leads_to_its_slice(viewer, case):
    viewer.click("#lv-tab-tumors")
    rows = viewer.locator(".lv-lesions button")
    missed = [match for match in case.scores.lesions.truth if match.status == "missed"]
    assert rows.count() == len(case.measurements.lesions) + len(missed)
    assert len(missed) > 0
    assert "Missed" in rows.last.inner_text()
    largest = case.measurements.lesions[0]
    assert f"{largest.long_axis_mm:.0f} × {largest.short_axis_mm:.0f} mm" in rows.first.inner_text()
    assert f"{largest.hu_mean:.0f} ± {largest.hu_sd:.0f} HU" in rows.first.inner_text()
    z = largest.long_axis[0][0]
    go_to(viewer, z)
    white = of_color(viewer, "#ffffff")
    go_to(viewer, 0)
    rows.first.click()
    settle(viewer)
    assert shown_slice(viewer) == z
    assert of_color(viewer, "#ffffff") > white
    press(viewer, "n")
    assert rows.nth(1).get_attribute("aria-current") == "true"
    press(viewer, "b")
    assert rows.first.get_attribute("aria-current") == "true"


def test_three_planes_share_a_crosshair_and_true_proportions(viewer, case):
    press(viewer, "v")
    settle(viewer)
    before = colors(viewer, "coronal").tobytes()
    x, y = middle(viewer)
    viewer.mouse.click(x, y + 60)
    settle(viewer)
    assert colors(viewer, "coronal").tobytes() != before
    x, y = middle(viewer, "[data-plane=coronal] canvas")
    spacing = case.volume.spacing
    places = []
    for dx, dy in [(0, 0), (80, 0), (0, 40)]:
        viewer.mouse.move(x + dx, y + dy)
        settle(viewer)
        words = text(viewer, ".lv-cursor").replace("−", "-")
        hu = int(re.match(r"(-?\d+) HU", words)[1])
        found = {axis: float(n) for axis, n in re.findall(r"([xyz]) ([\d.]+)", words)}
        z_mm = found.get("z", shown_slice(viewer) * spacing.z)
        voxel = [round(z_mm / spacing.z), round(found["y"] / spacing.y)]
        assert hu == case.volume.hu[*voxel, round(found["x"] / spacing.x)]
        places.append((z_mm, found["x"]))
    across = (places[1][1] - places[0][1]) / 80
    down = (places[0][0] - places[2][0]) / 40  # the head is up
    assert down == pytest.approx(across, abs=spacing.z / 40)
    viewer.mouse.wheel(0, 100)
    settle(viewer)
    assert f"y {found['y'] - spacing.y:.1f}" in text(viewer, ".lv-cursor")


# Collects what is written on any canvas: [words, x, y, plane].
LISTEN_TO_WORDS = """() => {
  window.written = [];
  const fillText = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (...of) {
    written.push([...of, this.canvas.closest?.("[data-plane]")?.dataset.plane]);
    fillText.apply(this, of);
  };
}"""


LETTERS = {"axial": "RLAP", "coronal": "RLHF", "sagittal": "APHF"}  # left, right, top, bottom
TOWARDS = {"L": ("x", 1), "P": ("y", 1), "F": ("z", -1)}  # how a scan's axes run


@pytest.mark.parametrize(("plane", "letters"), LETTERS.items())
def test_the_letters_say_where_the_patient_s_sides_are(viewer, case, plane, letters):
    viewer.evaluate(LISTEN_TO_WORDS)
    press(viewer, "v")
    written = viewer.evaluate("window.written")
    at = {of[0]: of[1:3] for of in written if of[3] == plane and len(of[0]) == 1}
    box = viewer.locator(f"[data-plane={plane}] canvas").bounding_box()
    left, right, top, bottom = letters
    assert at.keys() - {top} == {left, right, bottom}  # a small picture has none at its top
    assert at[left][0] < box["width"] / 4 < box["width"] * 3 / 4 < at[right][0]
    assert at[bottom][1] > box["height"] / 2
    assert top not in at or at[top][1] < box["height"] / 2
    places = []
    for dx, dy in [(0, 0), (40, 0), (0, 20)]:
        x, y = middle(viewer, f"[data-plane={plane}] canvas")
        viewer.mouse.move(x + dx, y + dy)
        settle(viewer)
        found = re.findall(r"([xyz]) ([\d.]+)", text(viewer, ".lv-cursor"))
        shown = {"z": shown_slice(viewer) * case.volume.spacing.z}
        places.append(shown | {axis: float(n) for axis, n in found})
    for moved, letter in zip(places[1:], (right, bottom), strict=True):
        axis, sign = TOWARDS[letter]
        assert sign * (moved[axis] - places[0][axis]) > 0


def test_a_picture_has_no_other_planes(viewer):
    show(viewer, "picture", "scan")
    assert viewer.is_disabled("[data-action=planes]")
    press(viewer, "v")
    assert not viewer.is_visible("[data-plane=coronal]")


def saved_picture(page, folder):
    """The PNG (y, x, BGR), and all words on it."""
    page.evaluate("window.written = []")
    with page.expect_download() as download:
        press(page, "s")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return cv2.imread(str(path)), page.evaluate("window.written")


def mm_per_pixel(page, reach):
    """Of the axial picture on screen, from what the cursor is told at both sides of its middle."""
    x, y = middle(page)
    places = []
    for dx in (-reach, reach):
        page.mouse.move(x + dx, y)
        settle(page)
        places.append(cursor(page)[1])
    return (places[1] - places[0]) / (2 * reach)


@pytest.mark.parametrize(("zoom", "reach"), [(0, 200), (3, 400)])
def test_the_saved_picture_has_a_true_scale_and_a_legend(viewer, tmp_path, zoom, reach):
    for _ in range(zoom):
        press(viewer, "+")
    mm = mm_per_pixel(viewer, reach)
    viewer.evaluate(LISTEN_TO_WORDS)
    picture, written = saved_picture(viewer, tmp_path)
    box = viewer.locator("[data-plane=axial]").bounding_box()
    width, height = round(2 * box["width"]), round(2 * box["height"])
    assert picture.shape[1] == width
    assert picture.shape[0] > height

    ((words, center, *_),) = [of for of in written if re.fullmatch(r"\d+ mm", of[0])]
    bright = picture[height - 32].min(axis=1) > 200  # the bar has dark edges
    start = end = round(2 * center)
    while bright[start - 1]:
        start -= 1
    while bright[end]:
        end += 1
    assert (start + end) / 4 == pytest.approx(center, abs=1)
    assert (end - start) / 2 * mm == pytest.approx(int(words.split()[0]), rel=0.03)

    legend = picture[height:].reshape(-1, 3)
    said = [of[0] for of in written]
    for layer, name in (("liver", "liver"), ("tumor", "tumor"), ("truth", "ground truth")):
        rgb = [int(PALETTE[layer][k : k + 2], 16) for k in (1, 3, 5)]
        assert (legend[:, ::-1] == rgb).all(axis=1).sum() > 100
        assert name in said
    dice = text(viewer, "[data-number=liver-dice-scan]")
    assert f"of the scan: liver {dice}" in " ".join(said)
    assert any("not for diagnosis" in words for words in said)
    assert (picture[:height].max(axis=2) > picture[:height].min(axis=2) + 20).any()


def test_a_layer_that_is_off_is_not_in_the_saved_legend(viewer, tmp_path):
    press(viewer, "t")
    viewer.evaluate(LISTEN_TO_WORDS)
    _, written = saved_picture(viewer, tmp_path)
    assert {"liver", "ground truth"} <= {of[0] for of in written}
    assert "tumor" not in {of[0] for of in written}


def test_a_truth_without_a_result_is_shown_and_not_scored(viewer):
    show(viewer, "truth", "scan")
    assert colored(viewer) > 300
    assert number(viewer, "liver-dice-scan") is None
    assert viewer.is_disabled("[data-layer=errors] button")
    assert viewer.is_enabled("[data-layer=truth] button")


def test_tabs_are_moved_through_with_arrows(viewer):
    viewer.focus("#lv-tab-view")
    press(viewer, "ArrowRight")
    assert viewer.get_attribute("#lv-tab-threshold", "aria-selected") == "true"
    assert viewer.is_visible("#lv-panel-threshold")
    assert not viewer.is_visible("#lv-panel-view")


def open_lesson(page, name):
    page.click("#lv-tab-teach")
    page.click(f".lv-menu [data-lesson={name}]")
    settle(page)


def wait_for_score(page, name, words):
    script = f"document.querySelector('[data-lesson=why] [data-score={name}]').innerText"
    page.wait_for_function(f"{script} === '{words}'")


def at_voxel(page, volume, y, x):
    """The point on the page over a voxel of the axial picture, found with the cursor's words."""
    left, top = middle(page)
    places = []
    for dx, dy in [(0, 0), (100, 100)]:
        page.mouse.move(left + dx, top + dy)
        settle(page)
        _, x_mm, y_mm = cursor(page)
        places.append((x_mm / volume.spacing.x, y_mm / volume.spacing.y))
    (x0, y0), (x1, y1) = places
    per_x, per_y = 100 / (x1 - x0), 100 / (y1 - y0)
    return left + (x - x0) * per_x, top + (y - y0) * per_y


def draw_polygon(page, corners):
    page.check("[name=lv-pen][value=polygon]")
    for corner in corners:
        page.mouse.click(*corner)
    page.keyboard.press("Enter")
    settle(page)


def drawn(page, folder):
    """(z, y, x) labels of the downloaded drawing, and its affine."""
    with page.expect_download() as download:
        page.click("[data-action=download]")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    image = nibabel.load(path)
    return np.asarray(image.dataobj).T, image


def test_a_drawing_is_scored_against_the_truth_beside_the_network(viewer, case, tmp_path):
    open_lesson(viewer, "draw")
    assert colored(viewer) == 0  # nothing to trace
    rows, columns = np.nonzero(case.truth.liver[MIDDLE])
    y, x = rows.mean(), columns.mean()
    corners = [(y - 12, x - 12), (y - 12, x + 12), (y + 12, x + 12), (y + 12, x - 12)]
    draw_polygon(viewer, [at_voxel(viewer, case.volume, *corner) for corner in corners])
    assert colored(viewer) > 1000
    labels, image = drawn(viewer, tmp_path)
    assert image.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(nibabel.affines.voxel_sizes(image.affine), case.volume.spacing[::-1])
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert set(np.unique(labels)) == {0, LIVER}
    assert np.flatnonzero(labels.any(axis=(1, 2))).tolist() == [MIDDLE]
    assert 450 < np.count_nonzero(labels) < 700
    viewer.click("[data-action=compare]")
    settle(viewer)
    volume = Volume(case.volume.hu[MIDDLE : MIDDLE + 1].copy())
    for who, found in [("you", labels), ("network", case.prediction.labels)]:
        slices = [
            Segmentation(np.ascontiguousarray(mask[MIDDLE : MIDDLE + 1]))
            for mask in (found, case.truth.labels)
        ]
        scores = compare(*slices, volume, surfaces=False).liver
        for name in ("dice", "precision", "recall"):
            written = float(text(viewer, f"[data-who={who}] [data-score={name}]"))
            assert written == pytest.approx(getattr(scores, name), abs=5.01e-4)
    assert viewer.is_visible(".lv-second canvas")
    viewer.click("[data-action=compare]")
    settle(viewer)
    assert not viewer.is_visible(".lv-second canvas")


def test_brush_eraser_and_undo(viewer, tmp_path):
    open_lesson(viewer, "draw")
    x, y = middle(viewer)
    viewer.check("[name=lv-drawn][value=tumor]")

    def stroke():
        viewer.mouse.move(x, y)
        viewer.mouse.down()
        viewer.mouse.move(x + 60, y, steps=4)
        viewer.mouse.up()
        settle(viewer)

    stroke()
    once, _ = drawn(viewer, tmp_path)
    assert set(np.unique(once)) == {0, TUMOR}
    viewer.mouse.move(x, y)
    viewer.mouse.wheel(0, -100)
    settle(viewer)
    assert shown_slice(viewer) == MIDDLE + 1
    stroke()
    twice, _ = drawn(viewer, tmp_path)
    assert np.count_nonzero(twice) == 2 * np.count_nonzero(once)
    viewer.check("[name=lv-pen][value=eraser]")
    stroke()
    np.testing.assert_array_equal(drawn(viewer, tmp_path)[0], once)
    press(viewer, "u")
    np.testing.assert_array_equal(drawn(viewer, tmp_path)[0], twice)
    press(viewer, "u")
    press(viewer, "u")
    assert not drawn(viewer, tmp_path)[0].any()


def test_a_drawing_is_kept_while_another_lesson_is_open(viewer, tmp_path):
    open_lesson(viewer, "draw")
    viewer.mouse.click(*middle(viewer))
    settle(viewer)
    before, _ = drawn(viewer, tmp_path)
    assert before.any()
    viewer.click(".lv-lesson[data-lesson=draw] [data-action=close-lesson]")
    open_lesson(viewer, "why")
    viewer.wait_for_function(
        "document.querySelector('[data-lesson=why] [data-score=dice]').innerText === '1.000'"
    )
    viewer.click(".lv-lesson[data-lesson=why] [data-action=close-lesson]")
    open_lesson(viewer, "draw")
    np.testing.assert_array_equal(drawn(viewer, tmp_path)[0], before)


def test_find_the_tumors(viewer, case):
    lesions = measure(case.truth, case.volume).lesions
    open_lesson(viewer, "find")
    assert colored(viewer) == 0
    assert "umor" not in text(viewer, ".lv-cursor")
    viewer.click("[data-action=find-start]")
    z, y, x = (round(c) for c in lesions[0].centroid_zyx)
    assert case.truth.tumor[z, y, x]
    go_to(viewer, z)
    viewer.mouse.click(*at_voxel(viewer, case.volume, y, x))
    left, top = middle(viewer)
    viewer.mouse.click(left - 300, top - 300)  # air
    viewer.mouse.click(left + 300, top - 300)
    viewer.mouse.move(left, top)
    press(viewer, "u")
    assert text(viewer, ".lv-time").endswith("2 marks")
    viewer.click("[data-action=find-done]")
    settle(viewer)
    found = f"1 of {len(lesions)} found, {len(lesions) - 1} missed, 1 false call"
    assert text(viewer, ".lv-outcome") == found
    assert "score 0" in text(viewer, ".lv-running")
    assert colored(viewer) > 300
    viewer.click("[data-action=find-start]")
    viewer.click("[data-action=find-done]")
    settle(viewer)
    assert text(viewer, ".lv-running").startswith(f"2 rounds: 1 of {2 * len(lesions)} found")


def why(page, name):
    return text(page, f"[data-lesson=why] [data-score={name}]")


@pytest.mark.parametrize(("structure", "scope"), [("liver", "slice"), ("liver", "scan")])
def test_a_shifted_truth_scores_as_in_python(viewer, case, structure, scope):
    open_lesson(viewer, "why")
    viewer.check(f"[name=lv-why-scope][value={scope}]")
    viewer.fill("[name=lv-why-across]", "9")
    viewer.fill("[name=lv-why-grow]", "-3")
    viewer.wait_for_function(
        "!['…', '–'].includes(document.querySelector('[data-score=hd95]').innerText)"
    )
    spacing = case.volume.spacing
    truth = case.truth.liver
    away = np.stack([ndimage.distance_transform_edt(s, sampling=spacing[1:]) for s in truth])
    changed = np.roll(away > 3, round(9 / spacing.x), axis=2)
    z = slice(MIDDLE, MIDDLE + 1) if scope == "slice" else slice(None)
    two = [Segmentation(mask[z].astype(np.uint8)) for mask in (changed, truth)]
    flat = Spacing(None, *spacing[1:]) if scope == "slice" else spacing
    scores = compare(*two, Volume(case.volume.hu[z].copy(), spacing=flat)).liver
    for name in ("dice", "precision", "recall"):
        assert float(why(viewer, name)) == pytest.approx(getattr(scores, name), abs=5.01e-4)
    assert float(why(viewer, "hd95")) == pytest.approx(scores.hd95_mm, abs=0.051)


def test_leaving_out_a_lesion_costs_recall_but_no_precision(viewer, case):
    lesions = measure(case.truth, case.volume).lesions
    open_lesson(viewer, "why")
    viewer.check("[name=lv-why-structure][value=tumor]")
    viewer.check("[name=lv-why-scope][value=scan]")
    viewer.select_option("[name=lv-why-drop]", label=f"Tumor {len(lesions)}")
    share = 1 - lesions[-1].voxels / sum(lesion.voxels for lesion in lesions)
    wait_for_score(viewer, "recall", f"{share:.3f}")
    assert why(viewer, "precision") == "1.000"
    assert float(why(viewer, "dice")) == pytest.approx(2 * share / (1 + share), abs=5.01e-4)


def test_a_lesson_takes_the_tumors_of_a_new_truth_when_its_masks_are_here(viewer, case):
    open_lesson(viewer, "why")
    options = viewer.locator("[name=lv-why-drop] option")
    tumors = len(measure(case.truth, case.volume).lesions)
    expect(options).to_have_count(1 + tumors)

    def later(route):
        viewer.wait_for_timeout(300)
        route.continue_()

    viewer.route("**/files/**", later)
    viewer.click("#fewer")
    expect(options).to_have_count(tumors)
    viewer.unroute("**/files/**")


def test_lessons_need_a_truth_or_bring_their_own(viewer):
    show(viewer, "scan")
    viewer.click("#lv-tab-teach")
    assert viewer.is_disabled(".lv-menu [data-lesson=why]")
    assert viewer.is_enabled(".lv-menu [data-lesson=draw]")
    viewer.click(".lv-menu [data-lesson=find]")
    settle(viewer)
    assert viewer.is_disabled("[data-action=find-start]")
    assert viewer.is_enabled("[data-action=find-case]")


def test_a_class_opens_the_same_synthetic_case_by_number_and_difficulty(viewer):
    show(viewer, "nothing", "empty")
    open_lesson(viewer, "find")
    viewer.fill("[name=lv-case]", "12")
    viewer.select_option("[name=lv-size]", "small")
    viewer.select_option("[name=lv-contrast]", "faint")
    button = viewer.locator("[data-action=find-case]")
    for number, label in (("12", "Open"), ("13", "Next")):
        assert button.inner_text() == label
        button.click()
        words = f"This is case {number}: small tumors, faint."
        viewer.wait_for_function(f"document.querySelector('.lv-case').innerText === '{words}'")
        assert viewer.input_value("[name=lv-case]") == number
        viewer.click("[data-action=find-start]")
        viewer.click("[data-action=find-done]")
        settle(viewer)
    assert text(viewer, ".lv-running").startswith("2 rounds")
    viewer.select_option("[name=lv-size]", "large")
    assert button.inner_text() == "Open"
    viewer.fill("[name=lv-case]", "-1")
    assert button.is_disabled()


def test_a_link_to_no_case_says_so(viewer):
    begin = viewer.url
    viewer.goto(f"{begin}?case=-1&size=huge")
    expect(viewer.locator(".lv-link")).to_contain_text("from 0 to 999999")
    viewer.goto(begin)


def test_errors_are_not_shown_where_there_is_nothing_to_compare(viewer):
    show(viewer, "truth", "scan")
    show(viewer, "result")  # goes to the liver
    show(viewer, "truth", "scan")
    without = colors(viewer)
    show(viewer, "result")
    press(viewer, "e")
    assert viewer.get_attribute("[data-layer=errors] button", "aria-pressed") == "true"
    show(viewer, "truth", "scan")
    assert np.array_equal(colors(viewer), without)


def test_it_is_said_which_numbers_are_of_moved_thresholds(viewer):
    viewer.click("#lv-tab-threshold")
    slider = viewer.locator("[data-threshold=tumor] input")
    expect(slider).to_be_enabled()
    hint = viewer.locator(".lv-own")
    expect(hint).to_be_hidden()
    slider.fill("0.2")
    expect(hint).to_contain_text("the table and downloads use the network's")
    viewer.click("#lv-panel-threshold button")
    expect(hint).to_be_hidden()


@pytest.mark.parametrize("action", ["play", "save", "reset", "planes"])
def test_what_needs_a_scan_waits_for_one(viewer, action):
    assert viewer.is_enabled(f"[data-action={action}]")
    show(viewer, "nothing", "empty")
    assert viewer.is_disabled(f"[data-action={action}]")


def test_a_link_opens_the_same_case_with_its_tumors_hidden(viewer):
    viewer.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_lesson(viewer, "find")
    assert not viewer.is_visible("[data-action=find-link]")  # an upload is in no address
    viewer.fill("[name=lv-case]", "12")
    viewer.select_option("[name=lv-size]", "small")
    viewer.click("[data-action=find-case]")
    viewer.wait_for_selector("[data-action=find-link]")
    viewer.focus("[data-action=find-link]")
    viewer.keyboard.press("Enter")
    viewer.wait_for_function("document.querySelector('.lv-link').innerText !== ''")
    assert text(viewer, ".lv-link") == "The link is copied."
    link = viewer.evaluate("navigator.clipboard.readText()")
    assert link == f"{viewer.url}?case=12&size=small&contrast=any"
    viewer.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    viewer.click("[data-action=find-link]")
    viewer.wait_for_function("document.querySelector('.lv-link').innerText.includes('?case=12')")
    begin = viewer.url
    viewer.goto(link)
    words = "This is case 12: small tumors."
    viewer.wait_for_function(f"document.querySelector('.lv-case')?.innerText === '{words}'")
    viewer.wait_for_selector(".lv[data-phase=scan]")
    settle(viewer)
    assert colored(viewer) == 0
    assert viewer.is_enabled("[data-action=find-start]")
    viewer.goto(begin)


@pytest.mark.parametrize("query", ["case=", "case=-1", "case=x", "case=1e9", "size=small"])
def test_a_link_to_no_case_opens_none(viewer, query):
    asked = []
    viewer.on("request", lambda request: asked.append(request.url))
    begin = viewer.url
    viewer.goto(f"{begin}?{query}")
    viewer.wait_for_load_state("networkidle")
    assert not any("queue/join" in url for url in asked)
    assert text(viewer, ".lv-message") == "Open a CT scan or a synthetic case"
    viewer.goto(begin)


def test_a_lesson_gives_nothing_away_in_numbers_lists_or_keys(viewer, case):
    viewer.click("#lv-tab-tumors")
    press(viewer, "n")
    z = shown_slice(viewer)
    assert z == case.measurements.lesions[0].long_axis[0][0]
    axes = of_color(viewer, "#ffffff")
    open_lesson(viewer, "find")
    assert of_color(viewer, "#ffffff") < axes
    assert number(viewer, "tumor-area") is None
    assert number(viewer, "tumor-dice-slice") is None
    viewer.click("#lv-tab-tumors")
    settle(viewer)
    assert viewer.locator("#lv-panel-tumors button").count() == 0
    press(viewer, "n")
    assert shown_slice(viewer) == z
    viewer.click("#lv-tab-teach")
    viewer.click("[data-action=find-start]")
    assert viewer.get_attribute(".lv", "data-secret") == "true"
    viewer.click("[data-action=find-done]")
    settle(viewer)
    assert viewer.get_attribute(".lv", "data-secret") == "false"
    assert number(viewer, "tumor-area") is not None


def test_the_answer_leads_to_every_tumor_of_the_case(viewer, case):
    lesions = measure(case.truth, case.volume).lesions
    open_lesson(viewer, "find")
    viewer.click("[data-action=find-start]")
    viewer.click("[data-action=find-done]")
    settle(viewer)
    rows = viewer.locator(".lv-answers button")
    assert rows.count() == len(lesions)
    for row, lesion in zip(rows.all(), lesions, strict=True):
        assert f"{lesion.volume_ml:.2f} mL" in row.inner_text()
        assert "Missed" in row.inner_text()
        row.click()
        settle(viewer)
        assert lesion.first_slice <= shown_slice(viewer) <= lesion.last_slice


def test_what_a_number_means_is_one_click_away_with_its_source(viewer):
    viewer.click(".lv-side > .lv-meanings summary")
    words = text(viewer, ".lv-side > .lv-meanings")
    for key in ("dice", "empty_slice", "liver_ml", "tumor_ml"):
        assert EXPLANATIONS[key].sentence in words
        assert EXPLANATIONS[key].source in words


def test_a_new_scan_in_the_search_shows_nothing_of_its_tumors(viewer):
    show(viewer, "nothing", "empty")
    show(viewer, "truth", "scan")
    open_lesson(viewer, "find")
    viewer.click("[data-action=find-start]")
    show(viewer, "nothing", "empty")
    show(viewer, "result")
    assert colored(viewer) == 0
    assert viewer.is_visible("[data-action=find-start]")

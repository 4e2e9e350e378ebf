"""Makes the README's moving picture: a synthetic case is scrolled, compared, and thresholded.

python -m tests.tools.screencast
"""

import io
import re
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from tests.helpers.browser import open_browser
from tests.helpers.page_server import served_here

PICTURE = Path(__file__).with_name("screencast.webp")
CASE = 8
PATIENCE_MS = 300_000
SIZE = {"width": 1366, "height": 700}
SHOWN = (960, 492)  # pixels of the picture
SCROLLED = range(-12, 13, 2)  # slices around the largest tumor
THRESHOLDS = (0.8, 0.6, 0.4, 0.2, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 0.8)
QUICK_MS, SLOW_MS, STILL_MS = 160, 260, 1400


def main() -> None:
    """Writes the picture."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served_here(Path(folder)) as served,
        sync_playwright() as playwright,
    ):
        browser = open_browser(playwright)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.goto(served.url)
        page.fill("#seed input", str(CASE))
        page.click("#synthetic")
        page.click("#lv-tab-tumors")
        page.click('.lv-lesions [data-status="detected"]')
        expect(page.locator("#numbers")).to_contain_text(re.compile(r"HD95\s*\d"))  # comes last
        expect(page.locator("#status .stage")).to_be_empty()
        frames = [*scroll(page), *show_errors(page), *move_threshold(page)]
        browser.close()
    pictures, milliseconds = zip(*frames, strict=True)
    first, *others = pictures
    first.save(
        PICTURE,
        save_all=True,
        append_images=others,
        duration=milliseconds,
        loop=0,
        quality=60,
        method=6,
    )


def scroll(page: Page):
    """Up and down around the largest tumor."""
    slider = page.locator(".lv-strip input")
    middle = int(slider.input_value())
    yield picture(page), STILL_MS
    for step in (*SCROLLED, *reversed(SCROLLED), 0):
        slider.fill(str(middle + step))
        yield picture(page), QUICK_MS


def show_errors(page: Page):
    """The error map in place of the masks."""
    page.click("#lv-tab-view")
    page.keyboard.press("e")
    yield picture(page), STILL_MS
    page.keyboard.press("e")
    yield picture(page), SLOW_MS


def move_threshold(page: Page):
    """The tumor's threshold, down and up."""
    page.click("#lv-tab-threshold")
    slider = page.locator("#lv-panel-threshold input[type=range]").last
    for value in THRESHOLDS:
        slider.fill(str(value))
        yield picture(page), SLOW_MS
    yield picture(page), STILL_MS


def picture(page: Page) -> Image.Image:
    """The page as it is now, once it is painted."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")
    whole = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return whole.resize(SHOWN, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()

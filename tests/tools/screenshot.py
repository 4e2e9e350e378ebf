"""Makes the README's picture: the page with a synthetic case.

python -m tests.tools.screenshot
"""

import re
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.helpers.browser import open_browser
from tests.helpers.page_server import served_here

PICTURE = Path(__file__).with_name("screenshot.jpg")
CASE = 8
PATIENCE_MS = 300_000


def main() -> None:
    """Writes the picture."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served_here(Path(folder)) as served,
        sync_playwright() as playwright,
    ):
        browser = open_browser(playwright)
        page = browser.new_page(viewport={"width": 1366, "height": 700})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.goto(served.url)
        page.fill("#seed input", str(CASE))
        page.click("#synthetic")
        page.click("#lv-tab-tumors")
        page.click('.lv-lesions [data-status="detected"]')
        expect(page.locator("#numbers")).to_contain_text(re.compile(r"HD95\s*\d"))  # comes last
        expect(page.locator("#status .stage")).to_be_empty()
        page.screenshot(path=PICTURE, type="jpeg", quality=85)
        browser.close()


if __name__ == "__main__":
    main()

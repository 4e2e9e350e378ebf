"""Fixtures that more than one test module uses."""

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.helpers.browser import open_browser

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


# A file's tests run in one process: if a long file came last, the other process would wait for it.
LONGEST_FIRST = ("test_notebook.py", "test_app_browser.py", "test_viewer_browser.py")


def pytest_collection_modifyitems(config, items):
    """Begins with the longest files, and leaves out campaigns that nobody asked for by name."""
    items.sort(key=lambda item: item.path.name not in LONGEST_FIRST)
    if "campaign" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("campaign")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real CT that developers have; tests that need it skip elsewhere."""
    if not SHARED.is_dir():
        pytest.skip(reason="needs the developers' real CT, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def uploads(real_data) -> Path:
    """Real uploads: a 3D-IRCADb patient, TotalSegmentator slices, a DICOM SEG."""
    return real_data / "uploads"


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium; without one the test skips, or fails where CI=true."""
    with sync_playwright() as playwright:
        browser = open_browser(playwright)
        yield browser
        browser.close()

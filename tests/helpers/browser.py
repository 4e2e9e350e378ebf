"""Chromium for the tests that need a browser: Debian's, or the one a variable names."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str:
    """The path of a Chromium; without one the test skips, or fails where CI=true."""
    named = os.environ.get("LIVERSEG_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    reason = "needs Chromium: apt-get install chromium, or name one in LIVERSEG_CHROMIUM"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def open_browser(playwright):
    """A headless Chromium that talks to this machine only."""
    return playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))

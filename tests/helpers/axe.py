"""axe-core, which looks for what hinders people who cannot see a page or move a mouse well."""

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

VERSION = "4.14.1"
GRAVE = ("serious", "critical")


@functools.cache
def axe_script() -> str:
    """Its code, from npm; without npm the test skips, or fails where CI=true."""
    if shutil.which("npm") is None:
        reason = "needs npm, which brings axe-core: apt-get install npm"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", folder]
        subprocess.run([*command, f"axe-core@{VERSION}"], check=True, capture_output=True)
        script = Path(folder, "node_modules", "axe-core", "axe.min.js")
        return script.read_text(encoding="utf-8")


def grave_findings(page) -> list[str]:
    """What axe finds serious or critical on a page as it is now, in words."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(axe_script())
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{rule['id']}: {node['html'][:120]} ({node['failureSummary'][:200]})"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]

"""Fixtures that more than one test module uses."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


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

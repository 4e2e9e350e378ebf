"""Scans as the viewer has them once all of it is there."""

from pathlib import Path

from gradio.utils import get_upload_folder

from liverseg.page.viewer.packing import pack_scan_steps
from liverseg.page.visitors import new_folder


def private_folder() -> Path:
    """A new folder that Gradio serves from, under a name that nobody can guess."""
    served = Path(get_upload_folder())
    served.mkdir(parents=True, exist_ok=True)
    return new_folder(served)


def pack_scan(*args) -> dict:
    """The last value of `pack_scan_steps`."""
    *_, value = pack_scan_steps(*args)
    return value

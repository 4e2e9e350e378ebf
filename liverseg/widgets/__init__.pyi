"""The page's own small components: a box for uploads, a Plotly figure, lists of numbers.

Gradio runs a component's template as JavaScript, so the templates here are fixed: what came from
outside reaches the page through `props.value` and `textContent` only.
"""

import re
import shutil
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import plotly
from gradio.utils import get_upload_folder

HERE = Path(__file__).parent
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

def _files(name: str) -> dict[str, str]:
    """A component's template, style and script from the files of that name."""
    parts = {"html_template": "html", "css_template": "css", "js_on_load": "js"}
    return {
        part: (HERE / f"{name}.{suffix}").read_text(encoding="utf-8")
        for part, suffix in parts.items()
    }

from gradio.events import Dependency

class Shown(gr.HTML):
    """Draws a JSON value with the script of the subclass's file; no input."""

    file = ""

    def __init__(self, value=None, **settings):
        super().__init__(value, **{**_files(self.file), **settings})

    def postprocess(self, value):
        """Any JSON value."""
        return value

    def api_info(self) -> dict:
        """Any JSON value."""
        return {}
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

class Headline(Shown):
    """A few large numbers: [{"label", "value", "unit"}]."""

    file = "headline"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

class NumberTable(Shown):
    """Numbers and what they say: [{"group", "rows": [{"name", "value", "unit", "why"}]}]."""

    file = "number_table"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

class Notices(Shown):
    """Sentences about choices that were made for the person: [sentence]."""

    file = "notices"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

class UploadBox(gr.HTML):
    """Takes files, folders and zips, and hands them to Python as `Upload`.

    Its `upload` event follows when all have arrived. The answer is `said(sentence)` or
    `refused(sentence)`, shown below the box.
    """

    def __init__(self, label: str = "", hint: str = "", **settings):
        parts = _files("upload_box")
        template = parts["html_template"].replace("LABEL", escape(label)).replace("HINT", hint)
        super().__init__(**{**parts, "html_template": template, **settings})

    def preprocess(self, payload: Any) -> "Upload | None":
        """The uploaded files; None where there are none."""
        if not isinstance(payload, dict) or not payload.get("files"):
            return None
        paths = [Path(file["path"]) for file in payload["files"]]
        return Upload(paths, [str(name) for name in payload.get("names") or ()])

    def postprocess(self, value: dict | None) -> dict | None:
        """What `said` or `refused` made."""
        return value

    def api_info(self) -> dict:
        """Any JSON object."""
        return {"type": "object"}
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

def said(sentence: str) -> dict:
    """An answer of an UploadBox: all is well."""
    return {"text": sentence, "state": "ready"}

def refused(sentence: str) -> dict:
    """An answer of an UploadBox: the upload cannot be used."""
    return {"text": sentence, "state": "refused"}

class Upload:
    """Files that Gradio received.

    Args:
        paths: where Gradio put them.
        names: where each belongs in the person's folder; its own name where it is not said.
    """

    def __init__(self, paths: list[Path], names: list[str] | None = None):
        received = Path(get_upload_folder()).resolve()
        self.paths = [path.resolve() for path in paths]
        if not all(path.is_relative_to(received) for path in self.paths):
            raise ValueError("not an uploaded file")
        named = names if names and len(names) == len(paths) else [path.name for path in paths]
        self.names = [_safe_name(name) for name in named]

    def move_to(self, folder: Path) -> list[Path]:
        """Moves the files into an empty folder; returns what then lies at its top."""
        for path, name in zip(self.paths, self.names, strict=True):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
            path.parent.rmdir()
        return sorted(folder.iterdir())

def _safe_name(name: str) -> Path:
    """A relative path that stays where it is put, made of letters, digits, space, . _ and -."""
    parts = [re.sub(r"[^\w .-]", "_", part)[:100].lstrip(".") for part in name.split("/")]
    return Path(*[part for part in parts if part] or ["file"])

class PlotlyView(Shown):
    """A Plotly figure; `linked` ones follow and steer the viewer's slice."""

    file = "plotly_view"

    def __init__(self, value=None, *, linked: bool = False, **settings):
        # Relative, so that it holds behind any proxy or mount point.
        settings.setdefault("head", f'<script src="gradio_api/file={PLOTLY_JS}"></script>')
        super().__init__(value, linked=linked, **settings)

    def postprocess(self, value) -> str | None:
        """A plotly figure as JSON."""
        return value.to_json() if hasattr(value, "to_json") else value
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

def allow_plotly() -> None:
    """Lets Gradio serve plotly.js to anyone; call once before the page is built."""
    gr.set_static_paths([PLOTLY_JS])

def theme() -> gr.Theme:
    """Quiet greys, one accent, and the fonts that are already on the visitor's machine."""
    sans = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
    mono = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
    return gr.themes.Base(primary_hue="sky", neutral_hue="slate", font=sans, font_mono=mono)

CSS = (HERE / "page.css").read_text(encoding="utf-8")

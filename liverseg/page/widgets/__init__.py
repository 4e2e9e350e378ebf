"""The page's own small components: a box for uploads, a Plotly figure, lists of numbers.

Each is a `gr.HTML` with a template, a style and a script of its own. Gradio runs a template as
JavaScript, so the templates are fixed: what came from outside reaches the page through
`props.value` and `textContent` only.
"""

import re
import secrets
import shutil
from html import escape
from pathlib import Path

import gradio as gr
import plotly
from gradio import route_utils
from gradio.data_classes import FileData
from gradio.utils import get_upload_folder

HERE = Path(__file__).parent
CSS = (HERE / "page.css").read_text(encoding="utf-8")
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


def component(name: str, value=None, *, template: str | None = None, **settings) -> gr.HTML:
    """A component made of `name`.html, .css and .js, whose comments say what value it draws."""
    html, css, js = (
        (HERE / f"{name}.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "css", "js")
    )
    return gr.HTML(
        value,
        html_template=template or html,
        css_template=css,
        js_on_load=js,
        apply_default_css=False,
        **settings,
    )


def upload_box(label: str, hint: str, **settings) -> gr.HTML:
    """Takes files, folders and zips; its value is then one for `Upload.of`.

    Its `upload` event follows when all have arrived. The handler answers with `said(sentence)` or
    `refused(sentence)`, which is shown in the box.

    Args:
        label: text.
        hint: HTML of our own.
        settings: of gr.HTML.
    """
    template = (HERE / "upload_box.html").read_text(encoding="utf-8")
    template = template.replace("LABEL", escape(label)).replace("HINT", hint)
    return component("upload_box", template=template, **settings)


def said(sentence: str) -> dict:
    """An answer of an upload box: all is well."""
    return {"text": sentence, "state": "ready"}


def refused(sentence: str) -> dict:
    """An answer of an upload box: the upload cannot be used."""
    return {"text": sentence, "state": "refused"}


def downloads_value(offers: list[dict], file: Path | None = None) -> dict:
    """For a "downloads" component: what it offers, and a file to save now."""
    return {"offers": offers, "file": FileData(path=str(file)).model_dump() if file else None}


def plotly_figure(hint: str, *, linked: bool = False, **settings) -> gr.HTML:
    """Draws a figure's `to_json()`; `linked` ones follow and steer the viewer's slice.

    Until there is one it says `hint`.
    """
    # Relative, so that it holds behind any proxy or mount point.
    script = f'<script src="gradio_api/file={PLOTLY_JS}"></script>'
    template = (HERE / "plotly_figure.html").read_text(encoding="utf-8")
    template = template.replace("HINT", escape(hint))
    # In the template and not in `props`, of which Gradio forgets all but the value where a tab is
    # first opened after the value came.
    if linked:
        template = template.replace('class="plot"', 'class="plot" data-linked')
    return component("plotly_figure", template=template, head=script, **settings)


def prepare_gradio() -> None:
    """Serves plotly.js, and keeps uploads apart; call once before the page is built."""
    gr.set_static_paths([PLOTLY_JS])
    route_utils.GradioUploadFile = _UploadedFile


class _UploadedFile(route_utils.GradioUploadFile):
    """Gives each upload a folder of its own.

    Gradio's folder is a hash of the content, so two visitors with equal bytes would share a file,
    and the first to be read and deleted would take it from the other.
    """

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.sha.update(secrets.token_bytes(32))


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

    @classmethod
    def of(cls, value: dict) -> "Upload":
        """From an upload box's value."""
        paths = [Path(file["path"]) for file in value["files"]]
        return cls(paths, [str(name) for name in value["names"]])

    def move_to(self, folder: Path) -> None:
        """Moves the files into an empty folder."""
        for k, (path, name) in enumerate(zip(self.paths, self.names, strict=True)):
            target = folder / name
            if target.exists():
                target = folder / str(k) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
            path.parent.rmdir()


def _safe_name(name: str) -> Path:
    """A relative path that stays where it is put, made of letters, digits, space, . _ and -."""
    parts = [re.sub(r"[^\w .-]", "_", part)[:100].lstrip(".") for part in name.split("/")]
    return Path(*[part for part in parts if part] or ["file"])


def theme() -> gr.Theme:
    """Quiet greys, one accent, and the fonts that are already on the visitor's machine."""
    sans = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
    mono = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
    quiet = gr.themes.Base(primary_hue="sky", neutral_hue="slate", font=sans, font_mono=mono)
    return quiet.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        error_text_color_dark=gr.themes.colors.red.c300,  # the base's is all but white
    )

"""The page's own small components: a box for uploads, a Plotly figure, lists of numbers.

Each is a `gr.HTML` with a template, a style and a script of its own. Gradio runs a template as
JavaScript, so the templates are fixed: what came from outside reaches the page through
`props.value` and `textContent` only.
"""

import secrets
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import plotly
from gradio import route_utils

HERE = Path(__file__).parent
CSS = (HERE / "page.css").read_text(encoding="utf-8")
PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


def component(
    name: str, value: Any = None, *, template: str | None = None, **settings: Any
) -> gr.HTML:
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


def upload_box(label: str, hint: str, **settings: Any) -> gr.HTML:
    """Takes files, folders and zips; its value is then one for `Upload`.

    Its `upload` event follows when all have arrived. The handler answers with `uploads.said` or
    `uploads.refused`, which is shown in the box.

    Args:
        label: text.
        hint: HTML of our own.
        settings: of gr.HTML.
    """
    template = (HERE / "upload_box.html").read_text(encoding="utf-8")
    template = template.replace("LABEL", escape(label)).replace("HINT", hint)
    return component("upload_box", template=template, **settings)


def plotly_figure(hint: str, *, linked: bool = False, **settings: Any) -> gr.HTML:
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
    route_utils.GradioUploadFile = _UploadedFile  # type: ignore[misc]  # there is no other way in


class _UploadedFile(route_utils.GradioUploadFile):
    """Gives each upload a folder of its own.

    Gradio's folder is a hash of the content, so two visitors with equal bytes would share a file,
    and the first to be read and deleted would take it from the other.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.sha.update(secrets.token_bytes(32))


def theme() -> gr.Theme:
    """Quiet grays, one accent, and the fonts that are already on the visitor's machine."""
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

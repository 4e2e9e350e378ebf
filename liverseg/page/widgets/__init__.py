"""The page's own small components: a box for uploads, a Plotly figure, lists of numbers.

Each is a `gr.HTML` with a template, a style and a script of its own. Gradio runs a template as
JavaScript, so the templates are fixed: what came from outside reaches the page through
`props.value` and `textContent` only.
"""

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ...reading.file_names import KNOWN_WORDS
from ..routes import PLOTLY_JS, script_address

HERE = Path(__file__).parent
CSS = (HERE / "page.css").read_text(encoding="utf-8")


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
    template = template.replace("WORDS", " ".join(sorted(KNOWN_WORDS)))
    return component("upload_box", template=template, **settings)


def plotly_figure(hint: str, *, linked: bool = False, **settings: Any) -> gr.HTML:
    """Draws a figure's `to_json()`; `linked` ones follow and steer the viewer's slice.

    Until there is one it says `hint`.
    """
    template = (HERE / "plotly_figure.html").read_text(encoding="utf-8")
    template = template.replace("HINT", escape(hint))
    data = f'data-script="{script_address(PLOTLY_JS.name)}"' + (" data-linked" if linked else "")
    template = template.replace('class="plot"', f'class="plot" {data}')
    return component("plotly_figure", template=template, **settings)


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

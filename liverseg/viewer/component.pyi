"""The Gradio component: its files, joined as `gr.HTML` wants them."""

import re
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioRootModel

from .. import colors

HERE = Path(__file__).parent
PALETTE = {name.lower(): value for name, value in vars(colors).items() if name.isupper()}

# The scripts are ES modules; later ones use earlier ones. `gr.HTML` runs one function body, so
# they are joined in this order, without their imports and exports.
SCRIPTS = ("main",)


class ViewerValue(GradioRootModel):
    """What `packing` makes; a model of its own so that examples and the API keep it as JSON."""

    root: Any = None

from gradio.events import Dependency

class LiverViewer(gr.HTML):
    """Shows what `packing` made of a scan, its segmentation and the ground truth.

    Its event `open_case` asks for a synthetic case: number, size and contrast of `cases.Case`.
    """

    data_model = ViewerValue

    def __init__(self, value: dict | None = None, **settings):
        files = {
            "html_template": (HERE / "viewer.html").read_text(encoding="utf-8"),
            "css_template": (HERE / "viewer.css").read_text(encoding="utf-8"),
            "js_on_load": joined_scripts(),
            "apply_default_css": False,
        }
        super().__init__(value, palette=PALETTE, meanings=MEANINGS, **{**files, **settings})

    def preprocess(self, payload: Any) -> None:
        """The viewer is no input: what a browser sends back is dropped."""

    def postprocess(self, value: dict | None) -> ViewerValue:
        """What `packing` made; None empties the viewer."""
        return ViewerValue(root=value)

    def api_info(self) -> dict:
        """Any JSON object."""
        return {"type": "object"}
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component


def joined_scripts() -> str:
    """The function body that `gr.HTML` runs when the viewer appears."""
    modules = (HERE / f"{name}.js" for name in SCRIPTS)
    return "\n".join(_without_module_syntax(path.read_text(encoding="utf-8")) for path in modules)


def _without_module_syntax(script: str) -> str:
    script = re.sub(r"^import [^;]*;\n", "", script, flags=re.MULTILINE)
    return re.sub(r"^export ", "", script, flags=re.MULTILINE)
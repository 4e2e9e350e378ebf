"""The Gradio component: its template, its style, and the start of its scripts."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioRootModel

from ...scores.glossary import EXPLANATIONS, STATUS_WORDS
from ...writing import colors
from .scripts import SCRIPTS

HERE = Path(__file__).parent
PALETTE = {name.lower(): value for name, value in vars(colors).items() if name.isupper()}
MEANINGS = {key: asdict(known) for key, known in EXPLANATIONS.items()}

# What `gr.HTML` runs when the viewer appears. It requests all scripts at once: a browser by itself
# learns of a script only from one that imports it, one round trip after another. Until they are
# loaded, `props` keeps the newest value and the controls are inert.
ON_LOAD = """
const [folder, names] = SCRIPTS;
const address = (name) => new URL(folder + name, document.baseURI).href;
for (const name of names) {
  const link = document.createElement("link");
  document.head.append(Object.assign(link, { rel: "modulepreload", href: address(name) }));
}
// Gradio takes the names of the viewer's events from quotes in this text: "open_case", "segment".
import(address("main.js"))
  .then(({ start }) => start({ element, props, watch, trigger }))
  .catch((error) => {
    console.error(error);
    element.querySelector(".lv-message").textContent =
      "The viewer could not start. Reload the page; if that does not help, use a newer browser.";
  });
"""


class ViewerValue(GradioRootModel):
    """What `packing` makes; a model of its own so that examples and the API keep it as JSON."""

    root: Any = None


class LiverViewer(gr.HTML):
    """Shows what `packing` made of a scan, its segmentation and the ground truth.

    Its event `open_case` asks for a synthetic case: number, size and contrast of `SyntheticCase`;
    its event `segment` asks for the networks' masks of the scan that it shows.

    Args:
        value: what `packing` made.
        scripts: address of the folder of the scripts, relative to the page.
        settings: of `gr.HTML`.
    """

    data_model = ViewerValue

    def __init__(self, value: dict | None = None, *, scripts: str = "", **settings: Any):
        files = {
            "html_template": (HERE / "viewer.html").read_text(encoding="utf-8"),
            "css_template": (HERE / "viewer.css").read_text(encoding="utf-8"),
            "js_on_load": ON_LOAD.replace("SCRIPTS", json.dumps([scripts, SCRIPTS])),
            "apply_default_css": False,
        }
        words = {"meanings": MEANINGS, "statuses": STATUS_WORDS}
        super().__init__(value, palette=PALETTE, **{**words, **files, **settings})

    def preprocess(self, payload: Any) -> None:
        """The viewer is no input: what a browser sends back is dropped."""

    # `gr.HTML` has text for a value, this one what its `data_model` says
    def postprocess(self, value: dict | None) -> ViewerValue:  # type: ignore[override]
        """What `packing` made; None empties the viewer."""
        return ViewerValue(root=value)

    def api_info(self) -> dict:
        """Any JSON object."""
        return {"type": "object"}

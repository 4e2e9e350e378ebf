"""The model card: what `README.md` of a Hub repository says about the weights in it.

All prose is in `model_card_template.md`; every number comes from config.json and results.json.
"""

import json
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from .weights import Weights

RESULTS = "results.json"
TEMPLATE = Path(__file__).with_name("model_card_template.md")


def model_card(weights: Weights) -> ModelCard:
    """The card of a weights folder, with results.json in its metadata where there is one."""
    path = weights.folder / RESULTS
    results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return ModelCard.from_template(
        ModelCardData(
            language="en",
            license="other",
            library_name="keras",
            pipeline_tag="image-segmentation",
            tags=["medical", "ct", "liver", "liver-tumor"],
            model_name="liverseg",
            eval_results=None,
        ),
        template_path=TEMPLATE,
        weights=weights,
        results=results,
    )

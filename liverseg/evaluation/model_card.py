"""The model card: what `README.md` of a Hub repository says about the weights in it.

The prose is in `model_card_template.md`. Every number comes from config.json and from results.json,
and only those results count that were measured with exactly these files.
"""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..network.weights import NETWORKS, RESULTS, Weights
from ..scores.glossary import EXPLANATIONS, UNDEFINED, format_value
from ..scores.results import Evaluation, evaluations
from .summary import SCORES
from .tables import (
    ablation_text,
    held_out_summary,
    held_out_text,
    interval,
    looks,
    origin_text,
    protocol_text,
    recipes_tested,
)

TEMPLATE = Path(__file__).with_name("model_card_template.md")
JUDGED = "patients on whom thresholds were chosen, networks that had not learned from them"
WORST = 3  # patients described as failures, for each structure


def model_card(weights: Weights) -> ModelCard:
    """The card of a weights folder; without a results.json of these weights it has no scores."""
    found = evaluations(weights)
    remarks = remarks_on(weights)
    return ModelCard.from_template(
        ModelCardData(
            language="en",
            license="other",
            license_name="non-commercial",
            library_name="keras",
            pipeline_tag="image-segmentation",
            tags=["medical", "ct", "liver", "liver-tumor", "teaching"],
            model_name="liverseg",
            eval_results=[one for e in found for one in eval_results(e, weights)] or None,
        ),
        template_path=str(TEMPLATE),
        weights=weights,
        evaluations=found,
        failures=failures(found[0], remarks) if found else [],
        scores={key: _name(key) for key in SCORES},
        format_value=format_value,
        interval=interval,
        detection=detection,
        share=share,
        judged=held_out_text(weights),
        judges=weights.trained.get("thresholds", {}).get("judges", ()),
        origin=origin_text(weights),
        looks=looks(weights),
        recipes_tested=recipes_tested(weights),
        protocol=protocol_text(weights),
        ablations=ablation_text(weights),
        calibrations=calibrations(found, weights),
    )


def remarks_on(weights: Weights) -> dict[str, str]:
    """By case, why these weights fail there; a remark on other weights' masks says nothing here."""
    remarks = weights.measured(RESULTS).get("remarks", {})
    return remarks.get("cases", {}) if remarks.get("of") == contents(weights) else {}


def contents(weights: Weights) -> dict[str, str]:
    """By network the sha256 of its file."""
    return {n: weights.files[n]["sha256"] for n in NETWORKS if n in weights.files}


def calibrations(found: list[Evaluation], weights: Weights) -> list[tuple[str, dict]]:
    """Whose probabilities were compared with the truth, and the summary that says how."""
    compared = [
        (f"{one.split} patients, {one.engine} engine", one.summary)
        for one in found
        if one.engine == found[0].engine
    ]
    summary = held_out_summary(weights)
    return [*compared, (JUDGED, summary)] if summary else compared


def eval_results(evaluation: Evaluation, weights: Weights) -> list[EvalResult]:
    """One entry of the Hub's model-index for each mean that is defined."""
    return [
        EvalResult(
            task_type="image-segmentation",
            task_name=f"{structure} in CT",
            dataset_type="abdominal-ct",
            dataset_name=weights.trained.get("data", "abdominal CT"),
            dataset_split=evaluation.split,
            metric_type=key,
            metric_name=f"{structure} {EXPLANATIONS[key].name}, mean, {evaluation.engine} engine",
            metric_value=evaluation.summary[structure][key]["mean"],
        )
        for structure in NETWORKS
        for key in SCORES
        if evaluation.summary[structure][key]["mean"] is not None
    ]


def failures(evaluation: Evaluation, remarks: dict[str, str]) -> list[str]:
    """The worst patients in words.

    Args:
        evaluation: whose.
        remarks: by case, why; written by a person who looked at the pictures.
    """
    sentences = []
    for structure in NETWORKS:
        known = ((_dice(patient, structure), patient) for patient in evaluation.patients)
        scored = [(dice, patient) for dice, patient in known if dice is not None]
        for dice, patient in sorted(scored, key=lambda pair: pair[0])[:WORST]:
            words = f"{patient['case']}, {structure}: Dice {dice:.3f}"
            if structure == "tumor":
                words += f" ({detection(patient['tumor'])})"
            sentences.append(f"{words}. {remarks.get(patient['case'], '')}".rstrip())
    return sentences


def detection(tumor: dict) -> str:
    """What became of a patient's lesions: "2 of 5 tumors detected, 1 false"."""
    true = [lesion["status"] for lesion in tumor["true_lesions"]]
    false = sum(lesion["status"] == "false" for lesion in tumor["predicted_lesions"])
    return f"{true.count('detected')} of {len(true)} tumors detected, {false} false"


def share(value: float | None) -> str:
    """A part of 1, as "0.123"; a dash where undefined."""
    return UNDEFINED if value is None else f"{value:.3f}"


def _name(key: str) -> str:
    known = EXPLANATIONS[key]
    return f"{known.name}, {known.unit}" if known.unit else known.name


def _dice(patient: dict, structure: str) -> float | None:
    return patient[structure] and patient[structure]["scores"]["dice"]

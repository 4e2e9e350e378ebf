"""What each number means, in one sentence with its source, for the page and the report."""

from dataclasses import dataclass

_DICE = "Dice, Ecology 26:297, 1945"
_JACCARD = "Jaccard, New Phytologist 11:37, 1912"
_TAHA = "Taha and Hanbury, BMC Medical Imaging 15:29, 2015"
_REINKE = "Reinke et al., Nature Methods 21:182, 2024"
_HEIMANN = "Heimann et al., IEEE Transactions on Medical Imaging 28:1251, 2009"
_LITS = "Bilic et al. (LiTS), Medical Image Analysis 84:102680, 2023"
_RECIST = "Eisenhauer et al. (RECIST 1.1), European Journal of Cancer 45:228, 2009"
_WHO = "Miller et al. (WHO criteria), Cancer 47:207, 1981"
_LINGURARU = "Linguraru et al., Academic Radiology 19:588, 2012"
_KODAMA = "Kodama et al., American Journal of Roentgenology 188:1307, 2007"
_NIKOLOV = "Nikolov et al., Journal of Medical Internet Research 23:e26151, 2021"
_KIRILLOV = "Kirillov et al., Panoptic Segmentation, CVPR 2019"
_BRATS = "Saluja et al. (BraTS 2023 lesion-wise metrics), as panoptica counts pairs"
_PAPER = "Kakroo and Mansotra, and the public notebook with their training log"


UNDEFINED = "–"
# What became of a tumor (see `lesions`), as a person reads it.
STATUS_WORDS = {
    "detected": "Found",
    "touched": "Partly found",
    "missed": "Missed",
    "false": "False positive",
    "unknown": UNDEFINED,
}


@dataclass(frozen=True)
class Explanation:
    """How a number is called, written and understood.

    Attributes:
        name: as a person reads it.
        unit: "" for a ratio.
        digits: after the point.
        sentence: what it means.
        source: where its definition comes from.
    """

    name: str
    unit: str
    digits: int
    sentence: str
    source: str


EXPLANATIONS: dict[str, Explanation] = {
    "dice": Explanation(
        "Dice",
        "",
        3,
        "Twice the shared voxels divided by the voxels of both masks together: 1 is the same mask, "
        "0 shares nothing.",
        _DICE,
    ),
    "iou": Explanation(
        "IoU",
        "",
        3,
        "The shared voxels divided by the voxels that are in either mask; always below Dice, "
        "except at 0 and 1.",
        _JACCARD,
    ),
    "precision": Explanation(
        "Precision",
        "",
        3,
        "How much of what was predicted is right; what was predicted too much lowers it.",
        _TAHA,
    ),
    "recall": Explanation(
        "Recall",
        "",
        3,
        "How much of the truth was found; what was missed lowers it.",
        _TAHA,
    ),
    "f1": Explanation(
        "F1",
        "",
        3,
        "The harmonic mean of precision and recall; for two masks it is the same number as Dice.",
        _TAHA,
    ),
    "accuracy": Explanation(
        "Accuracy",
        "",
        3,
        "How many of all voxels are labelled right; most of a scan is background, so even an "
        "empty mask comes close to 1.",
        _REINKE,
    ),
    "voe": Explanation(
        "Volumetric overlap error",
        "",
        3,
        "One minus IoU: 0 is the same mask.",
        _HEIMANN,
    ),
    "rvd": Explanation(
        "Relative volume difference",
        "",
        3,
        "The predicted volume minus the true one, divided by the true one; it does not notice a "
        "mask of the right size in the wrong place.",
        _HEIMANN,
    ),
    "assd_mm": Explanation(
        "Average surface distance",
        "mm",
        2,
        "How far the two surfaces are apart on average, measured from both (ASSD).",
        _HEIMANN,
    ),
    "hd95_mm": Explanation(
        "HD95",
        "mm",
        1,
        "95 % of each surface lies within this distance of the other; the worst 5 % are left out, "
        "as one stray voxel would decide the maximum.",
        _TAHA,
    ),
    "max_surface_mm": Explanation(
        "Maximum surface distance",
        "mm",
        1,
        "The farthest that any point of one surface is from the other (Hausdorff distance).",
        _HEIMANN,
    ),
    "nsd_2mm": Explanation(
        "Surface Dice, 2 mm",
        "",
        3,
        "The share of both surfaces that lies within 2 mm of the other (normalized surface Dice).",
        _NIKOLOV,
    ),
    "nsd_3mm": Explanation(
        "Surface Dice, 3 mm",
        "",
        3,
        "The share of both surfaces that lies within 3 mm of the other (normalized surface Dice).",
        _NIKOLOV,
    ),
    "panoptic_quality": Explanation(
        "Panoptic quality",
        "",
        2,
        "The IoU of the tumors found with IoU above 0.5, summed and divided by these plus half of "
        "the missed and false ones.",
        _KIRILLOV,
    ),
    "lesion_dice": Explanation(
        "Lesion-wise Dice",
        "",
        2,
        "The Dice of each tumor found with IoU above 0.5, and 0 for each missed or false one, "
        "averaged.",
        _BRATS,
    ),
    "sensitivity_below_10mm": Explanation(
        "Found below 10 mm",
        "",
        2,
        "How many true tumors with a long axis below 10 mm are touched by a predicted one.",
        _RECIST,
    ),
    "sensitivity_10_to_20mm": Explanation(
        "Found from 10 to 20 mm",
        "",
        2,
        "How many true tumors with a long axis from 10 to 20 mm are touched by a predicted one.",
        _RECIST,
    ),
    "sensitivity_above_20mm": Explanation(
        "Found above 20 mm",
        "",
        2,
        "How many true tumors with a long axis above 20 mm are touched by a predicted one.",
        _RECIST,
    ),
    "lesion_precision": Explanation(
        "Lesion precision",
        "",
        2,
        "How many of the predicted tumors overlap a true one with IoU above 0.5.",
        _LITS,
    ),
    "lesion_recall": Explanation(
        "Lesion recall",
        "",
        2,
        "How many of the true tumors are overlapped by a predicted one with IoU above 0.5.",
        _LITS,
    ),
    "liver_ml": Explanation(
        "Liver volume",
        "mL",
        0,
        "The liver with its tumors; a normal adult liver has about 1,500 ± 250 mL.",
        _LINGURARU,
    ),
    "tumor_ml": Explanation(
        "Tumor volume",
        "mL",
        1,
        "All tumors together: voxels times the size of a voxel.",
        _LITS,
    ),
    "burden_percent": Explanation(
        "Tumor burden",
        "%",
        1,
        "How much of the liver is tumor, the tumors counted as part of the liver.",
        _LITS,
    ),
    "liver_hu_mean": Explanation(
        "Liver density",
        "HU",
        0,
        "The mean of the liver without its tumors; without contrast a normal liver has about 55 to "
        "65 HU and a fatty one less, and contrast raises both.",
        _KODAMA,
    ),
    "volume_ml": Explanation(
        "Volume",
        "mL",
        1,
        "The voxels of one tumor, joined face to face, times the size of a voxel.",
        _LITS,
    ),
    "long_axis_mm": Explanation(
        "Long axis",
        "mm",
        1,
        "The tumor's longest diameter on an axial slice; from 10 mm on it counts as measurable.",
        _RECIST,
    ),
    "short_axis_mm": Explanation(
        "Short axis",
        "mm",
        1,
        "The longest diameter perpendicular to the long axis on the same slice.",
        _WHO,
    ),
    "hu_mean": Explanation(
        "Density",
        "HU",
        0,
        "The mean of the tumor's voxels; tumors less than 20 HU from the liver are hard to find.",
        _LITS,
    ),
    "empty_slice": Explanation(
        "No Dice",
        "",
        3,
        "Where neither mask has a voxel Dice would be 0 divided by 0, so it is left out rather "
        "than called 1.",
        _REINKE,
    ),
    "paper_split": Explanation(
        "The paper's split",
        "",
        3,
        "The paper's 0.9776 for the liver and 0.8815 for tumors come from rotated copies of the "
        "same slices on both sides of the split; a patient never seen before gets less.",
        _PAPER,
    ),
}


def format_value(key: str, value: float | None, unit: bool = False) -> str:
    """A number with the digits it deserves, and its unit if wanted; a dash where undefined."""
    if value is None:
        return UNDEFINED
    known = EXPLANATIONS[key]
    return f"{value:,.{known.digits}f} {known.unit if unit else ''}".rstrip()

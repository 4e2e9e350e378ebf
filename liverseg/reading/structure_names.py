"""Which structure a mask shows, by the names and codes that people and programs give it."""

import re

from ..volume import LIVER, TUMOR
from .hounsfield import MAX_LABELS

TUMOR_NAMES = re.compile("tumo|lesion|metasta|hcc")
NOT_A_TUMOR = re.compile("cyst|kyst|metastasectom")
BESIDE_LIVER = {"mask", "masks", "seg", "segmentation", "label", "labels", "truth", "gt"}
OTHER_ORGANS = re.compile(
    "aorta|artery|biliary|bladder|bone|colon|duoden|gallbladder|heart|hyperplas|intestin|kidney|"
    "lung|lymph|metal|metastasectom|cyst|kyst|muscle|niere|pancrea|portal|pulmon|renal|sigmoid|skin|"
    "spleen|splen|stomach|stone|surretumor|uterus|vein|vena|venous|vessel"
)
OTHER_STRUCTURES = re.compile(f"{OTHER_ORGANS.pattern}|^tumor$")
LIVER_CODES = {"T-62000", "10200004"}  # SNOMED-RT and SNOMED-CT: liver
TUMOR_CODES = {"M-80003", "M-80000", "108369006", "4147007", "86049000", "52988006"}
TUMOR_WORDS = re.compile(f"{TUMOR_NAMES.pattern}|neoplasm|mass|carcinoma")
LIVER_WORDS = ("liver", "leber", "hepar", "foie", "fegato", "higado", "hígado")
WITHOUT_TUMOR = re.compile(r"(without|minus|excluding|free of|no) (the )?tumou?rs?|tumou?r.free")


def structure_of(name: str) -> int | None:
    """LIVER or TUMOR by names as 3D-IRCADb's folders have, None for every other structure.

    A tumor of the liver has both words in its name; `tumor` alone is an adrenal one there, and
    cysts and resection beds are no tumors. Beside "liver" there may be a number or "mask".
    """
    name = name.lower()
    if "liver" in name and TUMOR_NAMES.search(name) and not NOT_A_TUMOR.search(name):
        return TUMOR
    words = re.findall("[a-z]+", name)
    rest = [word for word in words if word not in BESIDE_LIVER and len(word) > 2]
    return LIVER if rest == ["liver"] else None


def tumor_value(values: list[int]) -> int | None:
    """Which of a label map's two values is the tumor: 2 beside 1, or the higher of two grays.

    Args:
        values: all but 0, in order.

    Returns:
        None where there are not two, or where they may be the numbers of organs.
    """
    if len(values) == 2 and (values == [LIVER, TUMOR] or values[1] > MAX_LABELS):
        return values[1]
    return None

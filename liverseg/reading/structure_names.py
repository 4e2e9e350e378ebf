"""Which structure a mask shows, by the names and codes that people and programs give it.

One rule for files, folders and segments, in English, French, German, Spanish, Italian, Portuguese
and Dutch: `said` reads one name, and `structures_of` all names of an upload together.
"""

import re
import unicodedata
from collections.abc import Sequence
from enum import Enum, auto

from ..errors import TruthMismatch
from ..sentences import say
from ..volume import LIVER, TUMOR
from .hounsfield import MAX_LABELS

LONGEST_NAME = 256  # letters that are looked at
_LIVER = r"(?<!o)(?<!de)liver|(?<![a-z])(?:leber|lever|hepar|foie|fegato|higado|figado|hepat)"
_LIVER_OWN = r"hcc|crlm|hepatoma|hepatoblast|hepatoc|hepatoz"  # tumors that only livers have
_TUMOR = (
    "tumo|tumeur|gezwel|geschwulst|raumforderung|lesion|lesao|lesoe|lasion|laesi|letsel|metasta|"
    "uitzaai|cancer|cancro|krebs|kanker|carcino|karzino|neoplas|malign|hepatoma|hepatoblast|"
    "cholangioc|(?:(?<![a-z])|(?<=liver)|(?<=leber)|(?<=lever))"
    "(?:gtv(?:p|liver)?|hcc|ccc|cca|icc|crlm|mets?|mass|masses|massen)(?![a-z])"
)
_ARTICLE = "(?:(?:the|its|les?|la|los|las|den|die|i|il|os?|as?|de|any|all) )?"
_NO = (
    "without|minus|less|excluding|excl|except|free of|no|not|non|wo|sans|hors|moins|ohne|nicht|"
    "ausser|exkl|sin|menos|senza|meno|escluso|sem|exceto|zonder|behalve|min"
)
_WITH = (
    "with|and|plus|including|incl|und|mit|inkl|samt|et|avec|y|con|incluyendo|e|com|incluindo|"
    "compreso|en|met|inclusief"
)
TUMOR_WORDS, LIVER_WORDS = re.compile(_TUMOR), re.compile(_LIVER)
LIVER_TUMORS = re.compile(rf"(?:{_LIVER})[a-z]*? ?(?:{_TUMOR})|{_LIVER_OWN}")
WITHOUT_TUMORS = re.compile(
    rf"(?:(?<![a-z])|(?<=liver))(?:{_NO}) ?{_ARTICLE}"
    rf"(?:{_TUMOR}|[cip]tv)[a-z]*?(?:(?![a-z])|(?=liver|leber))|"
    rf"(?:{_TUMOR})[a-z]*? ?(?:free|frei[a-z]*|vrije?|subtracted|removed|excluded)(?![a-z])"
)
WITH_TUMORS = re.compile(
    rf"(?<![a-z])(?:{_WITH}) {_ARTICLE}(?:{_TUMOR})[a-z]*|"
    rf"(?:{_TUMOR})[a-z]* (?:{_WITH}) {_ARTICLE}(?={_LIVER})"
)
PHASES = re.compile("(?:portal ?venous|portal|arterial|venous|delayed|late) ?phase|portal ?venous")
NOT_A_TUMOR = re.compile(
    "cyst|kyst|zyst|quiste|cisti|cisto|metastasectom|peritumo|ablat|margin|thromb|resect"
)
OTHER_ORGANS = re.compile(
    "adrenal|airway|aorta|artery|biliary|bladder|blase|body|bone|bowel|brain|breast|colon|"
    "colorect|darm|duoden|gallen|gland|heart|hyperplas|intestin|kidney|lung|lymph|metal|milz|muscle|"
    "muskel|nier|ovar|pancrea|pankrea|poumon|polmon|portal|prostat|pulm|renal|rinon|sigmoid|skin|"
    "spleen|splen|stomach|estoma|stomaco|stone|surre|thyroid|trachea|uterus|vein|veine|vena|venous|"
    "vertebra|vessel|vesic|(?<![a-z])(?:bazo|baco|[cip]tv|ivc|vci|herz|maag|magen|milt|rate|reins?|ribs?)"
    "(?![a-z])"
)
PARTS = re.compile("segments?(?![a-z])|lobe|lappen|lobul|caudat|couinaud|contour|bound|dome|box")
BESIDE = frozenset(
    re.findall(
        "[a-z]+",
        "annotated annotation annotations background binary case complete entire file final full "
        "gesamte gesamt ground healthy image images img label labels liver manual map mask masker "
        "maske masken maschera mascara masks masque normal organ parenchym parenchyma patient roi "
        "scan seg segm segmentation segmentations segmentierung segment total truth uninvolved vol "
        "tissue gewebe sain sano sana gesund gesunde ganze entier intero entero inteiro hele "
        "gezonde parenchyme parenchima parenquima organo orgao organe non tumoral "
        "volume whole dicom png the gtv del della manually auto reader nii",
    )
)
DATA_SETS = re.compile("challenge|dataset|benchmark|lits|project|task|tumou?rs? segmentation$")
PATIENT = re.compile(r"(?i)(?:hcc|ccc|cca|icc|crlm)[ _-]*\d{2,}")  # named after the disease
BARE_TUMOR = "tumor"  # in 3D-IRCADb an adrenal one
OF_3D_IRCADB = re.compile("venous ?system|surre|^skin$")
LIVER_CODES = {"T-62000", "10200004"}  # SNOMED-RT and SNOMED-CT
TUMOR_CODES = {
    *("M-80003", "M-80000", "M-80006", "108369006", "4147007", "86049000", "52988006"),
    *("14799000", "25370001", "109841003", "70179006", "94381002"),
}


class Said(Enum):
    """What a name says of a mask."""

    LIVER = auto()
    MAYBE_LIVER = auto()  # beside the liver there are words of unknown meaning
    TUMOR = auto()  # of the liver
    SOME_TUMOR = auto()  # of what, is not said
    OTHER = auto()
    NOTHING = auto()


def said(name: str) -> Said:
    """What the name of a file, folder or segment says."""
    whole = plain(name)
    text = WITH_TUMORS.sub(" ", WITHOUT_TUMORS.sub(" ", PHASES.sub(" ", whole)))
    has_liver = bool(LIVER_WORDS.search(text))
    if not has_liver and WITHOUT_TUMORS.search(whole):
        return Said.OTHER
    if not has_liver:
        text = whole
    if NOT_A_TUMOR.search(text):
        return Said.OTHER
    if LIVER_TUMORS.search(text):
        return Said.TUMOR
    if OTHER_ORGANS.search(text):
        return Said.OTHER
    if TUMOR_WORDS.search(text):
        return Said.TUMOR if has_liver else Said.SOME_TUMOR
    if not has_liver:
        return Said.NOTHING
    if PARTS.search(text):
        return Said.OTHER
    rest = {w for w in text.split() if len(w) > 2 and not LIVER_WORDS.search(w)}
    return Said.LIVER if rest <= BESIDE else Said.MAYBE_LIVER


def said_by_path(parts: Sequence[str]) -> Said:
    """What a file's name says, or the nearest folder above that has a name of its own.

    Args:
        parts: folder names and, last, the file's without its ending, or folders alone.
    """
    for depth, name in enumerate(reversed(parts)):
        words = [word for word in plain(name).split() if len(word) > 2]
        if depth and (DATA_SETS.search(" ".join(words)) or PATIENT.fullmatch(name)):
            return Said.NOTHING
        found = said(name)
        if found != Said.NOTHING:
            return Said.NOTHING if depth > 1 and found == Said.OTHER else found
        if depth and not set(words) <= BESIDE:
            return Said.NOTHING
    return Said.NOTHING


def structures_of(names: Sequence[str], found: Sequence[Said]) -> list[int | None]:
    """LIVER, TUMOR or None (another structure, or not said) of each of an upload's masks.

    A tumor of which nothing more is said is one of the liver; only among the masks of 3D-IRCADb a
    bare `tumor` is an adrenal one. "liver" beside unknown words is the liver where no other is.

    Args:
        names: of the masks, or of their folders.
        found: what each says, as `said` and `said_by_path` tell.
    """
    meanings: dict[Said, int] = {Said.LIVER: LIVER, Said.TUMOR: TUMOR, Said.SOME_TUMOR: TUMOR}
    words = [plain(name) for name in names]
    maybe = {name for name, one in zip(words, found, strict=True) if one == Said.MAYBE_LIVER}
    if len(maybe) == 1 and Said.LIVER not in found:
        meanings[Said.MAYBE_LIVER] = LIVER
    ircadb = any(map(OF_3D_IRCADB.search, words))
    return [
        None if ircadb and name == BARE_TUMOR else meanings.get(one)
        for name, one in zip(words, found, strict=True)
    ]


def plain(name: str) -> str:
    """Words of the letters a to z, small and without accents."""
    name = re.sub("(?<=[a-z])(?=[A-Z])", " ", name[:LONGEST_NAME]).lower()
    name = re.sub(" ?- ?(?=[cgip]tv)", " minus ", name)  # as radiotherapists subtract
    name = re.sub("[+&]", " and ", name.replace("w/o", " without ").replace("w/", " with "))
    letters = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name))
    return " ".join(re.findall("[a-z]+", letters))


def labels_by_value(values: Sequence[int]) -> dict[int, int]:
    """What each value of a mask means: 1/2 stay; one other value is the liver; of two grays the
    higher is the tumor.

    Args:
        values: distinct, all but 0.

    Raises:
        TruthMismatch: they may be the numbers of organs.
    """
    found = sorted(values)
    if set(found) <= {LIVER, TUMOR}:
        return {value: value for value in found}
    if len(found) > 2:
        raise TruthMismatch(say("truth.many_values", count=len(found)))
    if len(found) == 2 and tumor_value(found) is None:
        raise TruthMismatch(say("truth.two_values", first=found[0], second=found[1]))
    return dict(zip(found, (LIVER, TUMOR), strict=False))


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

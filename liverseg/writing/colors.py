"""The fixed colors of everything liverseg draws.

From the palette of Okabe and Ito, which color-blind eyes tell apart (jfly.uni-koeln.de/color).
Yellow always stands for the ground truth, also for the part of it that was missed.
"""

LIVER = "#56b4e9"
TUMOR = "#e69f00"
TRUTH = "#f0e442"
TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = "#56b4e9", "#d55e00", "#f0e442"
DRAWN_LIVER, DRAWN_TUMOR = "#cc79a7", "#009e73"
PROBABILITY = ("#0d0887", "#7e03a8", "#cc4778", "#f89540", "#f0f921")  # plasma, from 0 to 1


def rgb(color: str) -> tuple[int, int, int]:
    """(red, green, blue) of "#rrggbb", 0 to 255 each."""
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue

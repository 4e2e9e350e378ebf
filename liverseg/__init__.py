"""liverseg: liver and liver tumors in abdominal CT, for teaching. Not for diagnosis.

    volume = read_scan(files)                      # Volume: HU, spacing, notices
    prediction = segment(volume)                   # Segmentation: background, liver, tumor
    truth = read_truth(files, volume)              # Segmentation on the same grid
    scores = compare(prediction, truth, volume)    # Dice and its relatives
    findings = measure(prediction, volume)         # mL, mm, HU

Names are imported when first used, so that reading a file does not wait for a network library.
They are listed in `__init__.pyi`; `README.md` in this folder is the map of the package.
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

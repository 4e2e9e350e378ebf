"""Numbers about masks: how well they agree, what a radiologist would measure, what it all means.

metrics       Dice and its relatives;  surfaces: distances between two masks
measurements  volumes, diameters, densities;  diameters: of one lesion
lesions       a tumor mask's connected parts, and which of them match
glossary      each number's name, unit, meaning and source
"""

"""A synthetic abdominal CT with exact labels, and the files in which a person could have it.

Anatomy is described in mm by signed distances (shapes) on a canvas (scene): body wall, organs,
liver and lesions; `make_phantom` puts the abdomen together.
"""

from .abdomen import EXTENT_MM, make_phantom

__all__ = ["EXTENT_MM", "make_phantom"]

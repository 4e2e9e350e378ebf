"""Plotly figures of a whole result: the curve along the slices and the surface in three dimensions.

Areas and Dice use the viewer's colors, and so does the surface.
"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from ..scores.measurements import Measurements
from ..scores.metrics import Scores, missed_lesions
from ..volume import LIVER, TUMOR, Segmentation, bounding_box, common_box
from ..writing import colors

NAMES, COLORS = ("Liver", "Tumor"), (colors.LIVER, colors.TUMOR)
LIVER_STEP_MM, TUMOR_STEP_MM = 3.0, 1.5  # finer shows the voxels, not the organ
LONGEST_SIDE = 1.15  # of the 3-D figure, whose camera is about 1.3 away
SMOOTHING_VOXELS = 0.8


def slice_curves(
    prediction: Segmentation, measurements: Measurements, scores: Scores | None = None
) -> go.Figure:
    """Areas of liver and tumor, and with ground truth their Dice, along the slices.

    Areas are in cm², or in pixels where the files do not say how large one is.
    """
    areas: list[Sequence[float] | np.ndarray]
    if measurements.liver_area_mm2 is None or measurements.tumor_area_mm2 is None:
        areas = [mask.sum(axis=(1, 2)) for mask in (prediction.liver, prediction.tumor)]
        unit, scale = "px", 1
    else:
        areas = [measurements.liver_area_mm2, measurements.tumor_area_mm2]
        unit, scale = "cm²", 100
    number = np.arange(1, len(areas[0]) + 1)
    figure = go.Figure()
    for name, area, color in zip(NAMES, areas, COLORS, strict=True):
        figure.add_scatter(
            x=number,
            y=np.asarray(area, np.float32) / scale,
            name=f"{name}, {unit}",
            fill="tozeroy",
            line={"color": color, "width": 1.5},
            hovertemplate="%{y:.1f}",
        )
    if scores:
        for name, color in zip(NAMES, COLORS, strict=True):
            dice = [getattr(one, name.lower()).dice for one in scores.slices]
            figure.add_scatter(
                x=[one.z + 1 for one in scores.slices],
                y=dice,
                name=f"{name}, Dice",
                yaxis="y2",
                mode="lines+markers",
                marker={"size": 4},
                line={"color": color, "width": 1.5, "dash": "dot"},
                hovertemplate="%{y:.3f}",
            )
    figure.update_layout(
        margin={"l": 52, "r": 52, "t": 8, "b": 40},
        hovermode="x unified",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": "Slice, from the feet up", "showgrid": False, "zeroline": False},
        yaxis={
            "title": f"Area, {unit}",
            "rangemode": "tozero",
            "gridcolor": "rgba(128,128,128,.2)",
        },
        uirevision="curves",
    )
    if scores:
        ticks = {"range": [0, 1.05], "dtick": 0.25, "showgrid": False, "zeroline": False}
        figure.update_layout(yaxis2={"title": "Dice", "overlaying": "y", "side": "right", **ticks})
    return figure


def surfaces(
    prediction: Segmentation,
    spacing: tuple[float, float, float],
    truth: Segmentation | None = None,
) -> go.Figure:
    """The liver, see-through, with the tumors found and, with ground truth, those missed.

    Args:
        prediction: with at least one voxel of liver.
        spacing: mm, as `Volume.voxel_mm`.
        truth: on the same grid.
    """
    figure = go.Figure()
    box = common_box(*(one.labels for one in (prediction, truth) if one))
    found = prediction.labels[box]
    parts = [
        ("Liver", found >= LIVER, colors.LIVER, 0.25, LIVER_STEP_MM),
        ("Tumors found", found == TUMOR, colors.TUMOR, 1.0, TUMOR_STEP_MM),
    ]
    if truth is not None:
        missed = missed_lesions(found == TUMOR, truth.labels[box] == TUMOR)
        parts.append(("Tumors missed", missed, colors.FALSE_NEGATIVE, 1.0, TUMOR_STEP_MM))
    shown = []
    for name, mask, color, opacity, step_mm in parts:
        if mask.any():
            vertices, faces = surface(mask, spacing, step_mm)
            vertices += np.multiply([axis.start for axis in box], spacing)
            shown.append(vertices)
            figure.add_mesh3d(
                **dict(zip("zyx", vertices.T, strict=True)),
                **dict(zip("ijk", faces.T, strict=True)),
                name=name,
                color=color,
                opacity=opacity,
                showlegend=True,
                hoverinfo="name",
                lighting={"ambient": 0.7, "diffuse": 0.5, "specular": 0.1},
            )
    hidden = {axis: {"visible": False} for axis in ("xaxis", "yaxis", "zaxis")}
    from_the_front = {"eye": {"x": 0.25, "y": -1.25, "z": 0.3}}
    vertices = np.concatenate(shown)
    size = np.ptp(vertices, axis=0)
    # in true proportion; Plotly's own would let a flat scan reach beyond the picture
    proportion = dict(zip("zyx", LONGEST_SIDE * size / size.max(), strict=True))
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        legend={"x": 0, "y": 1},
        scene={
            "aspectratio": proportion,
            "camera": from_the_front,
            "annotations": side_letters(vertices),
            **hidden,
        },
        uirevision="surfaces",
    )
    return figure


def side_letters(vertices: np.ndarray) -> list[dict]:
    """Annotations that name the patient's six sides, at the ends of a surface.

    Args:
        vertices: (n, 3), mm as (z to the head, y to the back, x to the left).
    """
    ends = vertices.min(axis=0), vertices.max(axis=0)
    middle = dict(zip("zyx", np.mean(ends, axis=0), strict=True))
    return [
        {**middle, axis: end[k], "text": letter, "showarrow": False}
        for k, (axis, letters) in enumerate((("z", "FH"), ("y", "AP"), ("x", "RL")))
        for letter, end in zip(letters, ends, strict=True)
    ]


def surface(
    mask: np.ndarray, spacing: tuple[float, float, float], step_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """A triangle mesh around a mask.

    Args:
        mask: (z, y, x) bool, not empty.
        spacing: mm.
        step_mm: about how far apart the grid's points are, within the limits of the voxels.

    Returns:
        vertices (n, 3) float32, mm as (z to the head, y to the back, x to the left);
        faces (m, 3) int32.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    steps = [max(1, round(step_mm / side)) for side in spacing]
    box = bounding_box(mask)
    coarse = block_means(mask[box], steps)
    smooth = gaussian_filter(np.pad(coarse, 2), SMOOTHING_VOXELS)
    pitch = np.multiply(steps, spacing)
    first = np.multiply([one.start for one in box], spacing) + (pitch - spacing) / 2
    level = min(0.5, smooth.max() / 2)
    vertices, faces, _, _ = marching_cubes(smooth, level, spacing=tuple(pitch))
    return (vertices + first - 2 * pitch).astype(np.float32), faces.astype(np.int32)


def block_means(mask: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """The filled part of each block of voxels, the array padded with background to whole blocks.

    Args:
        mask: (z, y, x) bool.
        steps: (z, y, x) voxels of a block.
    """
    padding = [(0, -size % step) for size, step in zip(mask.shape, steps, strict=True)]
    blocks = np.pad(mask, padding)
    split = [n for size, k in zip(blocks.shape, steps, strict=True) for n in (size // k, k)]
    return blocks.reshape(split).mean(axis=(1, 3, 5), dtype=np.float32)

"""The abdominal organs but the liver: solid ones, great vessels, stomach and bowel."""

from dataclasses import dataclass

import numpy as np

from ..volume import Box
from .scene import Canvas
from .shapes import Corners, Triple, common, ellipsoid, smooth_path, smooth_step, without
from .wall import AIR, FAT, MUSCLE, Room

KIDNEYS = ((-62.0, 40.0, -60.0), (-36.0, 40.0, 60.0))  # centers (z, y, x), right and left
KIDNEY_RADII = (53.0, 27.0, 28.0)
GALLBLADDER = [(-28.0, -28.0, -27.0, 7.0), (-42.0, -42.0, -30.0, 14.0), (-58.0, -56.0, -36.0, 15.0)]
CAVA = [  # (z, y, x, radius)
    (-160.0, 4.0, -20.0, 11.0),
    (-70.0, 3.0, -22.0, 10.0),
    (0.0, 2.0, -23.0, 11.0),
    (40.0, -6.0, -20.0, 12.5),
    (75.0, -18.0, -18.0, 13.0),
]
STOMACH = [
    (40.0, 24.0, 50.0, 20.0),
    (28.0, 10.0, 62.0, 30.0),
    (2.0, -34.0, 66.0, 30.0),
    (-22.0, -50.0, 56.0, 25.0),
    (-38.0, -58.0, 26.0, 21.0),
    (-38.0, -52.0, 2.0, 15.0),
    (-34.0, -42.0, -12.0, 9.0),
]
DUODENUM = [
    (-34.0, -40.0, -16.0, 10.0),
    (-44.0, -26.0, -38.0, 12.0),
    (-72.0, -16.0, -40.0, 12.0),
    (-88.0, -12.0, -10.0, 11.0),
    (-72.0, -16.0, 30.0, 11.0),
]
COLON = [
    (-190.0, 0.0, -100.0, 27.0),
    (-100.0, 12.0, -102.0, 25.0),
    (-70.0, -8.0, -92.0, 22.0),
    (-72.0, -52.0, -62.0, 20.0),
    (-78.0, -72.0, -10.0, 20.0),
    (-58.0, -70.0, 50.0, 20.0),
    (-22.0, -50.0, 96.0, 20.0),
    (-6.0, -22.0, 108.0, 19.0),
    (-34.0, 18.0, 108.0, 16.0),
    (-100.0, 30.0, 112.0, 15.0),
    (-190.0, 20.0, 105.0, 15.0),
]
PANCREAS = [
    (-62.0, -14.0, -22.0, 10.0),
    (-44.0, -20.0, -20.0, 14.0),
    (-26.0, -28.0, 2.0, 10.0),
    (-16.0, -20.0, 34.0, 10.0),
    (-4.0, 8.0, 70.0, 10.0),
    (2.0, 18.0, 84.0, 7.0),
]
SPLENIC_VEIN = [(-24.0, -14.0, -8.0, 5.5), (-16.0, -10.0, 34.0, 4.5), (2.0, 20.0, 86.0, 3.5)]
MESENTERIC_VEIN = [(-160.0, -30.0, -4.0, 5.0), (-70.0, -28.0, -2.0, 5.5), (-24.0, -14.0, -8.0, 6.0)]
MESENTERIC_ARTERY = [(-20.0, -8.0, 9.0, 3.5), (-50.0, -24.0, 9.0, 3.5), (-160.0, -30.0, 8.0, 3.0)]
CELIAC = [(-6.0, -4.0, 10.0, 3.5), (-2.0, -24.0, 10.0, 3.0), (-4.0, -20.0, -16.0, 2.5)]
RENAL_VESSELS = [
    [(-46.0, 0.0, 12.0, 3.0), (-52.0, 12.0, 0.0, 3.0), (-58.0, 30.0, -46.0, 3.0)],
    [(-50.0, 4.0, -24.0, 5.0), (-56.0, 20.0, -36.0, 4.5), (-58.0, 30.0, -48.0, 3.5)],
    [(-42.0, 4.0, 12.0, 3.0), (-38.0, 24.0, 34.0, 3.0), (-36.0, 32.0, 48.0, 2.5)],
    [(-40.0, -10.0, -14.0, 5.0), (-38.0, -11.0, 12.0, 4.0), (-36.0, 26.0, 46.0, 4.5)],
]
ADRENALS = [
    [(2.0, 16.0, -32.0, 2.5), (-8.0, 22.0, -38.0, 3.0), (-14.0, 32.0, -40.0, 2.0)],
    [(4.0, 10.0, 34.0, 2.5), (-6.0, 16.0, 38.0, 3.0), (-12.0, 28.0, 42.0, 2.0)],
    [(4.0, 10.0, 34.0, 2.5), (-6.0, 18.0, 34.0, 2.5), (-12.0, 28.0, 32.0, 2.0)],
]


@dataclass(frozen=True)
class Tissue:
    """Mean HU of one patient's tissues in the portal-venous phase."""

    liver: float
    spleen: float
    vein: float
    artery: float
    kidney: float
    pancreas: float
    wall: float
    bile: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Tissue":
        """Livers vary most, as fat lowers them; the others follow the injected iodine."""
        iodine = float(rng.normal(0, 1))
        return cls(
            liver=float(np.clip(rng.normal(104, 20), 48, 150)),
            spleen=118 + 8 * iodine,
            vein=168 + 14 * iodine,
            artery=160 + 12 * iodine,
            kidney=182 + 14 * iodine,
            pancreas=92 + 7 * iodine,
            wall=84 + 6 * iodine,
            bile=float(rng.uniform(4, 16)),
        )


def build_organs(canvas: Canvas, rng: np.random.Generator, room: Room, tissue: Tissue) -> None:
    """Paints everything in the abdomen but the liver and the gallbladder."""
    inside = canvas.cover(room.abdomen)
    _paint_mesentery(canvas, rng, inside, tissue)
    _paint_small_bowel(canvas, rng, inside, tissue)
    _paint_duodenum_and_pancreas(canvas, inside, tissue)
    for side in (0, 1):
        _paint_kidney(canvas, KIDNEYS[side], tissue)
    _paint_great_vessels(canvas, tissue)
    _paint_colon(canvas, rng, inside, tissue)
    _paint_spleen(canvas, room, tissue)
    _paint_stomach(canvas, rng, inside, tissue)


def paint_path(
    canvas: Canvas,
    corners: Corners,
    hu: np.ndarray | float,
    within: np.ndarray | None = None,
    step_mm: float = 9.0,
) -> tuple[Box, np.ndarray]:
    """A bent pipe through corners of (z, y, x, radius); returns its box and distances."""
    box, distance = canvas.tube(*smooth_path(corners, step_mm))
    distance += 0.5 * canvas.lumps[box]
    canvas.paint(box, distance, hu, within)
    return box, distance


def gallbladder(canvas: Canvas) -> tuple[Box, np.ndarray]:
    """Its box and distances."""
    return canvas.tube(*smooth_path(GALLBLADDER, 6.0))


def _paint_kidney(canvas: Canvas, center: Triple, tissue: Tissue) -> None:
    """Cortex, slightly darker pyramids, and a sinus of fat that opens to the middle."""
    side = np.sign(center[2])
    box = canvas.around(center, KIDNEY_RADII, 22.0)
    p = canvas.at(box)
    lean = 0.16 * (p.z - center[0])
    upright = p._replace(x=p.x + side * lean, y=p.y + 0.8 * lean)
    kidney = ellipsoid(upright, center, KIDNEY_RADII) + 0.6 * canvas.lumps[box]
    inner = (center[0], center[1] - 5, center[2] - side * 9)
    sinus = ellipsoid(upright, inner, (27.0, 10.0, 13.0)) + 2.2 * canvas.lumps[box]
    outlet = (center[0], center[1] - 13, center[2] - side * 22)
    sinus = np.minimum(sinus, ellipsoid(upright, outlet, (15.0, 8.0, 15.0)))
    pyramids = smooth_step(-7.0, -9.0, kidney) * np.clip(0.5 + canvas.lumps[box], 0, 1)
    canvas.paint(box, kidney - 7.0, FAT)
    canvas.paint(box, kidney, tissue.kidney - 34 * pyramids)
    urine = 1.6 * np.clip(canvas.grain[box], 0, 1) * np.clip(-sinus / 3.0, 0, 1)
    canvas.paint(box, np.maximum(sinus, kidney), FAT + 30 + 100 * np.clip(urine, 0, 1))


def _paint_great_vessels(canvas: Canvas, tissue: Tissue) -> None:
    aorta = [(-170.0, 2.0, 8.0, 9.0), (-60.0, 1.0, 10.0, 9.0), (20.0, 6.0, 10.0, 10.5)]
    aorta += [(110.0, 12.0, 16.0, 12.0)]
    esophagus = [(120.0, -2.0, 4.0, 7.0), (50.0, -8.0, 12.0, 7.0), (26.0, -6.0, 34.0, 8.0)]
    for path in RENAL_VESSELS[:3:2]:
        paint_path(canvas, path, tissue.artery, step_mm=6)
    for path in ADRENALS:
        paint_path(canvas, path, 75.0, step_mm=6)
    for path in (*RENAL_VESSELS[1::2], SPLENIC_VEIN, MESENTERIC_VEIN, CAVA):
        paint_path(canvas, path, tissue.vein, step_mm=6)
    for path in (aorta, CELIAC, MESENTERIC_ARTERY):
        paint_path(canvas, path, tissue.artery, step_mm=6)
    paint_path(canvas, esophagus, MUSCLE)


def _paint_spleen(canvas: Canvas, room: Room, tissue: Tissue) -> None:
    """A crescent between the wall, the stomach and the left kidney."""
    center, radii = (12.0, 30.0, 96.0), (50.0, 54.0, 42.0)
    box = canvas.around(center, radii)
    p = canvas.at(box)
    spleen = common(ellipsoid(p, center, radii), room.abdomen[box] + 3.0, 10.0)
    spleen = without(spleen, ellipsoid(p, (4.0, -6.0, 52.0), (80.0, 52.0, 36.0)), 10.0)
    canvas.paint(box, spleen + canvas.lumps[box], tissue.spleen)


def _paint_stomach(
    canvas: Canvas, rng: np.random.Generator, inside: np.ndarray, tissue: Tissue
) -> None:
    """Wall with folds, fluid with food in it, and air above: in front, as the patient lies."""
    fullness = rng.uniform(0.72, 1.05)
    corners = [(*position, radius * fullness) for *position, radius in STOMACH]
    box, outer = paint_path(canvas, corners, tissue.wall, inside)
    p = canvas.at(box)
    lumen = outer + 4.0 + 1.6 * canvas.lumps[box] + 0.7 * canvas.grain[box]
    canvas.paint(box, lumen, 22.0 + 10 * canvas.lumps[box], inside)
    level = float(rng.uniform(-58, -36))
    canvas.paint(box, np.maximum(lumen, p.y - level), AIR + 20, inside)


def _paint_duodenum_and_pancreas(canvas: Canvas, inside: np.ndarray, tissue: Tissue) -> None:
    box, outer = paint_path(canvas, DUODENUM, tissue.wall, inside)
    canvas.paint(box, outer + 3.0 + canvas.grain[box], 28.0, inside)
    box, outer = canvas.tube(*smooth_path(PANCREAS, 6.0))
    lobules = np.maximum(np.abs(canvas.grain[box]) - 1.3, 0)
    outer += 1.6 * canvas.lumps[box] + 3.0 * lobules
    canvas.paint(box, outer, tissue.pancreas - 45 * lobules, inside)


def _paint_colon(
    canvas: Canvas, rng: np.random.Generator, inside: np.ndarray, tissue: Tissue
) -> None:
    """Haustra; stretches of gas, of stool with bubbles, or of both with a level."""
    path, radii = smooth_path(COLON, 9.0)
    radii = radii * (1 + 0.13 * np.sin(np.arange(len(radii)) * 2.2)) * rng.uniform(0.85, 1.1)
    box, outer = canvas.tube(path, radii)
    canvas.paint(box, outer + 1.2 * canvas.lumps[box], tissue.wall - 10, inside)
    for first in range(0, len(path) - 1, 3):
        piece = slice(first, first + 4)
        box, lumen = canvas.tube(path[piece], radii[piece] - 2.8)
        lumen += 1.2 * canvas.lumps[box]
        bubbles = np.clip(2.0 * canvas.grain[box] - 1.4, 0, 1)
        canvas.paint(box, lumen, 25.0 - rng.uniform(100, 900) * bubbles, inside)
        level = path[piece, 1].mean() + rng.uniform(-1.2, 1.6) * radii[first]
        gas = np.maximum(lumen, canvas.at(box).y - level + 2 * canvas.lumps[box])
        canvas.paint(box, gas, AIR + 30, inside)


def _paint_small_bowel(
    canvas: Canvas, rng: np.random.Generator, inside: np.ndarray, tissue: Tissue
) -> None:
    """Short overlapping loops, each with an enhancing wall; most hold fluid, some gas."""
    for _ in range(85):
        center = rng.uniform((-150.0, -62.0, -70.0), (-30.0, 2.0, 95.0))
        if abs(center[2]) < 22 or (center[2] < 0 and center[0] > -60):
            continue
        turns = np.cumsum(rng.normal(0, 16, (4, 3)) * (0.6, 1.0, 1.0), axis=0)
        corners = np.column_stack([center + turns, rng.uniform(10, 14, 4)])
        box, outer = paint_path(canvas, corners, tissue.wall + 8, inside, step_mm=8)
        lumen = outer + 2.8 + 1.2 * canvas.grain[box]
        canvas.paint(box, lumen, float(rng.uniform(15, 60)), inside)
        if rng.random() < 0.2 and center[2] > 30:
            high = canvas.at(box).y - center[1] + 2.0
            canvas.paint(box, np.maximum(lumen, high), AIR + 40, inside)


def _paint_mesentery(
    canvas: Canvas, rng: np.random.Generator, inside: np.ndarray, tissue: Tissue
) -> None:
    """Small vessels that fan out from the root."""
    for _ in range(45):
        end = rng.uniform((-140.0, -70.0, -80.0), (-25.0, -10.0, 90.0))
        root = np.array([rng.uniform(-80, -30), -24.0, 2.0])
        middle = (root + end) / 2 + rng.normal(0, 10, 3)
        corners = np.column_stack([[root, middle, end], [2.4, 1.8, 1.2]])
        paint_path(canvas, corners, tissue.vein - 20, inside, step_mm=9)

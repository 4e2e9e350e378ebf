"""What surrounds the abdominal organs: skin, fat, muscle, ribs, spine, lungs, heart, couch."""

from typing import NamedTuple

import numpy as np

from .scene import EVERYWHERE, Canvas
from .shapes import Points, common, ellipse, ellipsoid, smooth_step, union, without

SPINE_Y = 33.0  # center of the vertebral bodies at z = 0
VERTEBRA_MM = 31.0  # from one to the next
RIB_MM = 27.0  # from one to the next, at the spine
LOWEST_RIB_Z = 4.0  # its head, at the spine

AIR, LUNG, COUCH, FAT, SKIN, MUSCLE = -1000.0, -860.0, -40.0, -103.0, 25.0, 58.0  # HU
CORTEX, MARROW, CARTILAGE, DISC, SAC = 600.0, 165.0, 105.0, 88.0, 30.0
MYOCARDIUM, BLOOD = 112.0, 158.0


class Room(NamedTuple):
    """The space organs may fill, as (z, y, x) float32 distances on the canvas.

    Attributes:
        cavity: inner face of the chest and abdominal wall.
        abdomen: the cavity below the diaphragm.
    """

    cavity: np.ndarray
    abdomen: np.ndarray


def spine_y(z: np.ndarray) -> np.ndarray:
    """Where the spine runs: the lumbar spine curves forward."""
    return SPINE_Y + 0.09 * z - 0.0006 * z * z


def build_wall(canvas: Canvas, fat_mm: float) -> Room:
    """Paints everything but the abdominal organs.

    Args:
        canvas: empty.
        fat_mm: thickness of the fat under the skin, at the side.
    """
    cavity = _cavity(canvas.points)
    abdomen = common(cavity, _diaphragm(canvas.points), 4.0)
    _paint_layers(canvas, cavity, fat_mm)
    chest = np.maximum(cavity, 1.5 - abdomen)
    _paint_lungs(canvas, chest)
    _paint_mediastinum(canvas, chest)
    _paint_back_muscles(canvas)
    _paint_ribs(canvas, cavity)
    _paint_spine(canvas)
    return Room(cavity, abdomen)


def _cavity(p: Points) -> np.ndarray:
    """Two lobes beside the spine; at the level of the loins their back moves forward."""
    loin = smooth_step(5.0, -70.0, p.z)
    right, left = (
        ellipse(p.y + 11.0 + 9.0 * loin, p.x - side * 52.0, (87.0, 74.0)) + 4.0 * loin
        for side in (-1, 1)
    )
    front = ellipse(p.y + 26.0, p.x, (72.0, 100.0))
    behind = p.y - spine_y(p.z)
    column = union(
        ellipse(behind - 26.0, p.x, (41.0, 26.0)), ellipse(behind - 56.0, p.x, (32.0, 64.0)), 10.0
    )
    round_chest = ellipse(p.y + 13.0, p.x, (93.0, 129.0))
    cavity = common(union(union(right, left, 10.0), front, 10.0), round_chest, 12.0)
    return without(cavity, column, 14.0)


def _diaphragm(p: Points) -> np.ndarray:
    """Two domes and the flat part under the heart; their rims hang down along the wall."""
    shapes = []
    for x, y, top, ry, rx in (
        (-56.0, -17.0, 63.0, 93.0, 78.0),
        (56.0, -17.0, 50.0, 93.0, 78.0),
        (0.0, -30.0, 47.0, 80.0, 70.0),
    ):
        up = np.maximum(p.z - (top - 95.0), 0) / 95.0
        r = np.sqrt(((p.y - y) / ry) ** 2 + ((p.x - x) / rx) ** 2 + up * up)
        shapes.append((r - 1) * 85.0)
    return union(union(shapes[0], shapes[1], 20.0), shapes[2], 25.0)


def _paint_layers(canvas: Canvas, cavity: np.ndarray, fat_mm: float) -> None:
    """The couch, skin, fat under it, the muscular wall, fat inside."""
    p, grain = canvas.points, canvas.grain
    _, y, x = (axis.astype(np.float32) for axis in canvas.axes)
    couch = y[:, None] - 113.0 - 0.4 * fat_mm + x * x / 1500.0
    canvas.paint(EVERYWHERE, np.abs(couch) - 1.4, COUCH)
    outside = _outline(p, cavity, fat_mm)
    canvas.paint(EVERYWHERE, outside, SKIN)
    fat = FAT + 12 * np.maximum(np.abs(grain) - 1.2, 0) + 22 * canvas.septa(EVERYWHERE, 0.12)
    canvas.paint(EVERYWHERE, outside + 2.2, fat)
    loin = smooth_step(20.0, -50.0, p.z)
    thick = 11.0 + 5.0 * np.abs(p.x) / 140.0 * loin
    thick -= 8.0 * (p.y < 0) * np.exp(-p.x * p.x / 40.0)  # the white line in front
    muscle = np.maximum(cavity - thick, outside + 0.4 * fat_mm + 1.0)
    strength = 4.5 * smooth_step(-10.0, 45.0, p.y + 0.5 * p.z) - 1.0
    broad = np.abs(cavity - thick - 5.0) - strength  # latissimus and serratus
    canvas.paint(EVERYWHERE, np.maximum(broad, outside + 0.3 * fat_mm + 2.0), MUSCLE)
    layers = np.maximum(np.cos(cavity * 1.05) - 0.72, 0) * loin  # fat between the oblique muscles
    canvas.paint(EVERYWHERE, muscle, MUSCLE + 6 * grain - 270 * layers)
    canvas.paint(EVERYWHERE, cavity, fat)


def _outline(p: Points, cavity: np.ndarray, fat_mm: float) -> np.ndarray:
    """The skin: an ellipse with a flat, grooved back that leaves room for the wall."""
    outside = ellipse(p.y - 4.0, p.x, (118.0 + 0.7 * fat_mm, 141.0 + fat_mm))
    outside = common(outside, p.y - 105.0 - 0.4 * fat_mm, 50.0)
    outside = union(outside, cavity - 16.0 - 0.4 * fat_mm, 12.0)
    return without(outside, ellipse(p.y - 114.0 - 0.4 * fat_mm, p.x, (9.0, 14.0)), 16.0)


def _paint_back_muscles(canvas: Canvas) -> None:
    """Erector spinae, psoas, quadratus lumborum, the crura of the diaphragm."""
    box = canvas.box((-1e4, -15.0, -95.0), (1e4, 125.0, 95.0))
    p, grain = canvas.at(box), canvas.grain[box]
    y = p.y - spine_y(p.z)
    flesh = (
        MUSCLE + 5 * grain - 55 * canvas.septa(box, 0.2) - 70 * np.maximum(np.abs(grain) - 1.6, 0)
    )
    loin = smooth_step(5.0, -60.0, p.z)
    for x in (p.x, -p.x):
        canvas.paint(box, ellipse(y - 43.0, x - 34.0, (26.0, 34.0)), flesh)
        psoas = ellipse(y - 6.0, x - 24.0 - 14.0 * loin, (24.0, 18.0)) + 20.0 * (1 - loin)
        canvas.paint(box, psoas + canvas.lumps[box], flesh)
        square = ellipse(y - 26.0, x - 58.0, (13.0, 20.0)) + 16.0 * (1 - loin)
        canvas.paint(box, square, flesh)
        crus = ellipse(y + 22.0, x - 13.0, (15.0, 5.0)) + 7.0 * smooth_step(-20.0, -60.0, p.z)
        canvas.paint(box, np.maximum(crus, p.z - 55.0), MUSCLE)


def _paint_ribs(canvas: Canvas, cavity: np.ndarray) -> None:
    """Ribs slope down to the front; there cartilage rises to the breastbone."""
    p = canvas.points
    angle = np.arctan2(np.abs(p.x), p.y - 8.0)  # 0 at the back, pi in front
    drop = 115.0 * smooth_step(0.1, 2.4, angle) - 90.0 * np.maximum(angle - 2.2, 0)
    steps = (p.z - LOWEST_RIB_Z + drop) / RIB_MM
    number = np.maximum(np.rint(steps), 0)  # 0 is the twelfth rib
    along = 0.8 * (steps - number) * RIB_MM
    length = np.where(number == 0, 1.1, np.where(number == 1, 1.7, 2.95))
    shape = ellipse(along, cavity - 6.0, (6.0, 3.5)) + 2.0 * (angle < 0.25)
    shape = np.maximum(shape, (angle - length) * 90.0)
    bony = smooth_step(2.3, 2.15, angle)
    canvas.paint(EVERYWHERE, shape, CARTILAGE + 25 * canvas.grain + bony * (CORTEX - CARTILAGE))
    canvas.paint(EVERYWHERE, shape + 1.7, CARTILAGE + bony * (MARROW - CARTILAGE))
    breastbone = np.maximum(ellipse(cavity - 7.0, p.x, (5.0, 17.0)), np.maximum(p.y, 52.0 - p.z))
    canvas.paint(EVERYWHERE, breastbone, CORTEX)
    canvas.paint(EVERYWHERE, breastbone + 1.7, MARROW)


def _paint_spine(canvas: Canvas) -> None:
    """Vertebral bodies with discs between, arches, processes, and the canal."""
    box = canvas.box((-1e4, -20.0, -60.0), (1e4, 120.0, 60.0))
    p = canvas.at(box)
    y = p.y - spine_y(p.z)
    z = (p.z + 9.0) % VERTEBRA_MM - VERTEBRA_MM / 2  # 0 in the middle of a vertebra
    waist = 2.0 * np.cos(z * (np.pi / 13.0))
    trunk = ellipse(y, p.x, (16.5, 22.5)) + waist
    canvas.paint(box, trunk - 0.5, DISC)
    marrow = MARROW + 22 * canvas.grain[box] + 22 * canvas.lumps[box]
    for bone in (common(trunk, np.abs(z) - 12.0, 4.0), _arch(z, y, p.x)):
        canvas.paint(box, bone, CORTEX)
        canvas.paint(box, bone + 1.5, marrow)
    canal = ellipse(y - 25.0, p.x, (9.0, 11.0))
    canvas.paint(box, canal, FAT + 70.0)
    canvas.paint(box, canal + 2.0, SAC)


def _arch(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Pedicles, laminae, transverse and spinous processes around a vertebra's center."""
    across = np.abs(x)
    pedicle = np.maximum(np.hypot(across - 14.0, z - 4.0) - 5.5, np.abs(y - 18.0) - 9.0)
    lamina = np.maximum(ellipse(y - 25.0, x, (17.0, 19.0)), 10.0 - y)
    lamina = np.maximum(lamina, np.abs(z + 2.0 + 0.25 * (y - 25.0)) - 11.0)
    spinous = ellipse(z + 0.45 * (y - 40.0) + 2.0, x, (9.0, 3.6))
    spinous = np.maximum(spinous, np.abs(y - 46.0) - 19.0)
    transverse = np.hypot(z - 1.0, y - 20.0 - 0.2 * across) - 6.0 + 0.06 * across
    transverse = common(transverse, np.abs(across - 24.0) - 14.0, 6.0)
    return union(union(pedicle, lamina, 4.0), union(spinous, transverse, 4.0), 4.0)


def _paint_lungs(canvas: Canvas, chest: np.ndarray) -> None:
    """Air, and vessels as bright dots and short branches away from the pleura."""
    canvas.paint(EVERYWHERE, chest, LUNG + 45 * canvas.grain)
    deep = np.clip(-chest / 8.0 - 0.5, 0, 1)
    canvas.blend(EVERYWHERE, deep * np.clip((canvas.grain - 1.9) * 2.0, 0, 1), 40.0)


def _paint_mediastinum(canvas: Canvas, chest: np.ndarray) -> None:
    """Heart in its fat, and the fat in front of the spine."""
    p = canvas.points
    column = ellipse(p.y - 6.0, p.x - 2.0, (32.0, 21.0)) + 2 * canvas.lumps
    canvas.paint(EVERYWHERE, np.maximum(chest, column), FAT)
    center, radii = (104.0, -40.0, 22.0), (50.0, 42.0, 62.0)
    box = canvas.around(center, radii, 22.0)
    p, chest = canvas.at(box), chest[box]
    heart = ellipsoid(p, center, radii) + canvas.lumps[box]
    chamber = ellipsoid(p, (104.0, -42.0, 30.0), (38.0, 26.0, 38.0))
    canvas.paint(box, np.maximum(chest, heart - 6.0), FAT + 6 * canvas.grain[box])
    canvas.paint(box, np.maximum(chest, heart), MYOCARDIUM)
    canvas.paint(box, np.maximum(chest, chamber), BLOOD)

"""The liver: its shape, the veins in it, the gallbladder beside it."""

from collections.abc import Iterator

import numpy as np

from ..volume import Box
from .organs import CAVA, KIDNEY_RADII, KIDNEYS, Tissue, gallbladder, paint_path
from .scene import EVERYWHERE, FAR_MM, Canvas
from .shapes import Corners, common, ellipsoid, half_space, smooth_path, union, without
from .wall import FAT, Room

HILUM = (-10.0, -14.0, -22.0)
PORTAL_TRUNK = [(-24.0, -14.0, -8.0, 6.5), (-17.0, -13.0, -15.0, 6.5), (*HILUM, 6.0)]
PORTAL_BRANCHES = [
    [(*HILUM, 5.5), (-6.0, -8.0, -42.0, 5.0), (4.0, 10.0, -66.0, 4.0), (16.0, 26.0, -88.0, 2.5)],
    [(-6.0, -8.0, -42.0, 4.5), (-20.0, 8.0, -68.0, 3.5), (-40.0, 20.0, -94.0, 2.0)],
    [(-6.0, -8.0, -42.0, 4.5), (2.0, -26.0, -64.0, 3.5), (8.0, -48.0, -86.0, 2.0)],
    [(-20.0, 8.0, -68.0, 3.5), (-40.0, -8.0, -84.0, 2.8), (-60.0, -20.0, -100.0, 1.8)],
    [(*HILUM, 4.5), (-2.0, -22.0, -6.0, 4.0), (4.0, -40.0, 10.0, 4.0), (8.0, -60.0, 14.0, 2.5)],
    [(4.0, -40.0, 10.0, 3.0), (14.0, -46.0, 32.0, 2.2), (18.0, -52.0, 54.0, 1.4)],
]
HEPATIC_VEINS = [
    [(44.0, -6.0, -22.0, 5.5), (32.0, 6.0, -50.0, 4.5), (8.0, 18.0, -80.0, 3.0)],
    [(44.0, -8.0, -22.0, 5.0), (32.0, -32.0, -36.0, 4.0), (2.0, -58.0, -50.0, 2.2)],
    [(45.0, -9.0, -18.0, 4.5), (38.0, -32.0, 6.0, 3.5), (26.0, -52.0, 34.0, 2.0)],
]

Branch = tuple[np.ndarray, np.ndarray]  # (n, 3) positions and (n,) radii


def liver_distance(canvas: Canvas, rng: np.random.Generator, room: Room) -> np.ndarray:
    """(z, y, x) float32 distance to the surface of the liver, `FAR_MM` far away from it.

    The liver fills the right of the abdomen under the diaphragm. Its visceral surface looks down,
    back and to the left; its lower edge rises to the left; the left lobe tapers.
    """
    box = canvas.box((-120.0, -130.0, -170.0), (90.0, 110.0, 125.0))
    p = canvas.at(box)
    left_reach, edge_z = rng.uniform((52.0, -36.0), (90.0, -22.0)).tolist()
    visceral = half_space(p, (0.0, 0.0, -14.0), (-0.55, 0.66, 0.6))
    edge = half_space(p, (edge_z, 0.0, 0.0), (-0.92, 0.0, 0.4))
    left = half_space(p, (30.0, -50.0, left_reach), (0.25, 0.0, 1.0))
    liver = common(common(visceral, edge, 24.0), left, 20.0)
    caudate = ellipsoid(p, (8.0, -4.0, -4.0), (24.0, 10.0, 15.0))
    liver = union(liver, caudate, 6.0) + 0.9 * canvas.lumps[box]
    liver = common(liver, room.abdomen[box] + 2.2, 12.0)
    whole = np.full_like(canvas.hu, FAR_MM)
    whole[box] = _with_fissures(canvas, box, liver)
    for tube_box, tube in (gallbladder(canvas), _cava(canvas)):
        whole[tube_box] = without(whole[tube_box], tube, 2.0)
    return whole


def _with_fissures(canvas: Canvas, box: Box, liver: np.ndarray) -> np.ndarray:
    """Cuts the clefts of both ligaments, the porta hepatis and the kidney's bed."""
    p, lumps = canvas.at(box), canvas.lumps[box]
    slanted = p._replace(x=p.x + 0.3 * (p.y + 66.0) + 1.5 * lumps, y=p.y + 0.25 * p.x + 1.5 * lumps)
    teres = ellipsoid(slanted, (-28.0, -70.0, 12.0), (34.0, 26.0, 3.0))
    venosum = ellipsoid(slanted, (8.0, -17.0, 24.0), (26.0, 2.6, 27.0))
    porta = ellipsoid(p, (-22.0, -14.0, -16.0), (16.0, 8.0, 17.0))
    kidney = ellipsoid(p, KIDNEYS[0], tuple(r + 4.0 for r in KIDNEY_RADII))
    for gap, round_mm in ((teres, 4.0), (venosum, 2.0), (porta, 6.0), (kidney, 8.0)):
        liver = without(liver, gap, round_mm)
    return liver


def paint_liver(
    canvas: Canvas, rng: np.random.Generator, liver: np.ndarray, tissue: Tissue
) -> None:
    """Parenchyma, portal and hepatic veins, gallbladder."""
    canvas.paint(EVERYWHERE, liver - 2.0, FAT + 25)
    for (box, distance), hu in ((_cava(canvas), tissue.vein), (gallbladder(canvas), 45.0)):
        canvas.paint(box, distance - 2.0, hu)  # they reach under the liver, which leaves no seam
    texture = 2.0 * canvas.lumps + 2.5 * canvas.grain
    canvas.paint(EVERYWHERE, liver, tissue.liver + texture)
    inside = canvas.cover(liver + 1.0)
    veins = np.zeros_like(canvas.hu)
    for trunk in (*PORTAL_BRANCHES, *HEPATIC_VEINS):
        for path, radii in _tree(rng, trunk):
            box, distance = canvas.tube(path, radii)
            np.maximum(veins[box], canvas.cover(distance), out=veins[box])
    canvas.blend(EVERYWHERE, veins * inside, max(tissue.vein, tissue.liver + 45))
    paint_path(canvas, PORTAL_TRUNK, tissue.vein, step_mm=5)
    box, bladder = gallbladder(canvas)
    canvas.paint(box, bladder + 1.5, tissue.bile)


def _cava(canvas: Canvas) -> tuple[Box, np.ndarray]:
    return canvas.tube(*smooth_path(CAVA, 8.0))


def _tree(rng: np.random.Generator, trunk: Corners) -> Iterator[Branch]:
    """A trunk and the branches that leave it."""
    path, radii = smooth_path(trunk, 6.0)
    yield path, radii
    heading = path[-1] - path[-2]
    yield from _grow(rng, path[-1], heading, radii[-1], 3)
    for i in range(1, len(path) - 1, 2):
        ahead = path[i + 1] - path[i]
        side = np.cross(ahead, rng.normal(size=3))
        heading = side / np.linalg.norm(side) + ahead / np.linalg.norm(ahead)
        yield from _grow(rng, path[i], heading, max(0.5 * radii[i], 1.6), 2)


def _grow(
    rng: np.random.Generator,
    start: np.ndarray,
    heading: np.ndarray,
    radius: float,
    generations: int,
) -> Iterator[Branch]:
    """Branches in two, thinner each time, until they are too thin to see."""
    heading = heading / np.linalg.norm(heading)
    length = rng.uniform(16, 28)
    middle = start + heading * length / 2 + rng.normal(0, 1.5, 3)
    end = start + heading * length
    thin = 0.85 * radius
    yield np.array([start, middle, end]), np.array([radius, (radius + thin) / 2, thin])
    if generations > 1 and thin > 0.8:
        for _ in range(2):
            turned = heading + rng.normal(0, 0.42, 3)
            yield from _grow(rng, end, turned, thin * rng.uniform(0.8, 1.0), generations - 1)

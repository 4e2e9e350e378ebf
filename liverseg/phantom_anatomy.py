"""A portal-venous abdomen, organ by organ, from the skin inwards."""

import numpy as np

from .phantom_scene import Canvas, common, ellipsoid, half_space, union

EVERYWHERE = (slice(None),) * 3
SPINE_Y = 55.0  # centre of the vertebral bodies
LEVEL_MM = 34.0  # from one vertebra to the next


def body(canvas: Canvas):
    p = canvas.points
    outside = superellipse(p, (4.0, 0.0), (112.0, 166.0), 2.5)
    lobes = [superellipse(p, (-6.0, side * 60.0), (86.0, 78.0), 2.3) for side in (-1, 1)]
    cavity = union(*lobes, 30.0)
    canvas.paint(EVERYWHERE, outside, 40.0)
    canvas.paint(EVERYWHERE, outside + 2.0, -105.0)
    muscle = np.maximum(cavity - 13.0, outside + 9)
    canvas.paint(EVERYWHERE, muscle, 55.0)
    canvas.paint(EVERYWHERE, cavity, -100.0)
    return outside, cavity


def superellipse(p, center, radii, power):
    y, x = p.y - center[0], p.x - center[1]
    r = (np.abs(y / radii[0]) ** power + np.abs(x / radii[1]) ** power) ** (1 / power)
    return (1 - 1 / np.maximum(r, 1e-3)) * np.sqrt(y * y + x * x)


def dome(canvas: Canvas):
    p = canvas.points
    sides = []
    for x, top in ((-60.0, 62.0), (60.0, 48.0)):
        up = np.maximum(p.z - (top - 100.0), 0) / 100.0
        flat = ((p.y + 6) / 84.0) ** 2 + ((p.x - x) / 76.0) ** 2
        r = np.sqrt(flat + up * up)
        sides.append((r - 1) * 80.0)
    return union(*sides, 25.0)


def liver_shape(canvas: Canvas, under_dome):
    p = canvas.points
    visceral = half_space(p, (-5.0, 0.0, -20.0), (-0.62, 0.4, 0.62))
    right = common(under_dome + 4.0, visceral, 16.0)
    left = ellipsoid(p, (22.0, -48.0, 15.0), (36.0, 27.0, 68.0))
    left = common(left, under_dome + 4.0, 10.0)
    return union(right, left, 18.0) + canvas.lumps


def spine(canvas: Canvas):
    p = canvas.points
    z = (p.z + 17) % LEVEL_MM - LEVEL_MM / 2
    ring = np.hypot((p.y - SPINE_Y) / 17.0, p.x / 23.0)
    core = (ring - 1) * 17.0
    canvas.paint(EVERYWHERE, core, 85.0)
    bone = np.maximum(core, np.abs(z) - 13.0)
    canvas.paint(EVERYWHERE, bone, 600.0)
    canvas.paint(EVERYWHERE, bone + 2.0, 210.0)
    process = np.maximum(np.abs(p.x) - 4.0, np.abs(p.y - SPINE_Y - 42) - 18.0)
    arch = np.hypot((p.y - SPINE_Y - 25), p.x) - 16.0
    arch = np.maximum(union(arch, process, 5.0), np.abs(z + 3) - 12)
    canvas.paint(EVERYWHERE, arch, 450.0)
    canvas.paint(EVERYWHERE, np.hypot(p.y - SPINE_Y - 25, p.x) - 10.0, 30.0)


def organs(canvas: Canvas, tissue):
    p = canvas.points
    for center, radii, hu in (
        ((-70.0, 38.0, -62.0), (52.0, 26.0, 27.0), 185.0),
        ((-45.0, 40.0, 62.0), (52.0, 26.0, 27.0), 185.0),
        ((8.0, 34.0, 96.0), (45.0, 40.0, 24.0), tissue["spleen"]),
        ((20.0, -5.0, 62.0), (42.0, 36.0, 30.0), 25.0),
        ((95.0, -35.0, 20.0), (42.0, 45.0, 58.0), 140.0),
    ):
        box = canvas.box(center, radii)
        canvas.paint(box, ellipsoid(canvas.at(box), center, radii) + canvas.lumps[box], hu)
    for y, x, r in ((28.0, 9.0, 11.0), (30.0, -20.0, 11.0)):
        canvas.paint(EVERYWHERE, np.hypot(p.y - y, p.x - x) - r, 155.0)

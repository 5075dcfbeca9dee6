"""Props: accessories of people, seats, hangers, objects beside laid-out clothes, and foreground occluders."""

import dataclasses

import numpy as np

from . import fabric as fabrics
from .fabric import Fabric, pick
from .mesh import Mesh, ellipsoid, ribbon, tube
from .skeleton import SIDES, distances_along, follow, rotation_z


def _leather(rng):
    return Fabric(fabrics.any_colour(rng), gloss=float(rng.choice((0.0, 0.4))), crease=0.2)


def _handbag(rng, figure, side):
    grip = _in_hand(figure, side)
    axes = figure.skeleton.hip_rotation
    wide, tall = rng.uniform(9, 15), rng.uniform(8, 12)
    drop = rng.uniform(6, 12)
    middle = grip - (0.0, drop + tall, 0.0)
    leather = _leather(rng)
    # Carried with its broad side along the walking direction.
    bag = ellipsoid(middle, axes[:, [2, 1, 0]] * (1.0, 1.0, -1.0), (wide, tall, 4.5), 8, 20, power=5.0, fabric=leather)
    top = middle + (0.0, tall * 0.9, 0.0)
    t = np.linspace(-1.0, 1.0, 9)[:, None]
    strap = top + t * axes[:, 2] * wide * 0.6 + (1 - t**2) * (grip - top)
    return [bag, ribbon(strap, axes[:, 0], 0.7, fabric=leather)]


def _crossbody(rng, figure, side):
    """Build a bag at one hip with a strap across chest and back to the other shoulder."""
    leather = _leather(rng)
    meshes = []
    for front in (1.0, -1.0):
        t = np.linspace(0.0, 1.0, 12)
        heights = 142.0 + (92.0 - 142.0) * t
        lateral = -side * 8.5 + side * (8.5 + 17.0 * figure.build.hip) * t
        width, depth, middle = figure.measures(heights)
        inside = np.clip(1.0 - (np.abs(lateral) / (width + 2.0)) ** 2.4, 0.0, 1.0) ** (1 / 2.4)
        bust = np.where(front > 0, figure.bulge(0.5, heights), 0.0)
        z = middle + front * (depth + 2.6) * inside + np.maximum(bust, 0.0)
        line = figure.place(lateral, heights, z)
        meshes.append(
            ribbon(line, figure.skeleton.chest_rotation[:, 0], rng.uniform(0.7, 1.6), fabric=leather, bias=2.0)
        )
    hip = figure.place(np.array([side * (figure.build.hip * 18.0 + 3.0)]), np.array([88.0]), np.array([2.0]))[0]
    axes = figure.skeleton.hip_rotation[:, [2, 1, 0]] * (1.0, 1.0, -1.0)
    size = (rng.uniform(8, 12), rng.uniform(6, 9), 3.5)
    return [*meshes, ellipsoid(hip, axes, size, 8, 16, power=5.0, fabric=leather, bias=1.0)]


def _tote(rng, figure, side):
    canvas = _leather(rng)
    shoulder = figure.place(np.array([side * 13.0]), np.array([143.5]), np.array([-1.0]))[0]
    tall, wide = rng.uniform(13, 18), rng.uniform(13, 18)
    spot = figure.place(np.array([side * (figure.build.chest * 15.0 + 8.0)]), np.array([104.0]), np.array([-2.0]))[0]
    axes = figure.skeleton.hip_rotation[:, [2, 1, 0]] * (1.0, 1.0, -1.0)
    bag = ellipsoid(spot, axes, (wide, tall, 4.0), 8, 16, power=6.0, fabric=canvas)
    straps = []
    for end in (-0.5, 0.5):
        top = spot + axes @ (end * wide, tall * 0.9, 0.0)
        line = np.linspace(0.0, 1.0, 6)[:, None] * (shoulder - top) + top
        straps.append(ribbon(line, figure.skeleton.hip_rotation[:, 2], 0.9, fabric=canvas, bias=1.0))
    return [bag, *straps]


def _in_hand(figure, side, share=0.5):
    wrist, fingers = figure.skeleton.arms[side][2:]
    return wrist + share * (fingers - wrist)


def _phone(rng, figure, side):
    axes = figure.skeleton.chest_rotation
    spot = _in_hand(figure, side) + axes @ (-side * 1.5, 2.0, 2.0)
    case = Fabric(fabrics.any_colour(rng), gloss=0.3)
    return [ellipsoid(spot, axes, (3.8, 7.8, 0.7), 6, 12, power=8.0, fabric=case)]


def _cup(rng, figure, side):
    spot = _in_hand(figure, side, 0.6)
    at = np.array([0.0, 0.1, 1.0, 11.0, 12.0])
    path = follow(np.stack([spot + (0, 6, 0), spot - (0, 6, 0)]), (1.0, 0.0, 0.0), at)
    return [tube(path, [0.1, 4.3, 4.3, 3.2, 0.1], [0.1, 4.3, 4.3, 3.2, 0.1], 12, fabric=Fabric((238, 234, 226)))]


def _backpack(rng, figure, side):
    cloth = _leather(rng)
    chest = figure.skeleton.chest_rotation
    spot = figure.place(np.zeros(1), np.array([121.0]), np.array([-20.0]))[0]
    bag = ellipsoid(spot, chest, (13.0, rng.uniform(16, 21), 8.0), 9, 18, power=4.0, fabric=cloth)
    meshes = [bag]
    for at in (-1, 1):
        heights = np.array([136.0, 141.0, 143.0, 140.0, 133.0, 124.0, 116.0])
        x = at * np.array([8.0, 9.5, 10.5, 12.0, 13.0, 13.5, 13.8]) * figure.build.chest
        width, depth, middle = figure.measures(heights)
        ahead = np.clip(1.0 - (np.abs(x) / (width + 2.0)) ** 2.4, 0.0, 1.0) ** (1 / 2.4)
        z = middle + np.array([-1.0, -0.8, 0.0, 1.0, 1.0, 1.0, 1.0]) * ahead * (depth + 2.5)
        meshes.append(ribbon(figure.place(x, heights, z), chest[:, 0], 1.8, fabric=cloth, bias=2.0))
    return meshes


# What a person carries → its share; None for nothing.
_CARRIED = {None: 0.6, _handbag: 0.1, _crossbody: 0.09, _tote: 0.07, _phone: 0.05, _backpack: 0.05, _cup: 0.04}


def draw_carried(rng, figure) -> list:
    """Sample what a person carries; a list of `Mesh`, empty most of the time."""
    draw, side = pick(rng, _CARRIED), int(rng.choice(SIDES))
    return [] if draw is None else draw(rng, figure, side)


def seat(rng, figure) -> list:
    """Build a stool or bench under a sitting person; a list of `Mesh`, empty for a standing one."""
    skeleton = figure.skeleton
    if min(leg.flex for leg in skeleton.pose.legs) < 1.0:
        return []
    axes = skeleton.hip_rotation
    middle = (skeleton.legs[-1][0] + skeleton.legs[1][0]) / 2
    top = float(middle[1]) - 11.5
    wood = Fabric(fabrics.any_colour(rng), crease=0.4)
    wide, deep, thick = rng.uniform(19.0, 45.0), rng.uniform(14.0, 18.0), rng.uniform(2.0, 4.0)
    spot = np.array([middle[0], top - thick, middle[2]]) + axes[:, 2] * 6.0
    meshes = [ellipsoid(spot, axes, (wide, thick, deep), 6, 16, power=8.0, fabric=wood)]
    floor = min(float(joints[2][1]) for joints in skeleton.legs.values()) - 8.0
    for x in (-0.8, 0.8):
        for z in (-0.8, 0.8):
            start = spot + axes @ (x * wide, 0.0, z * deep)
            path = follow(np.stack([start, [start[0], floor, start[2]]]), axes[:, 0], np.array([0.0, start[1] - floor]))
            meshes.append(tube(path, [1.6, 1.2], [1.6, 1.2], 6, fabric=wood))
    return meshes


def draw_foreground(rng, camera, width, height) -> list:
    """Sample a foreground object near the camera: leaves, a table edge or a post; a list of `Mesh`, often empty."""
    kind = str(rng.choice(("nothing", "leaves", "table", "post"), p=(0.86, 0.06, 0.05, 0.03)))
    depth = 0.45 * camera.distance
    if kind == "leaves":
        corner = np.array([rng.choice((0, width)), rng.choice((0.15, 1.0)) * height])
        green = Fabric((rng.uniform(40, 90), rng.uniform(90, 150), rng.uniform(40, 80)), crease=0.5)
        leaves = []
        for _ in range(7):
            spot = camera.unproject(corner + rng.normal(0, 0.11, 2) * (width, height), depth)
            size = 0.09 * width * depth / camera.focal
            turn = rng.uniform(0.0, np.pi)
            axes = camera.rotation.T @ rotation_z(turn)
            leaves.append(ellipsoid(spot, axes, (size, size * 0.28, 0.3), 5, 10, fabric=green))
        return leaves
    if kind == "table":
        y = height * rng.uniform(0.88, 0.96)
        wood = Fabric((rng.uniform(90, 170), rng.uniform(70, 120), rng.uniform(50, 90)), crease=0.6)
        return [screen(camera, (-5, y, width + 5, height + 5), depth, wood)]
    if kind == "post":
        x, half = width * rng.choice((0.07, 0.93)), width * rng.uniform(0.015, 0.03)
        return [screen(camera, (x - half, -5, x + half, height + 5), depth, Fabric(fabrics.any_colour(rng)))]
    return []


def screen(camera, box, depth, fabric) -> Mesh:
    """Return a rectangle of a fabric that covers a box of pixels, x_min, y_min, x_max, y_max, at a depth."""
    x, y = np.linspace(box[0], box[2], 9), np.linspace(box[1], box[3], 9)
    grid = np.stack(np.broadcast_arrays(x[None], y[:, None]), axis=-1)
    points = camera.unproject(grid.reshape(-1, 2), depth).reshape(9, 9, 3)
    return Mesh(points, grid * 0.2, fabric, two_sided=True, round=False)


def draw_laid(rng, garment) -> list:
    """Sample objects beside a laid-out garment, which may overlap its edge; a list of `Mesh`."""
    points = garment.points()
    low, high = points.min(axis=0), points.max(axis=0)
    meshes = []
    for _ in range(int(rng.choice((0, 1, 2), p=(0.5, 0.32, 0.18)))):
        x, y = rng.choice((low[0] - 7, high[0] + 7)), rng.uniform(low[1], high[1])
        spot = np.array([x, y, high[2] + 1.0]) + (*rng.normal(0, 4, 2), 0.0)
        turn = rng.uniform(0.0, np.pi)
        axes = rotation_z(turn)
        size, power = (
            ((6.0, 6.0, 2.0), 2.0) if rng.random() < 0.4 else ((rng.uniform(6, 12), rng.uniform(8, 14), 2.0), 6.0)
        )
        meshes.append(ellipsoid(spot, axes, size, 8, 16, power=power, fabric=_leather(rng)))
    return meshes


def hanger(rng, figure, garment) -> list:
    """Build a garment's hanger: shoulders for tops, a bar with clips for bottoms; a list of `Mesh`."""
    wood = Fabric(tuple(np.array((170, 126, 84)) * rng.uniform(0.6, 1.2)), gloss=0.2)
    metal = Fabric((150, 150, 156), gloss=0.5)
    is_bottom = 0 not in garment.keypoints
    left, right = garment.keypoint(4 if is_bottom else 0), garment.keypoint(5 if is_bottom else 1)
    top = (left + right) / 2 + (0.0, 9.0 if is_bottom else 4.0, 0.0)
    turns = np.linspace(-0.5 * np.pi, 0.9 * np.pi, 9)
    hook = top + np.stack([2.6 * np.cos(turns), 6.0 + 2.6 * np.sin(turns), 0.0 * turns], axis=1)
    meshes = [_wire(np.concatenate([top[None], hook]), 0.4, metal)]
    if not is_bottom:
        for side in SIDES:
            tip = figure.place(np.array([side * 13.0]), np.array([141.0]), np.array([-0.5]))[0]
            meshes.append(_wire(np.stack([top, tip]), 1.0, wood))
        return meshes
    ends = [top + 0.75 * (end - (left + right) / 2) for end in (left, right)]
    meshes.append(_wire(np.stack(ends), 0.9, wood))
    for end in ends:
        clip = np.stack([end, end - (0.0, 12.5, 0.0)]) + (0.0, 0.0, 3.0)
        meshes.append(dataclasses.replace(_wire(clip, 1.0, metal), bias=3.0))
    return meshes


def _wire(points, radius, fabric):
    at = distances_along(points)
    first = (points[1] - points[0]) / at[1]
    across = np.cross(first, (0.0, 0.0, 1.0))
    path = follow(points, across / np.linalg.norm(across), at, rounding=0.2)
    return tube(path, np.full(len(at), radius), np.full(len(at), radius), 6, fabric=fabric)

"""The pixel noises as the paper writes them, in loops over Python numbers, and images for them."""

import numpy as np

NOISES = ("white_to_black", "black_to_white", "random_pixel_invert", "edge_to_altered")


def eligible(name, brightness, row, column):
    """Return whether a cell may be drawn, as the paper defines it."""
    b = brightness[row][column]
    if name == "white_to_black":
        return b > 0
    if name == "black_to_white":
        return b < 100
    if name == "random_pixel_invert":
        return True
    neighbours = [
        brightness[r][c]
        for r in range(max(row - 1, 0), min(row + 2, len(brightness)))
        for c in range(max(column - 1, 0), min(column + 2, len(brightness[0])))
        if (r, c) != (row, column)
    ]
    return any((b > 127) != (other > 127) for other in neighbours)


def inverted(name, b, brightness, constant):
    """Return one value inverted by equation (3) or (4)."""
    equation_3 = name == "white_to_black" or (name != "black_to_white" and brightness > 127)
    value = int((255 - b) / constant) if equation_3 else int(255 - b / constant)
    return min(max(value, 0), 255)


def plain_noise(name, image, drawn, *, constant, side=1, repeat=True):
    """Return one image after `len(drawn)` generations: slow, with loops over Python numbers."""
    levels = [[[round(float(v) * 255) for v in pixel] for pixel in line] for line in image]
    rows, columns = len(levels) // side, len(levels[0]) // side
    result = np.array(image)
    used = set()
    for draw in drawn:
        values = [
            [
                [
                    levels[row * side + i][column * side + j]
                    for i in range(side)
                    for j in range(side)
                ]
                for column in range(columns)
            ]
            for row in range(rows)
        ]
        brightness = [[float(np.mean(cell)) for cell in line] for line in values]
        able = [
            (row, column)
            for row in range(rows)
            for column in range(columns)
            if eligible(name, brightness, row, column) and (row, column) not in used
        ]
        if not able:
            continue
        row, column = able[min(int(np.float32(draw) * np.float32(len(able))), len(able) - 1)]
        if not repeat:
            used.add((row, column))
        for y in range(row * side, (row + 1) * side):
            for x in range(column * side, (column + 1) * side):
                new = [inverted(name, b, brightness[row][column], constant) for b in levels[y][x]]
                levels[y][x] = new
    changed = np.array(levels)
    first = np.rint(np.array(image) * 255).astype(int)
    result[changed != first] = (changed[changed != first] / 255).astype(np.float32)
    return result


def pictures(shape, count=3, seed=0):
    """Return images with black, grey and white areas."""
    draw = np.random.default_rng(seed)
    levels = draw.choice([0, 0, 0, 40, 99, 100, 127, 128, 200, 255], (count, *shape))
    return (levels / 255).astype(np.float32)

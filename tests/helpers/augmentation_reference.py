"""Crops, rotations and colours done one pixel at a time, as torchvision describes them.

Slow and plain on purpose: the results of `tfrobust_scenarios.augmentations` must agree.
"""

import math

import numpy as np


def rotate(image, degrees):
    """Turn one image `(height, width, channels)` counter-clockwise; nearest, black outside."""
    height, width, _ = image.shape
    angle = math.radians(degrees)
    turned = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5 - width / 2, row + 0.5 - height / 2
            from_x = math.floor(math.cos(angle) * x - math.sin(angle) * y + width / 2)
            from_y = math.floor(math.sin(angle) * x + math.cos(angle) * y + height / 2)
            if 0 <= from_x < width and 0 <= from_y < height:
                turned[row, column] = image[from_y, from_x]
    return turned


def jitter(image, factors, order):
    """Change brightness (0), contrast (1) and saturation (2) in the given order."""
    for which in order:
        factor = factors[which]
        if which == 0:
            image = blend(image, np.zeros_like(image), factor)
        elif which == 1:
            image = blend(image, np.full_like(image, grey(image).mean()), factor)
        elif image.shape[-1] == 3:
            image = blend(image, np.broadcast_to(grey(image), image.shape), factor)
    return image


def grey(image):
    """Return the grey image `(height, width, 1)`."""
    if image.shape[-1] == 1:
        return image
    red, green, blue = image[..., :1], image[..., 1:2], image[..., 2:]
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def blend(image, other, factor):
    """Mix two images, within [0, 1]."""
    return np.clip(factor * image + (1 - factor) * other, 0, 1)


def crop_box(size, areas, ratios, place, *, scale, ratio):
    """Return top, left, height and width of the part, from uniform draws in [0, 1)."""
    height, width = size
    for area_draw, ratio_draw in zip(areas, ratios, strict=True):
        area = height * width * (scale[0] + area_draw * (scale[1] - scale[0]))
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + ratio_draw * (high - low))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = math.floor(place[0] * (height - h + 1))
            left = math.floor(place[1] * (width - w + 1))
            return top, left, h, w
    w, h = width, height
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return (height - h) // 2, (width - w) // 2, h, w


def enlarge(image, top, left, height, width):
    """Enlarge a part to the image's size, bilinearly between pixel centres."""
    rows, columns, _ = image.shape
    part = image[top : top + height, left : left + width]
    large = np.zeros_like(image)
    for row in range(rows):
        for column in range(columns):
            y = min(max((row + 0.5) * height / rows - 0.5, 0), height - 1)
            x = min(max((column + 0.5) * width / columns - 0.5, 0), width - 1)
            y0, x0 = math.floor(y), math.floor(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            upper = part[y0, x0] * (1 - (x - x0)) + part[y0, x1] * (x - x0)
            lower = part[y1, x0] * (1 - (x - x0)) + part[y1, x1] * (x - x0)
            large[row, column] = upper * (1 - (y - y0)) + lower * (y - y0)
    return large

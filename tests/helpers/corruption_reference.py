"""The published corruptions in plain code: a pixel at a time, or with SciPy and Pillow."""

import colorsys
import io
import math

import numpy as np
from PIL import Image
from scipy import ndimage


def disk_kernel(radius, sigma):
    """A disk on 17×17 (or as wide as it is), smoothed by a 3×3 (or 5×5) Gaussian."""
    reach, half = (8, 1) if radius <= 8 else (radius, 2)
    flat = np.zeros((2 * reach + 1, 2 * reach + 1))
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            flat[y + reach, x + reach] = x * x + y * y <= radius * radius
    line = np.array([math.exp(-(k**2) / (2 * sigma**2)) for k in range(-half, half + 1)])
    line /= line.sum()
    flat = ndimage.correlate1d(flat / flat.sum(), line, axis=0, mode="mirror")
    return ndimage.correlate1d(flat, line, axis=1, mode="mirror")


def defocus(image, radius, sigma):
    kernel = disk_kernel(radius, sigma)[..., None]
    return np.clip(ndimage.correlate(image, kernel, mode="mirror"), 0, 1)


def gauss(image, sigma, mode, truncate):
    return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode=mode, truncate=truncate)


def shuffle(image, offsets, delta):
    """Visit inner pixels from the last to the first; each takes a neighbour's present value."""
    image = image.copy()
    height, width, _ = image.shape
    for h in range(height - delta, delta, -1):
        for w in range(width - delta, delta, -1):
            down, right = offsets[:, h - delta - 1, w - delta - 1]
            image[h, w] = image[h + down, w + right]
    return image


def motion(image, angle, radius, sigma):
    """ImageMagick's motion blur: a half Gaussian at the nearest pixels along a line."""
    height, width, _ = image.shape
    count = 2 * radius + 1
    kernel = [math.exp(-i * i / (2 * sigma**2)) for i in range(count)]
    right, down = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    blurred = np.zeros_like(image, np.float64)
    for i, weight in enumerate(kernel):
        dx, dy = math.ceil(i * right - 0.5), math.ceil(i * down - 0.5)
        from_y = np.clip(np.arange(height) + dy, 0, height - 1)
        from_x = np.clip(np.arange(width) + dx, 0, width - 1)
        blurred += weight / sum(kernel) * image[from_y][:, from_x]
    return blurred


def zoom(image, factor):
    """Enlarge the middle of a square image."""
    side = image.shape[0]
    kept = math.ceil(side / factor)
    top = (side - kept) // 2
    middle = image[top : top + kept, top : top + kept]
    large = ndimage.zoom(middle, (factor, factor, 1), order=1)
    trim = (large.shape[0] - side) // 2
    return large[trim : trim + side, trim : trim + side]


def zoom_blur(image, factors):
    return (image + sum(zoom(image, factor) for factor in factors)) / (len(factors) + 1)


def diamond_square(draws, decay):
    """The height map, on the whole grid in place."""
    side = 2 * draws[-1].shape[1]
    grid = np.zeros((side, side))
    step, wibble = side, 100.0
    for squares, uppers, lefts in draws:
        half, amplitude = step // 2, wibble * wibble
        for i, y in enumerate(range(0, side, step)):
            for j, x in enumerate(range(0, side, step)):
                corners = sum(grid[(y + a) % side, (x + b) % side] for a in (0, step)
                              for b in (0, step))  # fmt: skip
                grid[y + half, x + half] = corners / 4 + amplitude * squares[i, j]
        for noise, down, right in ((uppers, 0, half), (lefts, half, 0)):
            for i in range(side // step):
                for j in range(side // step):
                    y, x = i * step + down, j * step + right
                    around = [(y - half, x), (y + half, x), (y, x - half), (y, x + half)]
                    mean = sum(grid[a % side, b % side] for a, b in around) / 4
                    grid[y, x] = mean + amplitude * noise[i, j]
        step, wibble = half, wibble / decay
    grid -= grid.min()
    return grid / grid.max()


def brighter(image, more):
    result = np.empty_like(image)
    for place in np.ndindex(image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[place].tolist())
        result[place] = colorsys.hsv_to_rgb(hue, saturation, min(value + more, 1.0))
    return result


def affine(image, moves):
    """Move three points, (x, y); bilinear between pixels, mirrored at the border."""
    height, width, channels = image.shape
    away = min(height, width) // 3
    middle = np.array([width // 2, height // 2])
    points = middle + away * np.array([[1, 1], [1, -1], [-1, -1]])
    forward = np.linalg.solve(np.c_[points, np.ones(3)], points + moves).T
    backward = np.linalg.inv(np.vstack([forward, [0, 0, 1]]))
    y, x = np.mgrid[:height, :width]
    from_x, from_y, _ = np.tensordot(backward, np.stack([x, y, np.ones_like(x)]), 1)
    planes = [
        ndimage.map_coordinates(image[..., c], (from_y, from_x), order=1, mode="mirror")
        for c in range(channels)
    ]
    return np.stack(planes, -1)


def elastic(image, noise, factor, sigma):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    aside = gauss(noise, sigma, "reflect", 3.0) * factor
    places = y + aside[..., 1], x + aside[..., 0]
    planes = [
        ndimage.map_coordinates(image[..., c], places, order=1, mode="reflect")
        for c in range(image.shape[2])
    ]
    return np.stack(planes, -1)


def in_eight_bits(image):
    pixels = np.uint8(np.round(image * 255))
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def pixelated(image, share):
    picture = in_eight_bits(image)
    width, height = picture.size
    small = picture.resize((int(width * share), int(height * share)), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BOX)) / 255.0


def through_jpeg(image, quality):
    buffer = io.BytesIO()
    in_eight_bits(image).save(buffer, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(buffer)) / 255.0
    return decoded.reshape(image.shape)

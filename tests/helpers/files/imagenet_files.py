"""Small archives in the layout of ILSVRC 2012, as TensorFlow Datasets' own code reads them."""

import io
import tarfile

import numpy as np
from PIL import Image

WNIDS = ("n01440764", "n01443537", "n01484850")


def pixels(seed, height, width):
    """Return a smooth colour picture, uint8 `(height, width, 3)`."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(seed, height, width):
    content = io.BytesIO()
    Image.fromarray(pixels(seed, height, width)).save(content, "JPEG", quality=95, subsampling=0)
    return content.getvalue()


def tarred(files):
    """Return a tar archive of files, by name."""
    content = io.BytesIO()
    with tarfile.open(mode="w", fileobj=content) as archive:
        for name, file in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(file)
            archive.addfile(entry, io.BytesIO(file))
    return content.getvalue()


def write_archives(manual, *, training=True):
    """Write 12 validation images, and five training images of each of three classes."""
    manual.mkdir(parents=True)
    validation = {
        f"ILSVRC2012_val_{k:08d}.JPEG": jpeg(100 + k, 60 + 5 * k, 90) for k in range(1, 13)
    }
    (manual / "ILSVRC2012_img_val.tar").write_bytes(tarred(validation))
    if training:
        classes = {
            f"{wnid}.tar": tarred(
                {f"{wnid}_{k}.JPEG": jpeg(10 * label + k, 80, 64 + 4 * k) for k in range(5)}
            )
            for label, wnid in enumerate(WNIDS)
        }
        (manual / "ILSVRC2012_img_train.tar").write_bytes(tarred(classes))

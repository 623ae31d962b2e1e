"""Small COCO and Pascal VOC in their official layouts, prepared by TensorFlow Datasets' own code.

Only the download is replaced: its manager is given the folders as if it had extracted archives.
"""

import contextlib
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

BLUE, GREY = (0, 0, 255), (90, 90, 90)


def drawn(path, width, height, boxes):
    """Save an image, grey but for its boxes `(left, top, width, height)` in pixels."""
    pixels = np.full((height, width, 3), GREY, np.uint8)
    for left, top, across, down in boxes:
        pixels[top : top + down, left : left + across] = BLUE
    Image.fromarray(pixels).save(path, "JPEG", quality=100, subsampling=0)


class CocoLayout:
    """A folder in COCO's layout that is filled image by image."""

    def __init__(self, root, categories):
        self.root, self.categories = root, list(categories)  # (name, supercategory)
        self.images = {"train2017": [], "val2017": []}
        self.annotations = {"train2017": [], "val2017": []}
        (root / "annotations").mkdir(parents=True)
        for folder in (*self.images, "test2017"):
            (root / folder).mkdir()

    def add(self, objects, width=64, height=48, crowd=0, on_disk=True, name=None, folder="val2017"):
        """Add an image with `(category, box)` objects, boxes in pixels."""
        number = sum(map(len, self.images.values())) + 1
        name = name or f"{number:012d}.jpg"
        self.images[folder].append(
            {"id": number, "file_name": name, "width": width, "height": height}
        )
        for category, box in objects:
            self.annotations[folder].append(
                {
                    "id": 1000 * number + len(self.annotations[folder]),
                    "image_id": number,
                    "category_id": 10 + [c for c, _ in self.categories].index(category),
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": crowd,
                }
            )
        if on_disk:
            drawn(self.root / folder / name, width, height, [box for _, box in objects])

    def write(self):
        """Write the annotations of the folders that have images, and return the root."""
        categories = [
            {"id": 10 + k, "name": name, "supercategory": above}
            for k, (name, above) in enumerate(self.categories)
        ]
        for folder, images in self.images.items():
            if images:
                content = {
                    "images": images,
                    "annotations": self.annotations[folder],
                    "categories": categories,
                }
                file = self.root / "annotations" / f"instances_{folder}.json"
                file.write_text(json.dumps(content))
        return self.root


def add_test_images(root):
    """Add COCO's test part, of one image without annotations."""
    (root / "test2017").mkdir(exist_ok=True)
    drawn(root / "test2017/000000000000.jpg", 64, 48, [])
    image = {"id": 0, "file_name": "000000000000.jpg", "width": 64, "height": 48}
    annotated = next((root / "annotations").glob("instances_*.json"))
    content = {"images": [image], "categories": json.loads(annotated.read_text())["categories"]}
    (root / "annotations/image_info_test2017.json").write_text(json.dumps(content))


class VocLayout:
    """A folder in Pascal VOC's layout, `VOCdevkit/VOC2007`, that is filled image by image."""

    def __init__(self, root, year="2007"):
        self.root, self.folder = root, root / "VOCdevkit" / f"VOC{year}"
        self.sets = {"train": [], "val": [], "test": []}
        for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (self.folder / part).mkdir(parents=True)

    def add(self, part, objects, width=64, height=48, difficult=0):
        """Add an image with `(class, box)` objects, boxes in pixels as COCO has them."""
        name = f"{sum(map(len, self.sets.values())) + 1:06d}"
        self.sets[part].append(name)
        drawn(self.folder / f"JPEGImages/{name}.jpg", width, height, [box for _, box in objects])
        written = "".join(_voc_object(*thing, difficult) for thing in objects)
        (self.folder / f"Annotations/{name}.xml").write_text(
            f"<annotation><size><width>{width}</width><height>{height}</height></size>"
            f"{written}</annotation>"
        )

    def write(self):
        """Write which image is in which part, and return the root."""
        for part, names in self.sets.items():
            (self.folder / f"ImageSets/Main/{part}.txt").write_text("\n".join(names))
        return self.root


def _voc_object(category, box, difficult):
    left, top, across, down = box  # VOC counts pixels from 1, the last one inclusively
    return (
        f"<object><name>{category}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>{difficult}</difficult><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
        f"<xmax>{left + across}</xmax><ymax>{top + down}</ymax></bndbox></object>"
    )


@contextlib.contextmanager
def served(root, data_dir):
    """Let TensorFlow Datasets find what it downloads in `root`, and prepare it in `data_dir`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(data_dir))
        patch.setattr("urllib.request.getproxies", lambda: {"https": "a proxy resolves hosts"})
        patch.setattr("tensorflow_datasets.core.utils.gcs_utils._is_gcs_disabled", True)
        patch.setattr(
            tfds.download.DownloadManager,
            "download_and_extract",
            lambda _, addresses: dict.fromkeys(addresses, str(root)),
        )
        yield


def any_box(patch):
    """Let TensorFlow Datasets write boxes that it would refuse."""
    patch.setattr(
        tfds.features.BBoxFeature,
        "encode_example",
        lambda self, box: tfds.features.Tensor.encode_example(self, list(box)),
    )

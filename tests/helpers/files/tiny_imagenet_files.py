"""Small archives in Tiny ImageNet's official layout."""

import io
import zipfile

from PIL import Image

WORDS = {"n01": "goldfish, Carassius auratus", "n02": "crane", "n03": "crane, lifting device"}


def jpeg(colour, size=64, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (size, size), colour).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def content():
    """The files of a small archive: three classes of three training and two test images."""
    root = "tiny-imagenet-200"
    files = {
        f"{root}/wnids.txt": "\n".join(WORDS),
        f"{root}/words.txt": "\n".join(f"{k}\t{v}" for k, v in {**WORDS, "n99": "x"}.items()),
    }
    annotations = []
    for number, wnid in enumerate(WORDS):
        lines = []
        for k in range(3):
            name = f"{wnid}_{k}.JPEG"
            lines.append(f"{name}\t0\t{8 * number}\t63\t{8 * k + 31}")
            grey = (number, k) == (2, 2)
            colour = 80 if grey else (80 * number, 60 * k, 0)
            files[f"{root}/train/{wnid}/images/{name}"] = jpeg(colour, mode="L" if grey else "RGB")
        files[f"{root}/train/{wnid}/{wnid}_boxes.txt"] = "\n".join(lines) + "\n"
        for k in range(2):
            name = f"val_{2 * number + k}.JPEG"
            annotations.append(f"{name}\t{wnid}\t63\t63\t63\t63")
            files[f"{root}/val/images/{name}"] = jpeg((0, 0, 80 * number))
    files[f"{root}/val/val_annotations.txt"] = "\n".join(annotations) + "\n"
    return files


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def edited(**changes):
    files = content()
    for name, value in changes.items():
        key = next(file for file in files if file.endswith(name.replace("__", ".")))
        if value is None:
            del files[key]
        else:
            files[key] = value
    return files

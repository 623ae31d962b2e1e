"""The builder of TensorFlow Datasets that prepares Tiny ImageNet."""

from __future__ import annotations

import contextlib
import functools
import io
import tempfile
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tfrobust.data.telling import counted, tell
from tfrobust.errors import DataError, RobustError, one_line
from tfrobust.files.atomic import disk_errors
from tfrobust.files.reading import read_json
from tfrobust.scenario import Prepared
from tfrobust_scenarios.tfds_preparing import bars_for_people, preparing
from tfrobust_scenarios.tiny_imagenet_archive import SIDE, Picture, TinyImagenetArchive

NAME, VERSION = "tiny_imagenet", "1.0.0"
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
SHA256 = "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"
_DOWNLOAD = ".download-"
_MEGABYTE = 1 << 20  # bytes
_PATIENCE = 20.0  # seconds until a server that does not answer is given up


def prepared_from(
    home: Path, archive: Path | None, *, sha256: str | None = None, strict: bool = False
) -> Prepared:
    """Prepare the dataset in `home/1.0.0`, or find that it is.

    Args:
        home: `TFDS_DATA_DIR/tiny_imagenet`.
        archive: the official one or a part of it; none: it is downloaded.
        sha256: what the archive's checksum must be; none: of a downloaded one the official's.
        strict: refuse a broken image, and do not leave it out.

    Raises:
        DataError: see `TinyImagenet.prepare`.
    """
    folder = home / VERSION
    if (folder / "dataset_info.json").exists():
        return _found(folder, archive, sha256, strict=strict)
    with preparing(home, f"{_DOWNLOAD}*"):
        if (folder / "dataset_info.json").exists():  # by another process, meanwhile
            return _found(folder, archive, sha256, strict=strict)
        if archive is not None:
            return _prepared(home, archive, sha256, strict=strict)
        with tempfile.TemporaryDirectory(dir=home, prefix=_DOWNLOAD) as beside:
            archive = _downloaded(Path(beside))
            return _prepared(home, archive, sha256 or SHA256, strict=strict)


def _checked(path: Path, sha256: str | None) -> TinyImagenetArchive:
    """Open an archive whose checksum must be this."""
    opened = TinyImagenetArchive(path)
    if sha256 is not None and opened.sha256 != sha256.lower():
        raise DataError(
            f"{path}: its SHA-256 is {opened.sha256}; expected {sha256.lower()}; "
            "get the archive again"
        )
    return opened


def _prepared(home: Path, path: Path, sha256: str | None, *, strict: bool) -> Prepared:
    archive = _checked(path, sha256)
    skipped: list[str] = []

    def examples(pictures: Iterable[Picture]) -> Iterator[tuple[str, dict[str, Any]]]:
        known = list(pictures)  # names, and no pixels
        for picture in counted(known, "preparing images", len(known)):
            try:
                yield picture.name, _example(archive, picture)
            except DataError as error:
                if strict:
                    raise
                skipped.append(str(error))

    builder = _builder_class()(archive, examples, skipped, data_dir=home.parent)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            bars_for_people(told=True),
            disk_errors(home),
        ):
            builder.download_and_prepare()
    except RobustError:
        raise
    except Exception as error:  # TensorFlow Datasets wraps what its generators raise
        cause = error.__cause__ if isinstance(error.__cause__, RobustError) else error
        raise DataError(f"{archive.path}: cannot be prepared ({one_line(cause)})") from error
    return _held(home / VERSION)


def _example(archive: TinyImagenetArchive, picture: Picture) -> dict[str, Any]:
    import tensorflow_datasets as tfds

    ymin, xmin, ymax, xmax = map(float, picture.boxes())
    return {
        "image": io.BytesIO(archive.read(picture)),
        "wnid": picture.wnid,
        "box": tfds.features.BBox(ymin, xmin, ymax, xmax),
        "file_name": picture.name,
    }


@functools.cache
def _builder_class() -> Any:
    """Return the builder's class; TensorFlow Datasets is imported for nobody else."""
    import tensorflow_datasets as tfds

    class TinyImagenet(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        """Tiny ImageNet, from an archive in the official layout.

        Args:
            archive: opened.
            examples: gives the examples of some of its pictures.
            skipped: receives a line for each that `examples` leaves out.
            data_dir: of TensorFlow Datasets.
        """

        VERSION = tfds.core.Version(VERSION)

        def __init__(
            self,
            archive: TinyImagenetArchive,
            examples: Callable[[Iterable[Picture]], Any],
            skipped: list[str],
            *,
            data_dir: Path,
        ) -> None:
            self.archive, self.examples, self.skipped = archive, examples, skipped
            super().__init__(data_dir=data_dir)

        def _info(self) -> Any:
            features = tfds.features
            return tfds.core.DatasetInfo(
                builder=self,
                description="200 classes of ImageNet at 64×64, with boxes.",
                homepage="https://cs231n.stanford.edu",
                features=features.FeaturesDict(
                    {
                        "image": features.Image(shape=(SIDE, SIDE, 3), encoding_format="jpeg"),
                        "wnid": features.Text(),
                        "box": features.BBoxFeature(),
                        "file_name": features.Text(),
                    }
                ),
                metadata=tfds.core.MetadataDict({}),
            )

        def _split_generators(self, dl_manager: Any) -> Any:
            self.info.metadata["words"] = self.archive.words()
            self.info.metadata["sha256"] = self.archive.sha256
            self.info.metadata["skipped"] = self.skipped  # filled while the images are read
            return {
                "train": self._generate_examples(self.archive.training()),
                "validation": self._generate_examples(self.archive.validation()),
            }

        def _generate_examples(self, pictures: Iterable[Picture]) -> Any:
            return self.examples(pictures)

    return TinyImagenet


def _found(folder: Path, archive: Path | None, sha256: str | None, *, strict: bool) -> Prepared:
    """Return what a prepared folder holds, if it is what is asked for."""
    kept = _metadata(folder)
    if archive is not None and _checked(archive, sha256).sha256 != kept["sha256"]:
        raise DataError(f"{folder}: was prepared from another archive; remove it first")
    if sha256 is not None and sha256.lower() != kept["sha256"]:
        raise DataError(
            f"{folder}: was prepared from an archive whose SHA-256 is {kept['sha256']}; "
            f"expected {sha256.lower()}; remove it first"
        )
    if strict and kept["skipped"]:
        raise DataError(f"{kept['skipped'][0]}; was left out of {folder}")
    return _held(folder)


def _held(folder: Path) -> Prepared:
    """Return what a prepared folder holds."""
    import tensorflow_datasets as tfds

    splits = tfds.builder_from_directory(folder).info.splits
    return Prepared(
        folder=folder,
        images={name: int(split.num_examples) for name, split in splits.items()},
        skipped=tuple(_metadata(folder)["skipped"]),
    )


def _metadata(folder: Path) -> dict[str, Any]:
    file = folder / "metadata.json"
    try:
        metadata: dict[str, Any] = read_json(file)
        return {"sha256": metadata["sha256"], "skipped": metadata["skipped"]}
    except (OSError, TypeError, ValueError, KeyError) as error:
        raise DataError(
            f"{folder}: was not prepared by tfrobust; move it away, and prepare again"
        ) from error


def _downloaded(folder: Path) -> Path:
    """Return the official archive, downloaded into a folder."""
    file = folder / URL.rpartition("/")[2]
    try:
        with urllib.request.urlopen(URL, timeout=_PATIENCE) as response, file.open("wb") as out:
            megabytes = int(response.headers.get("Content-Length") or 0) // _MEGABYTE
            while block := response.read(_MEGABYTE):
                out.write(block)
                done = out.tell() // _MEGABYTE
                tell("downloading, in MB", done, max(done, megabytes))
    except OSError as error:
        raise DataError(
            f"tiny_imagenet is not in {folder.parent} and cannot be downloaded "
            f"({one_line(error, 120)}); give --archive FILE, or set TFDS_DATA_DIR to where it is "
            "prepared"
        ) from error
    return file

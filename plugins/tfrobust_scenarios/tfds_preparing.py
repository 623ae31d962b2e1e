"""Preparing datasets of TensorFlow Datasets in `TFDS_DATA_DIR`, one process at a time."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import socket
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfrobust.data.telling import is_told
from tfrobust.errors import DataError, StoreError, one_line
from tfrobust.files.atomic import disk_errors
from tfrobust.files.claims import LOCK, alone, made_folder


def data_folder() -> Path:
    """Return the folder of prepared datasets."""
    import tensorflow_datasets as tfds  # reads TFDS_DATA_DIR only once, when it is imported

    return Path(os.environ.get("TFDS_DATA_DIR") or tfds.core.constants.DATA_DIR)


def newest_version(name: str) -> Path | None:
    """Return the folder of a dataset's newest version that is prepared, if there is one.

    Args:
        name: with its configuration, where it has any: `coco/2017`.
    """
    import tensorflow_datasets as tfds

    home = data_folder() / name
    files = home.glob("*/dataset_info.json")
    version = tfds.core.Version
    folders = [file.parent for file in files if version.is_valid(file.parent.name)]
    return max(folders, key=lambda folder: version(folder.name), default=None)


def stored_builder(name: str) -> Any:
    """Return the builder of a dataset, prepared or not."""
    return _builder_in(name, os.environ.get("TFDS_DATA_DIR"))


@functools.cache
def _builder_in(name: str, folder: str | None) -> Any:
    import tensorflow_datasets as tfds

    return tfds.builder(name, data_dir=folder)


def prepared(name: str, *, manual: bool = False) -> Any:
    """Return the builder of a dataset, downloaded and prepared where it is not.

    Args:
        name: of the dataset.
        manual: its archives lie in TensorFlow Datasets' folder for manual downloads.

    Raises:
        DataError: it cannot be.
    """
    builder = stored_builder(name)
    if builder.info.splits:  # known only once it is prepared
        return builder
    try:
        if not manual:
            _check_network(builder)
        with (
            preparing(Path(builder.data_dir).parent),
            contextlib.redirect_stdout(io.StringIO()),
            bars_for_people(),
        ):
            builder.download_and_prepare(download_config=_download_config(manual=manual))
    except StoreError:
        raise
    except Exception as error:  # the network, the disk, a checksum: all end here
        cause = f"{type(error).__name__}: {one_line(error, 120)}"
        if manual:
            raise DataError(
                f"{name} cannot be prepared in {builder.data_dir} ({cause}); get the archives again"
            ) from error
        raise DataError(
            f"{name} is not in {builder.data_dir} and cannot be downloaded ({cause}); "
            "set TFDS_DATA_DIR to where it is prepared, or connect to the network"
        ) from error
    return builder


def _download_config(*, manual: bool) -> Any:
    """Return how to download: what is there already is not asked for on the network."""
    import tensorflow_datasets as tfds

    return tfds.download.DownloadConfig(try_download_gcs=False) if manual else None


@contextlib.contextmanager
def preparing(home: Path, *more: str) -> Iterator[None]:
    """Let one process prepare a dataset at a time, and remove what one that was killed has left.

    No empty folder stays behind.

    Args:
        home: of the dataset's versions.
        *more: further patterns of leftovers; those of TensorFlow Datasets are known.

    Raises:
        StoreError: another process is at it, or the disk refuses.
    """
    busy = f"{home}: another process is preparing it; wait until it is done"
    with contextlib.ExitStack() as held:
        with disk_errors(home):
            held.enter_context(made_folder(home))
            held.callback(_remove_empty, home)
            held.enter_context(alone(home / LOCK, busy))
        _remove_incomplete(home, *more)
        held.callback(_remove_incomplete, home, *more)  # of this process, if it is interrupted
        yield


def _remove_incomplete(home: Path, *more: str) -> None:
    for pattern in ("incomplete.*", *more):
        for left in home.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)


def _remove_empty(home: Path) -> None:
    downloads = home.parent / "downloads"  # TensorFlow Datasets makes it, used or not
    for folder in (home, downloads / "extracted", downloads):
        with contextlib.suppress(OSError):  # not there, or not empty
            folder.rmdir()


@contextlib.contextmanager
def bars_for_people(*, told: bool = False) -> Iterator[None]:
    """Keep the progress bars of TensorFlow Datasets out of files and pipes.

    Args:
        told: what is done inside tells how far it is: whoever listens shows that instead.
    """
    import tensorflow_datasets as tfds

    if sys.stderr.isatty() and not (told and is_told()):
        yield
        return
    tfds.disable_progress_bar()
    try:
        yield
    finally:
        tfds.enable_progress_bar()


def _check_network(builder: Any) -> None:
    """Resolve the hosts first: without a network, TensorFlow Datasets retries for minutes.

    Raises:
        OSError: a host is unknown.
    """
    if urllib.request.getproxies():
        return  # the proxy resolves them
    for host in {urllib.parse.urlsplit(address).hostname for address in builder.url_infos}:
        socket.getaddrinfo(host, None)

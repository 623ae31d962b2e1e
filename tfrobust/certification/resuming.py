"""Certificates of an unfinished run, from which it continues: proofs may take minutes an image."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrobust.certifier import Certificates, Certifier
from tfrobust.classifier import Classifier
from tfrobust.classifiers.identity import probes, weights_digest
from tfrobust.classifiers.inference import predict
from tfrobust.environment.versions import onednn, threads
from tfrobust.errors import PluginError
from tfrobust.files.finished_work import FinishedWork
from tfrobust.registry import signature
from tfrobust.types import Images, Labels

FIELDS = ("radii", "abstained", "least", "complete", "answers")
_SECONDS = "seconds"


class KeptCertificates:
    """What a certifier has proven of a classifier before an interruption.

    Args:
        finished: where it is kept; `None`: nowhere.
        certifier: with its options.
        classifier: that is certified.
    """

    def __init__(
        self, finished: FinishedWork | None, certifier: Certifier, classifier: Classifier
    ) -> None:
        self._finished, self._certifier, self._classifier = finished, certifier, classifier

    def recipe(self, images: Images, labels: Labels, seed: int, eps: Sequence[float]) -> bytes:
        """Return all that decides the certificates of some images; nothing if they are not kept.

        Args:
            images: float32 `(n, height, width, channels)`.
            labels: int64 `(n,)`.
            seed: of the run.
            eps: the radii that are asked about by themselves.
        """
        if not self._finished:
            return b""
        content = hashlib.sha256(np.ascontiguousarray(images).tobytes())
        content.update(np.ascontiguousarray(labels).tobytes())
        known = {
            "certifier": signature(self._certifier),
            "classifier": self._identity,
            "images": content.hexdigest(),
            "seed": seed,
            "eps": list(eps),
            "threads": threads(),
            "onednn": onednn(),
        }
        return json.dumps(known, sort_keys=True).encode()

    @functools.cached_property
    def _identity(self) -> list[Any]:
        """Path, defences, weights, and of one that answers always alike a few answers."""
        classifier = self._classifier
        answers = None
        if not classifier.stochastic:
            shown = probes(classifier.image_shape)
            answers = hashlib.sha256(predict(classifier, shown).tobytes()).hexdigest()
        return [classifier.source, repr(classifier.defenses), weights_digest(classifier), answers]

    def load(self, recipe: bytes, count: int) -> tuple[Certificates, float] | None:
        """Return the certificates of so many images and the seconds they took, or `None`."""
        arrays = self._finished.load(recipe) if self._finished else None
        try:
            seconds = float((arrays or {})[_SECONDS])
            given = {name: array for name, array in (arrays or {}).items() if name != _SECONDS}
            certificates = Certificates(**given)
        except (KeyError, TypeError, ValueError, PluginError):
            return None  # not finished, or damaged: it is computed again
        return (certificates, seconds) if len(certificates.radii) == count else None

    def save(self, recipe: bytes, certificates: Certificates, seconds: float) -> None:
        """Keep certificates; see `load`.

        Raises:
            StoreError: the disk refuses.
        """
        if not self._finished:
            return
        given = {name: getattr(certificates, name) for name in FIELDS}
        arrays = {name: array for name, array in given.items() if array is not None}
        self._finished.save(recipe, arrays | {_SECONDS: np.asarray(seconds)})

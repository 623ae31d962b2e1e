"""Finished attacks of an unfinished evaluation, kept so that it can go on where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifiers.identity import identity
from tfrobust.engine.run import Crafted
from tfrobust.engine.victim import FirstGradients
from tfrobust.errors import StoreError
from tfrobust.evaluation.judging import Plan, Subject
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.files.atomic import disk_errors
from tfrobust.files.leftovers import remove_folder
from tfrobust.files.output_folders import PARTIAL
from tfrobust.registry import signature


class Partial:
    """Crafted images by content: the same images, classifier, attack and seed, whatever the names.

    Args:
        out: the run folder; the files lie in a hidden folder of it until `discard`.
    """

    def __init__(self, out: Path) -> None:
        self._folder = out / PARTIAL

    def load(self, plan: Plan, subject: Subject, attack: Attack) -> Crafted | None:
        """Return what this attack made before it was interrupted, or `None`."""
        path = self._path(plan, subject, attack)
        try:
            found = read_arrays(path)
            images, targets = found["images"], found["targets"]
            if images.shape != plan.images.shape or images.dtype != np.float32:
                return None
            if targets.ndim != 1 or len(targets) not in (0, len(images)):
                return None
            return Crafted(
                images=images,
                targets=targets if len(targets) else None,
                gradients=int(found["gradients"]),
                queries=int(found["queries"]),
                seconds=float(found["seconds"]),
                first=FirstGradients(*map(int, found["first"])),
            )
        except (StoreError, KeyError, TypeError, ValueError):
            return None  # never made, or damaged: it is made again

    def save(self, plan: Plan, subject: Subject, attack: Attack, crafted: Crafted) -> None:
        """Keep a finished attack.

        Raises:
            StoreError: the disk refuses.
        """
        found = {
            "images": crafted.images,
            "targets": np.zeros(0) if crafted.targets is None else crafted.targets,
            "gradients": np.array(crafted.gradients),
            "queries": np.array(crafted.queries),
            "seconds": np.array(crafted.seconds),
            "first": np.array(dataclasses.astuple(crafted.first)),
        }
        write_arrays(self._path(plan, subject, attack), found)

    def discard(self) -> None:
        """Remove everything: the evaluation is finished."""
        with disk_errors(self._folder):
            remove_folder(self._folder)

    def _path(self, plan: Plan, subject: Subject, attack: Attack) -> Path:
        attacked = plan.crafted_on[1] if plan.crafted_on else subject.classifier
        made_by = {"attack": signature(attack), "seed": plan.seed, "targets": str(plan.targets)}
        content = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode())
        boxes = [plan.boxes] if attack.needs_boxes else []
        for array in (plan.images, plan.labels, *boxes):
            content.update(np.ascontiguousarray(array).tobytes())
        content.update(identity(attacked, plan.images))
        return self._folder / f"{content.hexdigest()[:32]}.npz"

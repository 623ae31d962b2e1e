"""Classifiers as the networks that were trained, opened by name here and in workers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfrobust.classifier import Classifier
from tfrobust.classifiers.checks import check_sound
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.members import shown_names, split_member
from tfrobust.pipeline.reload import network_of
from tfrobust.store.layout import home_of, locate, rooted, store_root, stored, training_folder


@dataclasses.dataclass(frozen=True)
class StoredNetworks:
    """Opens networks with their layers and their defences; see `network_of`.

    It can be pickled, and opens the same in a process that works in another folder. It is a
    `tfrobust.execution.reopening.Reopening`.

    Attributes:
        given: the name that results show → a name in the store, or a path.
        options: what the user says about the files.
        root: the store, absolute.
        folder: to which relative paths belong, absolute.

    Example:
        >>> networks = StoredNetworks.named(["d1", "other/d2.keras"], LoadOptions())
        >>> networks.open("d1").model.layers[0].name
        'conv2d'
    """

    given: Mapping[str, str]
    options: LoadOptions
    root: Path
    folder: Path

    @classmethod
    def named(cls, classifiers: Sequence[str], options: LoadOptions) -> StoredNetworks:
        """Return it for classifiers as a user names them.

        Raises:
            UsageError: one is given twice.
        """
        given = dict(zip(shown_names(classifiers), classifiers, strict=True))
        return cls(given, options, store_root().absolute(), Path.cwd())

    def knows(self, name: str) -> bool:
        """Tell whether it opens a classifier, by the name that results show."""
        return name in self.given

    def open(self, name: str) -> Classifier:
        """Open a network, and try it; see `check_sound`.

        Raises:
            UsageError: there is nothing of that name.
            ClassifierError: it is damaged.
        """
        with rooted(self.root):
            network = network_of(self._found(name), self.options)
        return network.replace(**check_sound(network, self.given[name]))

    def files(self, name: str) -> list[Path]:
        """Return where it lies: the version that is served, and what is kept of its training."""
        with rooted(self.root):
            plain = split_member(self._found(name))[0]
            served = locate(plain).absolute()
            kept = training_folder(home_of(plain)) if plain in stored() else served
        return [served, kept] if kept != served and kept.is_dir() else [served]

    def _found(self, name: str) -> str:
        """Return what a classifier is called from this process's folder."""
        given = self.given[name]
        plain = split_member(given)[0]
        if self.folder == Path.cwd() or plain in stored(self.root):
            return given
        return str(self.folder / given)  # an absolute one stays as it is

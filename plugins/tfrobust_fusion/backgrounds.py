"""Networks trained on scenes, by the names that users give."""

from __future__ import annotations

from collections.abc import Sequence

from tfrobust.classifier import Classifier
from tfrobust.errors import UsageError, one_line
from tfrobust.pipeline.named_networks import NamedNetworks
from tfrobust.registry import create

_IMAGENET, _IMAGENET_CLASSES = "imagenet", 1000


class Backgrounds(NamedNetworks):
    """Finds networks by a name in the store, a path, a weights file, or `imagenet`."""

    def networks(self, called: Sequence[str]) -> dict[str, Classifier]:
        """Return the networks: `background`, or where there are more `background1`, ….

        Raises:
            UsageError: there is nothing of that name; no such weights for the architecture.
            DataError: a file does not fit the architecture.
        """
        if len(called) == 1:
            return {"background": self._opened(called[0])}
        return {f"background{k}": self._opened(name) for k, name in enumerate(called, 1)}

    def _opened(self, called: str) -> Classifier:
        if called == _IMAGENET:
            self._check_imagenet()
            return self.build(_IMAGENET_CLASSES, weights=called)
        # Its last layer is not used, so two random classes are enough.
        return self.open(called, 2, head="new")

    def _check_imagenet(self) -> None:
        try:
            create("models", self.architecture, **{**self.options, "weights": _IMAGENET})
        except UsageError as error:
            raise UsageError(
                f"{self.wanted_by}: imagenet: no such weights for architecture="
                f"{self.architecture} ({one_line(error)}); choose one that has them, such as "
                "-p architecture=resnet50"
            ) from error

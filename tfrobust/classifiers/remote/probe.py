"""Whether an endpoint is still the same model: one image, asked again now and then."""

from __future__ import annotations

import dataclasses

from tfrobust.classifiers.identity import agree
from tfrobust.classifiers.remote.address import Address
from tfrobust.classifiers.remote.protocol import OtherModelError
from tfrobust.types import Images, Logits

_SAME = 1e-3  # relative difference of two answers of one model, whatever computes them


@dataclasses.dataclass(frozen=True)
class Probe:
    """An image, and what the model said of it first.

    Attributes:
        image: float32 `(1, height, width, channels)` in [0, 1].
        answer: its logits, float32 `(1, classes)`.
    """

    image: Images
    answer: Logits

    def compare(self, answer: Logits, address: Address) -> None:
        """Compare the answer with a later one.

        Raises:
            OtherModelError: they differ by more than other hardware explains.
        """
        if not agree(answer, self.answer, _SAME).all():
            raise OtherModelError(
                address.url,
                "answers otherwise than at the start of the run: another version is served, or "
                "the model draws at random",
            )

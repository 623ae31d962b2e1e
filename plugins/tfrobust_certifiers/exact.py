"""The true least L∞ distance of small ReLU networks, by mixed-integer programming.

min ‖x′ − x‖∞ with x′ in [0, 1] and z_k(x′) ≥ z_y(x′) for a class k ≠ y

Tjeng, Xiao & Tedrake, "Evaluating robustness of neural networks with mixed integer programming"
(2019). Guaranteed where the search ended (`complete`): no image is read as another class that is
nearer than `least`, up to the solver's tolerance (1e-6) and the rounding of the network; `radii` is
what the solver proved. Over the time limit: both bounds as they stand then. A class is searched for
by a program of its own, those first whose bounds leave most room, each within the distance found
before. Departures: what activations read is bounded by CROWN and not by programs of their own; an
attack bounds the search from above. HiGHS solves the programs, an image at a time.
"""

from __future__ import annotations

import numpy as np

from tfrobust.attack import Attack
from tfrobust.bounds import Around, Box, LinearBounds
from tfrobust.certifier import Certificates, Certifier, check_radius
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine import run_attack
from tfrobust.errors import UsageError
from tfrobust.norms.distances import distances
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.types import Flags, Images, Labels, Norm, PerImage, Seed
from tfrobust_certifiers.encoding import check_small, encoded
from tfrobust_certifiers.mixed_integer import Found, Program, Range
from tfrobust_certifiers.networks import model_of

_SLACK = 1e-5  # by which bounds in float32 are widened, as a share of their size
_BEYOND = 1e-3  # by which the search goes beyond what the attack found


@plugin
class ExactCertifier(Certifier):
    """The least L∞ distance, by search: seconds an image for networks of some hundred units.

    Example:
        >>> found = create("certifiers", "exact").certify(network, images, labels, seed=0)
        >>> found.least[found.complete]
        array([0.0631, 0.1204], dtype=float32)
    """

    seconds: float = option("time limit of each image", default=60.0, gt=0)
    attack: str | None = option(
        "attack that bounds the search from above; none: no attack", default="fab_t"
    )

    @property
    def norm(self) -> Norm:
        """L∞."""
        return "linf"

    def check(self, classifier: Classifier) -> None:
        """Refuse what is no small ReLU network; see `Certifier`.

        Raises:
            UsageError: names what it is, the layer, or its size; or an attack of another norm.
        """
        check_small(self._bounds(classifier).network, "exact")
        if self.attack is not None and (norm := self._attack().threat.norm) != "linf":
            raise UsageError(
                f"exact: attack: expected one in linf; received: {self.attack} in {norm}"
            )

    def certify(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Seed
    ) -> Certificates:
        """Search for the nearest image of another class; see `Certifier`."""
        images, labels = np.asarray(images, np.float32), np.asarray(labels)
        known = self._attacked(classifier, images, labels)
        found = self._searched(classifier, images, labels, known)
        least = np.minimum([one.least for one in found], known).astype(np.float32)
        return Certificates(
            radii=np.minimum(np.array([one.lower for one in found], np.float32), least),
            least=least,
            complete=[one.complete for one in found],
        )

    def verify(
        self, classifier: Classifier, images: Images, labels: Labels, eps: float, *, seed: Seed
    ) -> Flags:
        """Search within `eps` only; see `Certifier`."""
        check_radius(self, classifier, eps)
        images, labels = np.asarray(images, np.float32), np.asarray(labels)
        known = self._attacked(classifier, images, labels)
        safe = known >= eps
        if safe.any():
            radii = np.full(safe.sum(), eps)
            found = self._searched(classifier, images[safe], labels[safe], radii)
            safe[safe] = [one.lower >= eps for one in found]
        return safe

    def _searched(
        self, classifier: Classifier, images: Images, labels: Labels, most: PerImage
    ) -> list[Found]:
        """Search around each image, no farther than a distance; 0: it is read wrongly."""
        bounds = self._bounds(classifier)
        encoding = encoded(bounds.network)
        reads = {k: bounds.network.operations[k - 1].reads[0] for k in encoding.reads}
        reach = np.minimum(most * (1.0 + _BEYOND), 1.0)
        around = Around(images, reach.astype(np.float32))
        boxes = bounds.boxes(around)
        lead = np.asarray(bounds.lead(boxes, around, labels))
        found = []
        for row, (image, label, radius) in enumerate(zip(images, labels, reach, strict=True)):
            if radius == 0:
                found.append(Found(0.0, 0.0, complete=True))
                continue
            ranges = {k: _widened(boxes[read], row) for k, read in reads.items()}
            program = Program(encoding, image.ravel().astype(np.float64), ranges, float(radius))
            rivals = [int(k) for k in np.argsort(-lead[row]) if k != label]
            likely = [k for k in rivals if lead[row, k] > -_SLACK]  # the others are out of reach
            found.append(program.search(int(label), likely, self.seconds))
        return found

    def _attacked(self, classifier: Classifier, images: Images, labels: Labels) -> PerImage:
        """Return how far the attack's images are, float64 `(batch,)`; infinite where it failed."""
        wrong = clean_predictions(classifier, images) != labels
        known = np.full(len(images), np.inf)
        if self.attack is not None:
            crafted = run_attack(self._attack(), classifier, images, labels).images
            broken = clean_predictions(classifier, crafted) != labels
            known = np.where(broken, distances(images, crafted)["linf"], known)
        return np.where(wrong, 0.0, known)

    def _attack(self) -> Attack:
        attack: Attack = create("attacks", str(self.attack))
        return attack

    def _bounds(self, classifier: Classifier) -> LinearBounds:
        return LinearBounds(model_of(classifier, "exact"), asking="exact")


def _widened(box: Box, row: int) -> Range:
    """Return an image's bounds in float64, a little wider: those of float32 are rounded."""
    lower, upper = (np.asarray(bound[row], np.float64).ravel() for bound in box)
    return Range(lower - _SLACK * (1.0 + abs(lower)), upper + _SLACK * (1.0 + abs(upper)))

"""The true least L∞ distance of small ReLU networks, by mixed-integer programming.

min ‖x′ − x‖∞ with x′ in [0, 1] and z_k(x′) ≥ z_y(x′) for a class k ≠ y

Tjeng, Xiao & Tedrake, "Evaluating robustness of neural networks with mixed integer programming"
(2019). Guaranteed where the search ended (`complete`): no image is read as another class that is
nearer than `least`, up to the solver's tolerance (1e-6) and the rounding of the network; `radii` is
what the solver proved. Over the time limit: both bounds as they stand then, the lower one never
below CROWN's. A class is searched for by a program of its own, those first whose bounds leave most
room, each within the distance found before.

The solver is not believed where the network contradicts it: it does not read the image that was
found, or one 1e-4 of the distance beyond it, as another class (up to rounding, 1e-5 of the largest
logit), or the attack's image is nearer.
The search counts as not complete there, and the radius is CROWN's.

Departures: what activations read is bounded by CROWN and not by programs of their own; an attack
bounds the search from above. HiGHS solves the programs, an image at a time.
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
from tfrobust_certifiers.crown import LinearCertifier
from tfrobust_certifiers.encoding import check_small, encoded
from tfrobust_certifiers.mixed_integer import Found, Program, Range
from tfrobust_certifiers.networks import model_of

_SLACK = 1e-5  # by which bounds in float32 are widened, as a share of their size
_AGREES = 1e-5  # share by which the solver's distance may be above that of the attack's image
_FARTHER = 1e-4  # share by which it may be below that of an image that the network misreads
_TOLERANCE = 2e-6  # of distances: of the solver, and of pixels in float32
_BEYOND = 1e-3  # by which the search goes beyond what the attack found: what it must find again


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
        proven = LinearCertifier().certify(classifier, images, labels, seed=seed).radii
        believed = self._confirmed(classifier, images, labels, found)
        believed &= ~np.array([_contradicts(*pair) for pair in zip(found, known, strict=True)])
        lower = np.where(believed, [one.lower for one in found], 0.0).astype(np.float32)
        least = np.where(believed, [one.least for one in found], np.inf)
        least = np.minimum(least, known).astype(np.float32)
        return Certificates(
            radii=np.minimum(np.maximum(lower, proven), least),
            least=least,
            complete=believed & [one.complete for one in found],
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
        reach = np.where(most > 0, np.minimum(most * (1.0 + _BEYOND) + 5.0 * _TOLERANCE, 1.0), 0.0)
        around = Around(images, reach.astype(np.float32))
        boxes = bounds.boxes(around)
        lead = np.asarray(bounds.lead(boxes, around, labels))
        largest = np.max(np.abs(boxes[bounds.network.output]), axis=(0, 2))  # logit of each image
        found = []
        for row, (image, label, radius) in enumerate(zip(images, labels, reach, strict=True)):
            if radius == 0:
                found.append(Found(0.0, 0.0, complete=True))
                continue
            ranges = {k: _widened(boxes[read], row) for k, read in reads.items()}
            program = Program(encoding, image.ravel().astype(np.float64), ranges, float(radius))
            rivals = [int(k) for k in np.argsort(-lead[row]) if k != label]
            near = -_SLACK * largest[row]
            likely = [k for k in rivals if not lead[row, k] < near]  # the others are out of reach
            found.append(program.search(int(label), likely, self.seconds))
        return found

    def _confirmed(
        self, classifier: Classifier, images: Images, labels: Labels, found: list[Found]
    ) -> Flags:
        """Tell where the network itself reads what was found as another class, up to rounding.

        What was found is where two classes draw, up to the solver's tolerance: a little farther.
        True where nothing was found.
        """
        pairs = zip(images, found, strict=True)
        shown = np.stack([x if f.image is None else f.image.reshape(x.shape) for x, f in pairs])
        shown = np.clip(images + (shown - images) * (1.0 + _FARTHER), 0.0, 1.0)
        logits = np.asarray(classifier(shown.astype(np.float32)), np.float64)
        own = np.eye(logits.shape[1], dtype=bool)[labels]
        lead = np.where(own, -np.inf, logits).max(axis=1) - logits[own]
        reached = lead >= -_SLACK * np.abs(logits).max(axis=1)
        return reached | [one.image is None for one in found]

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


def _contradicts(found: Found, known: float) -> bool:
    """Tell whether a search excludes an image that the attack found, or did not come upon it."""
    if np.isinf(known):
        return False
    most = known * (1.0 + _AGREES) + _TOLERANCE
    return found.lower > most or (found.complete and found.least > most)


def _widened(box: Box, row: int) -> Range:
    """Return an image's bounds in float64, a little wider: those of float32 are rounded."""
    lower, upper = (np.asarray(bound[row], np.float64).ravel() for bound in box)
    return Range(lower - _SLACK * (1.0 + abs(lower)), upper + _SLACK * (1.0 + abs(upper)))

"""Certifiers that certify every image, rightly or not."""

import numpy as np

from tfrobust import Certificates, Certifier, option, plugin


@plugin
class Lying(Certifier):
    """Certifies every image, whatever the classifier answers, and says that it is proven."""

    radius: float = option("of every image", default=0.5, gt=0)
    measured_in: str = option("norm", default="linf")

    @property
    def norm(self):
        return self.measured_in

    def certify(self, classifier, images, labels, *, seed):
        return Certificates(radii=np.full(len(images), self.radius))


@plugin
class LyingByChance(Lying):
    """Says that it holds with a probability."""

    @property
    def confidence(self):
        return 0.99

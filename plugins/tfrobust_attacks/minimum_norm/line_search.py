"""The search on the line to the image that ends DeepFool and FAB: regula falsi.

The attack found an adversarial image x + s · r. A smaller share s of the same perturbation r may
do; where the label's defeat is linear in s, one guess finds the boundary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import clearly_adversarial, margin
from tfrobust.types import Flags, Images, Labels, PerImage

# It aims so far from the boundary it expects towards the point it knows to be adversarial: half of
# its guesses would else fall short and bring that point no nearer.
_CAUTION = 0.1
_NEAR = 1e-4  # where less than this share is expected to be gained, the search ends


class Line(NamedTuple):
    """From each image along its perturbation, and what is known of the way."""

    clean: Images
    labels: Labels
    perturbation: Images
    found: Images  # adversarial, at the share `high`
    low: PerImage  # share of the perturbation that is too little
    high: PerImage  # share that is enough
    low_lead: PerImage  # the label's defeat there, in logits
    high_lead: PerImage
    done: Flags


def nearest_on_line(classifier: Classifier, line: Line, steps: int) -> Images:
    """Return the nearest adversarial images found on the lines.

    Args:
        classifier: whom they fool.
        line: where to look; rows that are `done` keep what is `found`.
        steps: forward passes at most.
    """
    return iterate(lambda line, _: _narrower(classifier, line), line, steps=steps).found


def moved(clean: Images, perturbation: Images, share: Any) -> Images:
    """Return the images at a share of the perturbation, inside [0, 1]."""
    return tf.clip_by_value(clean + share * perturbation, 0.0, 1.0)


def _narrower(classifier: Classifier, line: Line) -> Line:
    """Try the share of the perturbation at which the lead, if linear, would be zero."""
    rise = line.high_lead - line.low_lead
    zero = tf.clip_by_value(tf.math.divide_no_nan(-line.low_lead, rise), 0.0, 1.0)
    to_gain = (1.0 - zero) * (line.high - line.low)
    share = line.high - (1.0 - _CAUTION) * to_gain
    tried = moved(line.clean, line.perturbation, share[:, None, None, None])
    logits = classifier(tried)
    lead = margin(logits, line.labels)
    enough = clearly_adversarial(logits, line.labels, targeted=False)
    return line._replace(
        found=blend(enough, tried, line.found),
        low=tf.where(enough, line.low, share),
        high=tf.where(enough, share, line.high),
        low_lead=tf.where(enough, line.low_lead, lead),
        high_lead=tf.where(enough, lead, line.high_lead),
        done=to_gain < _NEAR,
    )

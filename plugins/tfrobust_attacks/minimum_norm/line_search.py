"""The search on the line to the clean image, the last step of DeepFool and FAB: regula falsi.

The attack found an adversarial image x + s · r. A smaller share s of the same perturbation r may
be enough; where the label's defeat is linear in s, one guess finds the boundary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import clearly_adversarial, margin
from tfrobust.types import Flags, Images, Labels, PerImage

# The search aims this far beyond the expected boundary, towards the known adversarial point.
# Otherwise half of its guesses would fall short and not bring that point nearer.
_CAUTION = 0.1
_NEAR = 1e-4  # the search ends where it expects to gain less than this share


class Line(NamedTuple):
    """The line from each image along its perturbation, and what the search knows about it."""

    clean: Images
    labels: Labels
    perturbation: Images
    adversarial: Images  # at the share `high`
    low: PerImage  # a share of the perturbation that is too small
    high: PerImage  # a share that is enough
    low_lead: PerImage  # the label's defeat there, in logits
    high_lead: PerImage
    done: Flags


def nearest_on_line(classifier: Classifier, line: Line, steps: int) -> Images:
    """Return the nearest adversarial images that the search finds on the lines.

    Args:
        classifier: the classifier to fool.
        line: the lines to search; rows that are `done` keep their `adversarial` image.
        steps: maximum number of forward passes.
    """
    return iterate(lambda line, _: _narrower(classifier, line), line, steps=steps).adversarial


def moved(clean: Images, perturbation: Images, share: Any) -> Images:
    """Return the images at a share of the perturbation, inside [0, 1]."""
    return tf.clip_by_value(clean + share * perturbation, 0.0, 1.0)


def _narrower(classifier: Classifier, line: Line) -> Line:
    """Try the share of the perturbation at which the lead would be zero if it were linear."""
    rise = line.high_lead - line.low_lead
    zero = tf.clip_by_value(tf.math.divide_no_nan(-line.low_lead, rise), 0.0, 1.0)
    to_gain = (1.0 - zero) * (line.high - line.low)
    share = line.high - (1.0 - _CAUTION) * to_gain
    tried = moved(line.clean, line.perturbation, share[:, None, None, None])
    logits = classifier(tried)
    lead = margin(logits, line.labels)
    enough = clearly_adversarial(logits, line.labels, targeted=False)
    return line._replace(
        adversarial=blend(enough, tried, line.adversarial),
        low=tf.where(enough, line.low, share),
        high=tf.where(enough, share, line.high),
        low_lead=tf.where(enough, line.low_lead, lead),
        high_lead=tf.where(enough, lead, line.high_lead),
        done=to_gain < _NEAR,
    )

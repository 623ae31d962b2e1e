"""Attacks that are run and audited in one call."""

from typing import NamedTuple

from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import Crafted, run_attack
from tfrobust.evaluation.audit import Audit, audit
from tfrobust.types import Flags, Labels


class AuditedRun(NamedTuple):
    """An attack's images, their audit, and the predictions for the clean images."""

    crafted: Crafted
    audit: Audit
    clean: Labels

    def broken(self, labels: Labels) -> Flags:
        """Return which correctly classified images the attack broke."""
        return self.audit.success & (self.clean == labels)

    def right(self, labels: Labels) -> Flags:
        """Return which images are classified correctly before and after the attack."""
        return (self.clean == labels) & (self.audit.prediction == labels)


def audited(attack, classifier, images, labels, **run) -> AuditedRun:
    """Run an attack, with `run_attack`'s options, and audit its images."""
    clean = clean_predictions(classifier, images)
    crafted = run_attack(attack, classifier, images, labels, **run)
    verdict = audit(
        classifier, attack, images, labels, crafted.images, clean=clean, targets=crafted.targets
    )
    return AuditedRun(crafted, verdict, clean)

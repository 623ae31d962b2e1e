"""Fine-tuning: continue the training of a finished network, on a new scene.

The baseline for a calibrater, which does not change the network.
"""

from __future__ import annotations

from typing import ClassVar

from tfrobust.classifier import Classifier
from tfrobust.data.names import reshifted
from tfrobust.defense import NEW_WEIGHTS, Changes, Defended, Defense, Stage
from tfrobust.options import option, plugin
from tfrobust.pipeline.fine_tuning import check_tunable, fine_tuned
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer


@plugin
class FineTuning(Defense):
    """Continues the training of a copy of the network."""

    stage: ClassVar[Stage] = Stage.FINE_TUNING
    undone_by: ClassVar[Changes] = NEW_WEIGHTS

    shift: str | None = option(
        "scene to learn, such as b2 or fog.3; none: the scenario's", default=None
    )
    epochs: int | None = option(
        "epochs of the fine-tuning; none: those of the training", default=None, ge=0
    )
    learning_rate: float | None = option(
        "learning rate of the fine-tuning; none: that of the training", default=None, gt=0
    )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse what shows no Keras model to train, and an unknown shift; see `Defense`.

        Raises:
            UsageError: says which.
        """
        check_tunable(classifier, "fine_tuning")
        self._scene(scenario)

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Return a copy of the classifier, trained further; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        tuned = fine_tuned(
            check_tunable(classifier, "fine_tuning"),
            self._scene(scenario),
            trainer,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
        )
        return Defended(tuned)

    def _scene(self, scenario: Scenario) -> Scenario:
        return scenario if self.shift is None else reshifted(scenario, self.shift)

"""What a chain of defences records of itself."""

from tfrobust.defense import Defense
from tfrobust.options import option, plugin
from tfrobust.pipeline import defended
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier
from tfrobust.training import Trainer


@plugin
class Telling(Defense):
    """Changes nothing, and may say what it found."""

    trains = True
    found: float | None = option("what it found; none: nothing", default=None)

    def apply(self, classifier, scenario, trainer):
        if self.found is not None:
            classifier.found = {"label_accuracy": self.found}
        return classifier


def test_what_one_defence_found_is_not_told_of_the_next():
    classifier = LinearClassifier((8, 8, 1), 10, 0)
    defenses = [Telling(found=0.5), Telling(), Telling(found=0.7)]
    chained = defended(classifier, defenses, create("scenarios", "digits"), Trainer())
    told = [each.found for each in chained.defenses]
    assert told == [{"label_accuracy": 0.5}, {}, {"label_accuracy": 0.7}]

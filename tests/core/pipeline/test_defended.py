"""The records of a chain of defences."""

import json

import pytest

from tfrobust.defense import Defended, Defense, Stage
from tfrobust.options import option, plugin
from tfrobust.pipeline.build import defended
from tfrobust.registry import create
from tfrobust.store.cards import card_of
from tfrobust.testing import LinearClassifier
from tfrobust.training.trainer import Trainer


@plugin
class Reporting(Defense):
    """Changes nothing, and may report a figure."""

    stage = Stage.TRAINING
    accuracy: float | None = option("what it reports; none: nothing", default=None)
    lasts: bool = option("declare that nothing undoes it", default=True)

    @property
    def undone_by(self):
        return frozenset() if self.lasts else None

    def apply(self, classifier, scenario, trainer):
        figures = {} if self.accuracy is None else {"label_accuracy": self.accuracy}
        return Defended(classifier, figures)


def test_the_figures_of_one_defence_are_not_recorded_for_the_next():
    classifier = LinearClassifier((8, 8, 1), 10, 0)
    defenses = [Reporting(accuracy=0.5), Reporting(), Reporting(accuracy=0.7)]
    chained = defended(classifier, defenses, create("scenarios", "digits"), Trainer())
    recorded = [defense.found for defense in chained.defenses]
    assert recorded == [{"label_accuracy": 0.5}, {}, {"label_accuracy": 0.7}]


def test_figures_of_a_third_party_defence_are_dropped_when_a_later_one_changes_the_weights():
    classifier = LinearClassifier((8, 8, 1), 10, 0)
    defenses = [
        Reporting(accuracy=0.5, lasts=False),
        Reporting(accuracy=0.6),
        Reporting(lasts=False),
    ]
    chained = defended(classifier, defenses, create("scenarios", "digits"), Trainer())
    assert [defense.found for defense in chained.defenses] == [{}, {"label_accuracy": 0.6}, {}]
    assert [defense.params["accuracy"] for defense in chained.defenses] == [0.5, 0.6, None]


def test_figures_of_a_defence_go_into_the_card_unchanged():
    class Nested(Reporting):
        def apply(self, classifier, scenario, trainer):
            return Defended(classifier, {"left_out": {"table": 3}, "epochs": [1, {"a": 2}]})

    classifier = LinearClassifier((8, 8, 1), 10, 0)
    chained = defended(classifier, [Nested()], create("scenarios", "digits"), Trainer())
    (record,) = chained.defenses
    assert json.loads(card_of(chained).model_dump_json())["defenses"][0]["found"] == record.found
    assert classifier.defenses == ()  # the classifier that was defended does not change


def test_a_bare_classifier_is_accepted_for_one_release_with_its_figures():
    class Bare(Reporting):
        def apply(self, classifier, scenario, trainer):
            if self.accuracy is not None:
                classifier.found = {"accuracy": self.accuracy, "left_out": {"epochs": [1, 2]}}
            return classifier

    classifier = LinearClassifier((8, 8, 1), 10, 0)
    defenses = [Bare(), Bare(accuracy=0.5), Bare()]
    with pytest.warns(DeprecationWarning, match=r"Bare.apply: expected tfrobust.Defended"):
        chained = defended(classifier, defenses, create("scenarios", "digits"), Trainer())
    figures = {"accuracy": 0.5, "left_out": {"epochs": [1, 2]}}
    assert [record.found for record in chained.defenses] == [{}, figures, {}]
    written = json.loads(card_of(chained).model_dump_json())["defenses"]
    assert [record["found"] for record in written] == [{}, figures, {}]

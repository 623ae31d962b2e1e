"""What a chain of defences records of itself."""

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


def test_what_one_defence_found_is_not_told_of_the_next():
    classifier = LinearClassifier((8, 8, 1), 10, 0)
    defenses = [Reporting(accuracy=0.5), Reporting(), Reporting(accuracy=0.7)]
    chained = defended(classifier, defenses, create("scenarios", "digits"), Trainer())
    recorded = [defense.found for defense in chained.defenses]
    assert recorded == [{"label_accuracy": 0.5}, {}, {"label_accuracy": 0.7}]


def test_what_a_third_party_found_is_forgotten_once_weights_were_changed_behind_it():
    classifier = LinearClassifier((8, 8, 1), 10, 0)
    defenses = [
        Reporting(accuracy=0.5, lasts=False),
        Reporting(accuracy=0.6),
        Reporting(lasts=False),
    ]
    chained = defended(classifier, defenses, create("scenarios", "digits"), Trainer())
    assert [defense.found for defense in chained.defenses] == [{}, {"label_accuracy": 0.6}, {}]
    assert [defense.params["accuracy"] for defense in chained.defenses] == [0.5, 0.6, None]


def test_what_is_found_goes_into_the_card_as_it_is():
    class Nested(Reporting):
        def apply(self, classifier, scenario, trainer):
            return Defended(classifier, {"left_out": {"table": 3}, "epochs": [1, {"a": 2}]})

    classifier = LinearClassifier((8, 8, 1), 10, 0)
    chained = defended(classifier, [Nested()], create("scenarios", "digits"), Trainer())
    (record,) = chained.defenses
    assert json.loads(card_of(chained).model_dump_json())["defenses"][0]["found"] == record.found
    assert classifier.defenses == ()  # what was defended stays as it was


def test_a_bare_classifier_is_taken_for_one_release_with_what_it_found():
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

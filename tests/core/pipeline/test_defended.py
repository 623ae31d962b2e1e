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
class Telling(Defense):
    """Changes nothing, and may say what it found."""

    stage = Stage.TRAINING
    found: float | None = option("what it found; none: nothing", default=None)
    lasts: bool = option("declare that nothing undoes it", default=True)

    @property
    def undone_by(self):
        return frozenset() if self.lasts else None

    def apply(self, classifier, scenario, trainer):
        found = {} if self.found is None else {"label_accuracy": self.found}
        return Defended(classifier, found)


def test_what_one_defence_found_is_not_told_of_the_next():
    classifier = LinearClassifier((8, 8, 1), 10, 0)
    defenses = [Telling(found=0.5), Telling(), Telling(found=0.7)]
    chained = defended(classifier, defenses, create("scenarios", "digits"), Trainer())
    told = [each.found for each in chained.defenses]
    assert told == [{"label_accuracy": 0.5}, {}, {"label_accuracy": 0.7}]


def test_what_a_third_party_found_is_forgotten_once_weights_were_changed_behind_it():
    classifier = LinearClassifier((8, 8, 1), 10, 0)
    defenses = [Telling(found=0.5, lasts=False), Telling(found=0.6), Telling(lasts=False)]
    chained = defended(classifier, defenses, create("scenarios", "digits"), Trainer())
    assert [each.found for each in chained.defenses] == [{}, {"label_accuracy": 0.6}, {}]
    assert [each.params["found"] for each in chained.defenses] == [0.5, 0.6, None]


def test_what_is_found_goes_into_the_card_as_it_is():
    class Nested(Telling):
        def apply(self, classifier, scenario, trainer):
            return Defended(classifier, {"left_out": {"table": 3}, "epochs": [1, {"a": 2}]})

    classifier = LinearClassifier((8, 8, 1), 10, 0)
    chained = defended(classifier, [Nested()], create("scenarios", "digits"), Trainer())
    (record,) = chained.defenses
    assert json.loads(card_of(chained).model_dump_json())["defenses"][0]["found"] == record.found
    assert classifier.defenses == ()  # what was defended stays as it was


def test_a_bare_classifier_is_taken_for_one_release_with_what_it_found():
    class Bare(Telling):
        def apply(self, classifier, scenario, trainer):
            if self.found is not None:
                classifier.found = {"accuracy": self.found, "left_out": {"epochs": [1, 2]}}
            return classifier

    classifier, defenses = LinearClassifier((8, 8, 1), 10, 0), [Bare(), Bare(found=0.5), Bare()]
    with pytest.warns(DeprecationWarning, match=r"Bare.apply: expected tfrobust.Defended"):
        chained = defended(classifier, defenses, create("scenarios", "digits"), Trainer())
    figures = {"accuracy": 0.5, "left_out": {"epochs": [1, 2]}}
    assert [record.found for record in chained.defenses] == [{}, figures, {}]
    written = json.loads(card_of(chained).model_dump_json())["defenses"]
    assert [record["found"] for record in written] == [{}, figures, {}]

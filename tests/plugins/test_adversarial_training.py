"""Adversarial training: any attack inside, and its effect."""

import pytest

from support import InMemory
from tfrobust.audit import clean_predictions
from tfrobust.engine import run_attack
from tfrobust.errors import UsageError
from tfrobust.pipeline import train
from tfrobust.registry import create
from tfrobust.training import Trainer, TrainingOptions

INNER = [
    {"attack": "fgsm"},
    {"attack": "pgd", "steps": 2},
    {"attack": "cleverhans_fgsm"},
    {"attack": "cleverhans_pgd", "options": {"nb_iter": 2}},
    {"attack": "pgd", "steps": 2, "options": {"norm": "l2"}},
]


@pytest.mark.parametrize("options", INNER, ids=lambda o: o["attack"])
def test_adversarial_training_runs_with_any_attack_inside(options):
    trainer = Trainer(TrainingOptions(epochs=2, batch_size=16))
    defense = create("defenses", "pgd_training", eps=0.05, **options)
    classifier = train(create("models", "fully_connected"), InMemory(count=48), trainer, [defense])
    assert [applied.name for applied in classifier.defenses] == ["pgd_training"]
    assert classifier.defenses[0].params["attack"] == options["attack"]


@pytest.mark.parametrize("inner", [{"attack": "pgd", "options": {"targeted": True}},
                                   {"attack": "pdg"}, {"options": {"stps": 3}}])  # fmt: skip
def test_adversarial_training_refuses_attacks_it_cannot_run(inner):
    with pytest.raises(UsageError, match=r"untargeted|did you mean"):
        create("defenses", "pgd_training", **inner).inner_attack()


def test_it_makes_the_digits_harder_to_attack_than_plain_training_does(digits):
    images, labels = (each[:100] for each in digits["test"])
    attack = create("attacks", "pgd", eps=0.1, steps=10)
    accuracy = []
    for defenses in ([], [create("defenses", "pgd_training", eps=0.1, steps=4)]):
        trainer = Trainer(TrainingOptions(epochs=12, batch_size=64, learning_rate=5e-3))
        scenario = create("scenarios", "digits")
        model = create("models", "fully_connected", units=64)
        classifier = train(model, scenario, trainer, defenses)
        crafted = run_attack(attack, classifier, images, labels).images
        accuracy.append((clean_predictions(classifier, crafted) == labels).mean())
    assert accuracy[1] > accuracy[0] + 0.1

"""Attacks before a network learned from them, and again after."""

import pytest

from tfrobust.errors import UsageError
from tfrobust.evaluation import EvaluationSettings, evaluate, reattack
from tfrobust.registry import create
from tfrobust.report.reattack import reattack_table
from tfrobust.testing import LinearClassifier


@pytest.fixture(scope="module")
def both():
    shape = (8, 8, 1)
    return {name: LinearClassifier(shape, 10, seed) for seed, name in enumerate(("old", "new"))}


def again(both, *attacks, **options):
    old, new = both["old"], both["new"]
    options = {"crafted_on": ("old", old), "limit": 30} | options
    settings = EvaluationSettings(
        classifiers={"new": new}, scenario=create("scenarios", "digits"), attacks=attacks, **options
    )
    return reattack(settings).results


def test_the_old_network_is_judged_too_and_the_new_one_attacked_twice(both):
    attacks = [create("attacks", "fgsm", eps=0.05), create("attacks", "pgd", eps=0.05, steps=3)]
    results = again(both, *attacks)
    assert [evaluation.classifier.name for evaluation in results.evaluations] == ["old", "new"]
    for evaluation in results.evaluations:
        crafted_on = [attack.crafted_on for attack in evaluation.attacks]
        assert crafted_on == ["old", "old", None, None]
    digits = create("scenarios", "digits")
    for name, evaluation in zip(both, results.evaluations, strict=True):
        alone = evaluate(
            {name: both[name]}, digits, attacks, baselines=(), limit=30
        ).results.evaluations[0]
        ratios = [attack.fooling_ratio for attack in alone.attacks]
        assert [attack.fooling_ratio for attack in evaluation.attacks[2:]] == ratios
    old, new = (evaluation.attacks for evaluation in results.evaluations)
    table = reattack_table(results)
    expected = [
        (f"{old[k].fooling_ratio:.1%}", f"{new[k].accuracy:.1%}", f"{new[k + 2].fooling_ratio:.1%}")
        for k in (0, 1)
    ]
    assert [row[2:] for row in table.sections[0]] == expected
    titles = [(row[0], row[1].split()[0]) for row in table.sections[0]]
    assert titles == [("new", "fgsm"), ("new", "pgd")]


def test_the_old_network_is_attacked_once_only(both):
    results = again(both, create("attacks", "fgsm", eps=0.05))
    before, after = results.evaluations[0].attacks
    assert before.seconds == after.seconds


def test_without_a_second_attack_there_is_no_table(both):
    old, new = both.items()
    attacks = [create("attacks", "fgsm")]
    transferred = evaluate(
        dict([new]), create("scenarios", "digits"), attacks, baselines=(), crafted_on=old, limit=30
    )
    assert reattack_table(transferred.results) is None


def test_a_second_attack_needs_the_attacked_network_and_an_attack_and_takes_no_detectors(both):
    with pytest.raises(UsageError, match="reattack: expected the classifier that was attacked"):
        again(both, create("attacks", "fgsm"), crafted_on=None)
    with pytest.raises(UsageError, match="reattack: expected an attack to run again"):
        again(both)
    with pytest.raises(UsageError, match="reattack: cannot be combined with detectors"):
        again(both, create("attacks", "fgsm"), detectors=[object()])


def test_a_perturbation_from_a_file_is_refused_as_a_second_attack(both, tmp_path):
    uap = create("attacks", "uap", file=tmp_path / "uap.npz")
    with pytest.raises(UsageError, match="reattack: uap: file: a file shows every classifier"):
        again(both, uap)


def test_the_share_that_is_put_into_a_new_class_is_reported(both):
    names = (*create("scenarios", "digits").class_names, "noise", "blank")
    wider = LinearClassifier((8, 8, 1), 12, 1).replace(class_names=names)
    results = again(both | {"new": wider}, create("attacks", "fgsm", eps=0.3))
    old, new = (evaluation.attacks for evaluation in results.evaluations)
    assert [attack.rejected for attack in old] == [None, None]
    table = reattack_table(results)
    assert table.columns[4:] == ("put into a new class", "fooled again")
    assert table.sections[0][0][4] == f"{new[0].rejected:.1%}"
    assert 0 < new[0].rejected < 1


def test_the_same_classifier_is_refused(both):
    with pytest.raises(UsageError, match=r"again beside old, .*; received: new, the same"):
        again({"old": both["old"], "new": both["old"]}, create("attacks", "fgsm"))


def test_transferred_images_and_the_second_attack_are_two_lines(both):
    results = again(both, create("attacks", "fgsm", eps=0.05))
    [axes] = results.plot.curves().axes
    drawn = {str(line.get_label()) for line in axes.get_lines()}
    assert drawn == {"old · fgsm", "new · fgsm", "new · fgsm, crafted on old"}

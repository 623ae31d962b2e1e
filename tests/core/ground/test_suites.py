"""Named lists of attacks, and the noise that they are compared with."""

import pytest

from helpers.support import python
from tfrobust import suites
from tfrobust.attack import Attack
from tfrobust.errors import UsageError
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.registry import create, name_of


def test_the_suites_are_those_of_the_documentation():
    assert suites.names_in("fast") == ["fgsm", "pgd", "deepfool", "square"]
    assert suites.names_in("standard") == ["autoattack", "cw_l2", "gaussian_noise"]
    assert suites.names_in("minimum_norm") == ["nearest"]
    assert suites.names_in("baselines") == [
        "gaussian_noise", "uniform_noise", "contrast", "gaussian_blur",
    ]  # fmt: skip
    assert suites.gradient_free() == ["square", "hopskipjump"]
    assert suites.options_in("fast")["square"] == {"queries": 500}
    for name in ("fast", "standard", "minimum_norm", "baselines", "gradient_free"):
        assert all(isinstance(attack, Attack) for attack in suites.suite(name))


def test_one_budget_fits_the_whole_fast_suite():
    assert {attack.threat.norm for attack in suites.suite("fast")} == {"linf"}


def test_an_unknown_suite_names_the_nearest():
    with pytest.raises(UsageError, match=r"no plugin suites/fasst; did you mean 'fast'"):
        suites.suite("fasst")


def test_a_suite_of_shifts_is_no_list_of_attacks():
    with pytest.raises(UsageError, match="suite 'corruptions' is made of shifts, not of attacks"):
        suites.names_in("corruptions")


def test_a_suite_is_listed_and_read_without_tensorflow():
    done = python(
        "import sys\n"
        "from tfrobust import suites\n"
        "print(suites.names_in('standard'), 'tensorflow' in sys.modules)"
    )
    assert done.stdout.strip() == "['autoattack', 'cw_l2', 'gaussian_noise'] False"


def test_without_the_plugin_for_noise_no_noise_is_shown(monkeypatch):
    monkeypatch.setattr(suites, "entries", lambda kind: [])
    assert suites.baselines([create("attacks", "fgsm")]) == []
    assert suites.gradient_free() == []


def test_the_noise_is_as_large_as_the_largest_budget_of_its_norm():
    attacks = [create("attacks", "pgd", eps=eps) for eps in (0.1, 0.3, 0.2)]
    noise = {name_of(attack): attack for attack in suites.baselines(attacks)}
    assert set(noise) == {"gaussian_noise", "uniform_noise", "contrast", "gaussian_blur"}
    assert noise["uniform_noise"].eps == 0.3
    assert noise["gaussian_noise"].budget in (0.3, create("attacks", "gaussian_noise").eps)


def test_noise_is_measured_in_the_norm_of_attacks_that_have_no_other():
    attacks = [create("attacks", "pgd", eps=2.0, norm="l2"), create("attacks", "deepfool")]
    noise = {name_of(attack): attack for attack in suites.baselines(attacks)}
    assert (noise["gaussian_noise"].norm, noise["gaussian_noise"].eps) == ("l2", 2.0)
    both = suites.baselines([*attacks, create("attacks", "pgd", eps=0.3)])
    assert {attack.eps for attack in both[:2]} == {0.3}


def test_baselines_are_reported_and_are_no_part_of_the_worst_case(trained):
    attacks = [create("attacks", "fgsm", eps=0.01)]
    noise = [create("attacks", "contrast", factor=1.0)]
    evaluated = evaluate(
        {"d": trained}, create("scenarios", "digits"), attacks, baselines=noise, limit=50
    )
    evaluation = evaluated.results.evaluations[0]
    assert [baseline.name for baseline in evaluation.baselines] == ["contrast"]
    assert evaluation.baselines[0].accuracy < 0.3
    assert evaluation.worst_case.accuracy == evaluation.attacks[0].accuracy


def test_noise_is_shown_unless_it_is_switched_off_or_already_an_attack(trained):
    digits = create("scenarios", "digits")
    attacks = [create("attacks", "fgsm", eps=0.01), create("attacks", "contrast")]
    for given, names in (
        (None, ["gaussian_noise", "uniform_noise", "gaussian_blur"]),
        ((), []),
    ):
        evaluated = evaluate({"d": trained}, digits, attacks, baselines=given, limit=20)
        assert [baseline.name for baseline in evaluated.results.evaluations[0].baselines] == names
    assert suites.baselines([]) == []


def test_attacks_without_budget_are_no_part_of_the_worst_case_unless_they_are_alone(trained):
    digits = create("scenarios", "digits")
    bounded, free = create("attacks", "fgsm", eps=0.02), create("attacks", "deepfool")
    few = {"limit": 30, "baselines": ()}
    both = evaluate({"d": trained}, digits, [bounded, free], **few).results.evaluations[0]
    alone = evaluate({"d": trained}, digits, [free], **few).results.evaluations[0]
    assert both.worst_case.accuracy == both.attacks[0].accuracy > 0.5
    assert both.attacks[1].accuracy == alone.worst_case.accuracy == 0

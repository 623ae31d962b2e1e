"""`--sweep` and `--eps`: values of one option form one curve, whichever option gives them."""

import pytest

from tfrobust.errors import UsageError
from tfrobust_cli.arguments import Parameters
from tfrobust_cli.options.evaluate_run import EvaluateOptions


def built(**options):
    """Return the attacks of an evaluation with these options."""
    given = EvaluateOptions(classifier=["d1"], out=None, attack=["pgd", "bim"], **options)
    return given.built_attacks(Parameters([], given.plugins))


def test_budgets_given_by_eps_and_by_sweep_form_one_curve():
    attacks = built(eps=["0.1"], sweep=["eps=0.2,0.1", "pgd.steps=2", "pgd.steps=3"])
    assert [(attack.eps, attack.steps) for attack in attacks] == [
        (0.1, 2),
        (0.1, 3),
        (0.2, 2),
        (0.2, 3),
        (0.1, 10),
        (0.2, 10),
    ]


def test_budgets_by_norm_are_not_swept_too():
    with pytest.raises(UsageError, match="--sweep eps: "):
        built(eps=["linf=0.1"], sweep=["eps=0.2"])
    attacks = built(eps=["linf=0.1,0.2"], sweep=["pgd.steps=2"])
    assert [(attack.eps, attack.steps) for attack in attacks] == [
        (0.1, 2), (0.2, 2), (0.1, 10), (0.2, 10)
    ]  # fmt: skip


def test_an_option_that_is_swept_for_all_and_for_one_is_refused():
    with pytest.raises(UsageError, match=r"--sweep pgd\.eps: eps is given for every attack too"):
        built(eps=["0.1"], sweep=["pgd.eps=0.2"])


def test_a_warm_start_is_refused_where_it_has_no_use():
    for options in ({"crafted_on": "d2", "attack": ["pgd"]}, {"suite": "corruptions"}):
        given = EvaluateOptions(classifier=["d1"], out=None, warm_start=True, **options)
        with pytest.raises(UsageError, match="--warm-start: goes on from the classifier's own"):
            given.check()

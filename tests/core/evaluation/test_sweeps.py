"""Attacks at several values of an option."""

import pytest

from tfrobust.errors import UsageError
from tfrobust.evaluation.curves.sweeps import at_budgets, at_values
from tfrobust.registry import create, name_of


def test_every_attack_with_a_budget_is_spread_over_the_budgets():
    attacks = [create("attacks", "fgsm"), create("attacks", "pgd")]
    spread = at_budgets(attacks, [0.1, 0.2])
    assert [(type(a), a.eps) for a in spread] == [
        (type(attack), eps) for attack in attacks for eps in (0.1, 0.2)
    ]
    assert at_budgets(attacks, []) == attacks
    with pytest.raises(UsageError, match=r"fgsm: eps: .*received: -1"):
        at_budgets(attacks, [-1])


def test_budgets_are_those_of_a_norm_where_attacks_have_several():
    attacks = [create("attacks", "fgsm"), create("attacks", "cw_l2"), create("attacks", "zoo")]
    spread = at_budgets(attacks, {"linf": [0.03, 0.06], "l2": [0.5]})
    assert [(name_of(attack), attack.eps) for attack in spread] == [
        ("fgsm", 0.03), ("fgsm", 0.06), ("cw_l2", 0.5), ("zoo", 0.5)
    ]  # fmt: skip
    assert at_budgets(attacks, {"linf": [0.03]})[1:] == attacks[1:]
    with pytest.raises(UsageError, match="fgsm in linf and cw_l2 in l2 would be measured by"):
        at_budgets(attacks, [0.1])
    with pytest.raises(UsageError, match="no attack works in l1, but in l2, linf"):
        at_budgets(attacks, {"l1": [3.0]})


def test_an_option_is_swept_over_every_attack_that_has_it_or_over_one():
    attacks = [create("attacks", name) for name in ("bim", "pgd", "fgsm")]
    spread = at_values(attacks, "steps", [2, 3, 2])
    assert [getattr(attack, "steps", None) for attack in spread] == [2, 3, 2, 3, None]
    spread = at_values(attacks, "steps", [2, 3], only="pgd")
    assert [(name_of(attack)) for attack in spread] == ["bim", "pgd", "pgd", "fgsm"]
    for option, only, complaint in (
        ("threat", None, "threat: an option of none of the attacks: bim, pgd, fgsm"),
        ("steps", "fgsm", "steps: an option of none of the attacks: fgsm"),
        ("steps", "pgdd", r"pgdd\.steps: no attack .*did you mean 'pgd'"),
    ):
        with pytest.raises(UsageError, match=complaint):
            at_values(attacks, option, [1], only=only)


def test_an_option_of_words_is_swept_too():
    spread = at_values([create("attacks", "pgd")], "norm", ["linf", "l2"])
    assert [attack.norm for attack in spread] == ["linf", "l2"]

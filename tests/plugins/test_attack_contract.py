"""Every bundled attack keeps the contract, in every norm it knows."""

import typing

import pytest

from tfrobust.errors import UsageError
from tfrobust.registry import create, entries
from tfrobust.testing import attack_checks

CHEAP = {
    "cleverhans_cw_l2": {"max_iterations": 25, "binary_search_steps": 2, "learning_rate": 0.05},
    "cleverhans_spsa": {"nb_iter": 4, "spsa_samples": 16, "learning_rate": 0.1},
    "pgd": {"steps": 10},
    "cleverhans_bim": {"nb_iter": 10},
    "cleverhans_pgd": {"nb_iter": 10},
    "cleverhans_madry": {"nb_iter": 10},
}
BUDGET = {"linf": 0.1, "l2": 0.7, "l1": 3.0}


def bundled():
    """Yield one case for each attack and norm."""
    for entry in entries("attacks"):
        hints = typing.get_type_hints(entry.load())
        for norm in typing.get_args(hints["norm"]) if "norm" in hints else (None,):
            options = dict(CHEAP.get(entry.name, {}))
            if norm:
                options |= {"norm": norm, "eps": BUDGET[norm]}
                options |= {"eps_iter": None} if "eps_iter" in hints else {}
            yield pytest.param(entry.name, options, id=f"{entry.name}-{norm or 'own'}")


@pytest.mark.parametrize(("name", "options"), list(bundled()))
@pytest.mark.parametrize("check", attack_checks(), ids=lambda check: check.__name__)
def test_bundled_attack_keeps_the_contract(check, name, options):
    if options.get("norm") == "l1" and check.__name__ == "reaches_its_targets":
        pytest.skip("CleverHans' l1 step changes one pixel, by at most the way to the wall")
    check(create("attacks", name, **options))


@pytest.mark.parametrize("entry", entries("attacks"), ids=lambda entry: entry.name)
def test_a_negative_budget_is_refused(entry):
    with pytest.raises(UsageError, match=f"{entry.name}: eps: .*received: -1"):
        create("attacks", entry.name, eps=-1)

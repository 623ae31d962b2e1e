"""Every bundled attack keeps the contract, in every norm it knows."""

import contextlib
import typing
import zlib

import pytest

from tfrobust.engine.learning import remembering
from tfrobust.errors import UsageError
from tfrobust.options import has_option
from tfrobust.registry import create, entries
from tfrobust.testing import attack_checks

CHEAP = {
    "adversarial_patch": {"passes": 1},
    "apgd_ce": {"steps": 8},
    "apgd_dlr": {"steps": 8, "restarts": 2},
    "apgd_t": {"steps": 8, "target_classes": 2},
    "autoattack": {"steps": 4, "queries": 20, "target_classes": 2},
    "bandits": {"queries": 60},
    "bim": {"steps": 5},
    "boundary": {"steps": 100},
    "cleverhans_bim": {"nb_iter": 10},
    "cleverhans_cw_l2": {"max_iterations": 25, "binary_search_steps": 2, "learning_rate": 0.05},
    "cleverhans_madry": {"nb_iter": 10},
    "cleverhans_pgd": {"nb_iter": 10},
    "cleverhans_spsa": {"nb_iter": 4, "spsa_samples": 16, "learning_rate": 0.1},
    "cw_l2": {"steps": 25, "binary_search_steps": 2, "learning_rate": 0.05},
    "ddn": {"steps": 20},
    "ead": {"steps": 40, "binary_search_steps": 3, "learning_rate": 0.05, "initial_const": 1.0},
    "fab": {"steps": 5, "restarts": 2},
    "fab_t": {"steps": 5, "target_classes": 2},
    "fmn": {"steps": 20},
    "fooling": {"steps": 20, "step_size": 0.1},
    "gap": {"passes": 1, "filters": 2, "blocks": 0},
    "geoda": {"queries": 140, "frequencies": 1.0},
    "hopskipjump": {"steps": 3, "initial_gradient_eval_steps": 40},
    "mim": {"steps": 5},
    "nearest": {"steps": 5, "target_classes": 2},
    "nes": {"queries": 100, "samples_per_step": 16},
    "pgd": {"steps": 10},
    "pointwise": {"restarts": 2, "start_steps": 20},
    "rays": {"queries": 150},
    "salt_and_pepper": {"steps": 60},
    "sigma_zero": {"steps": 20},
    "sign_hunter": {"queries": 80},
    "simba": {"queries": 150, "step_size": 0.3},
    "sparse_rs": {"queries": 60},
    "spatial": {"rotations": 5, "translations": 3},
    "spsa": {"steps": 6, "samples_per_step": 16, "learning_rate": 0.1},
    "square": {"queries": 80},
    "surfree": {"queries": 140, "frequencies": 1.0},
    "uap": {"passes": 2},
    "zoo": {"binary_search_steps": 3, "steps": 40, "coordinates": 24, "initial_const": 1.0},
}
REGIONS = ("keeps_to_its_region", "takes_all_pixels_for_a_region_too")
# test_attack_regions.py compares what these do inside a region with the exact answer; the contract
# on top of it would cost each of them one more trace.
EXACT_IN_REGIONS = {
    *("fgsm", "bim", "mim", "pgd", "apgd_ce", "apgd_t", "square", "reverse_ifgsm"),
    *("cleverhans_fgsm", "cleverhans_bim", "cleverhans_pgd", "cleverhans_madry", "cleverhans_mim"),
    *("deepfool", "fmn", "fab", "fab_t", "cw_l2", "ead", "ddn", "cleverhans_cw_l2", "jsma"),
    "sigma_zero",
}
ONE_NORM = {"autoattack": 1, "gap": 1}  # its parts and test_gap.py test them in all their norms
# The closed forms of these in every norm are tested beside them; the code of their norms is that of
# pgd, apgd_ce, fab and cleverhans_bim, which keep the contract in all of them.
NORMS_OF_ANOTHER = {
    *("bim", "mim", "apgd_dlr", "apgd_t", "fab_t"),
    *("cleverhans_pgd", "cleverhans_madry", "cleverhans_mim"),
    *("bandits", "geoda", "nearest", "nes", "sign_hunter"),
}
# Their own tests aim at a class; that would be one more trace here.
AIMED_ELSEWHERE = {
    *("fgsm", "pgd", "cw_l2", "ead", "boundary", "hopskipjump", "cleverhans_fgsm"),
    *("cleverhans_bim", "cleverhans_pgd", "cleverhans_madry", "cleverhans_mim"),
}
VARIANTS = {
    "autoattack": [{"version": "rand"}],
    "box_blur": [{"region": "background", "sigma": 0.7}],
    "fooling": [{"method": "evolution", "targeted": False}],
    "jsma": [{"targeted": False}],
    "fab_t": [{"region": "background"}],
    "pgd": [
        {"restarts": 2, "early_stop": False, "loss": "dlr"},
        {"region": "foreground", "norm": "l2", "eps": 0.7},
    ],
    "spatial": [{"search": "random", "interpolation": "nearest"}],
    "spsa": [{"early_stop": False}],
    "simba": [{"basis": "dct", "loss": "margin"}],
    "sparse_rs": [{"shape": "patch", "early_stop": False}, {"shape": "frame"}],
    "square": [{"loss": "ce", "early_stop": False}],
}


BUDGET = {"linf": 0.1, "l2": 0.7, "l1": 3.0, "l0": 10.0}


# Of a further norm or variant of an attack; the rest of the contract is kept by code that it shares
# with the first, and is asked of all by `make test-slow`.
OF_EACH_NORM = (
    "keeps_to_the_ball_and_the_box",
    "without_budget_returns_the_image",
    "batch_size_changes_no_verdict",
    "is_adversarial_in_any_batch",
)


def bundled():
    """Yield name, options, label and whether it is a further norm or variant, for all attacks."""
    for entry in entries("attacks"):
        hints = typing.get_type_hints(entry.load())
        norms = typing.get_args(hints["norm"]) if "norm" in hints else (None,)
        for further, norm in enumerate(norms[: ONE_NORM.get(entry.name)]):
            options = dict(CHEAP.get(entry.name, {}))
            if norm:
                options |= {"norm": norm, "eps": BUDGET[norm]}
                options |= {"eps_iter": None} if "eps_iter" in hints else {}
            yield entry.name, options, f"{entry.name}-{norm or 'own'}", further > 0
        for number, variant in enumerate(VARIANTS.get(entry.name, ())):
            options = CHEAP.get(entry.name, {}) | variant
            yield entry.name, options, f"{entry.name}-variant{number}", True


def cases():
    """Yield every attack with every check, one attack after the other, so it is traced once."""
    for name, options, label, further in bundled():
        for check in attack_checks():
            slow = further and (name in NORMS_OF_ANOTHER or check.__name__ not in OF_EACH_NORM)
            slow |= further and not _in_every_run(label)
            slow |= _tested_elsewhere(check.__name__, name, options)
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(check, name, options, id=f"{check.__name__}@{label}", marks=marks)


def _in_every_run(label):
    """Choose a third of the further norms and variants, by their names: each costs a trace."""
    return zlib.crc32(label.encode()) % 3 == 0


def _tested_elsewhere(check, name, options):
    """Tell whether another fast test proves the same, or more."""
    if name == "fab_t" and "region" in options:
        return True  # the exact answers inside a region are more
    if check == "reaches_its_targets":
        return name in AIMED_ELSEWHERE
    if check == "keeps_to_its_region":
        return name == "autoattack" or name in EXACT_IN_REGIONS  # autoattack by its parts
    # A variant with a region of its own has no trace of region=all yet.
    return check in REGIONS and (name == "autoattack" or "region" in options)


@pytest.mark.parametrize(("check", "name", "options"), list(cases()))
def test_bundled_attack_keeps_the_contract(check, name, options, tmp_path):
    if options.get("norm") == "l1" and check.__name__ == "reaches_its_targets":
        pytest.skip("CleverHans' l1 step changes one pixel, by at most the way to the wall")
    if check.__name__ in REGIONS and options.get("norm") in ("l2", "l1", "l0"):
        pytest.skip(
            "test_attack_regions.py has the exact answers of each norm; one shows the contract"
        )
    # What is learned does not depend on the size of a batch: a check asks for it once, apart from
    # the one that asks whether it is the same twice.
    twice = check.__name__ == "same_seed_same_result"
    with contextlib.nullcontext() if twice else remembering(tmp_path):
        check(create("attacks", name, **options))


BUDGETED = [
    entry for entry in entries("attacks") if has_option(create("attacks", entry.name), "eps")
]


@pytest.mark.parametrize("entry", BUDGETED, ids=lambda entry: entry.name)
def test_a_negative_budget_is_refused(entry):
    with pytest.raises(UsageError, match=f"{entry.name}: eps: .*received: -1"):
        create("attacks", entry.name, eps=-1)

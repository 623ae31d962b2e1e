"""Verdicts: holds, does not hold, or cannot be judged, and why."""

import pytest

from helpers.small_study import SMALL, finished_by_hand
from tfrobust.errors import UsageError
from tfrobust.study.results.claims import Verdict, check_claims, verdict
from tfrobust.study.results.margins import Interval, Margin, alternatives_of
from tfrobust.study.schema.outputs import Check

CLAIMS = SMALL.text.index("[[claims]]")
AFTER = SMALL.text.index("[[masked]]")
RISING = """
[[claims]]
text = "Larger is better."
[[claims.checks]]
kind = "rising"
networks = ["small", "large"]
value = { condition = "fgsm", figure = "plain.accuracy" }
"""
DIFFERENCE = """
[[claims]]
text = "Averages gain."
[[claims.checks]]
kind = "above"
networks = ["small"]
bound = 0.0
[claims.checks.value]
condition = "fgsm"
figure = "averaged.accuracy"
less = { condition = "fgsm", figure = "plain.accuracy" }
"""
BOUND = """
[[claims]]
text = "Nobody withstands."
[[claims.checks]]
kind = "below"
networks = ["small", "large"]
bound = 0.15
value = { condition = "fgsm", figure = "plain.accuracy" }
"""
THREE = SMALL.text.replace('networks = ["small"]\nminutes', "minutes").replace(
    "[0, 1]", "[0, 1, 2]"
)


def claim_of(tmp_path, claims, figures, scale="tiny", text=SMALL.text, images=1000):
    """The claim of a small study, checked on figures by hand."""
    tmp_path.mkdir(exist_ok=True)
    text = text[: text.index("[[claims]]")] + claims + text[text.index("[[masked]]") :]
    study = SMALL.written(tmp_path, text.replace("images = 30", f"images = {images}"))
    (claim,) = check_claims(study, finished_by_hand(study, scale, tmp_path, figures))
    return claim


def under_fgsm(**by_network):
    return {(name, "fgsm"): figures for name, figures in by_network.items()}


def test_a_difference_in_one_network_is_judged_by_its_images(tmp_path):
    for gain, expected in ((0.1, "holds"), (0.01, "cannot be judged"), (-0.1, "does not hold")):
        figures = {"averaged.accuracy": 0.4 + gain, "plain.accuracy": 0.4}
        claim = claim_of(tmp_path, DIFFERENCE, under_fgsm(small=figures))
        assert verdict(claim) == expected
    figures = {"averaged.accuracy": 0.41, "plain.accuracy": 0.4}
    claim = claim_of(tmp_path, DIFFERENCE, under_fgsm(small=figures))
    assert claim.reasons == ["within the interval"]
    assert (
        claim.checks[0].reason
        == "within the interval: [−3.3, 5.3] reaches to both sides of 0 points"
    )


def test_a_claim_reads_as_a_sentence_with_its_figures_and_an_interval(tmp_path):
    figures = {"averaged.accuracy": 0.5, "plain.accuracy": 0.4}
    claim = claim_of(tmp_path, DIFFERENCE, under_fgsm(small=figures))
    assert claim.checks[0].sentence == (
        "4 units, FGSM, accuracy: -M 50.0 %, plain 40.0 %, gain 10.0 points [5.6, 14.3]"
    )
    titled = DIFFERENCE.replace("bound = 0.0", 'bound = 0.0\ntitle = "Under FGSM"')
    claim = claim_of(tmp_path, titled, under_fgsm(small=figures))
    assert claim.checks[0].sentence.startswith("Under FGSM: -M 50.0 %")


def test_figures_at_the_floor_are_not_compared(tmp_path):
    figures = {"averaged.accuracy": 0.05, "plain.accuracy": 0.0}
    claim = claim_of(tmp_path, DIFFERENCE, under_fgsm(small=figures))
    assert (verdict(claim), claim.reasons) == ("cannot be judged", ["floor"])
    lower = DIFFERENCE.replace("bound = 0.0", "bound = 0.0\nfloor = 0.01")
    assert claim_of(tmp_path, lower, under_fgsm(small=figures)).holds


def test_figures_at_the_ceiling_are_not_compared_and_clean_ones_are(tmp_path):
    figures = {"averaged.accuracy": 0.99, "plain.accuracy": 0.95}
    claim = claim_of(tmp_path, DIFFERENCE, under_fgsm(small=figures))
    assert claim.checks[0].reason == "ceiling: all figures are at least 95.0 %"
    clean = DIFFERENCE.replace(".accuracy", ".clean")
    figures = {"averaged.clean": 0.99, "plain.clean": 0.95}
    assert claim_of(tmp_path, clean, under_fgsm(small=figures)).holds


def test_a_bound_is_judged_at_the_floor_and_with_one_seed(tmp_path):
    figures = {"plain.accuracy": 0.0}
    assert claim_of(tmp_path, BOUND, under_fgsm(small=figures, large=figures)).holds
    close = {"plain.accuracy": 0.14}
    claim = claim_of(tmp_path, BOUND, under_fgsm(small=figures, large=close))
    assert claim.checks[0].reason == (
        "within the interval: 32 units, [12.0, 16.3] reaches to both sides of 15.0 %"
    )
    far = {"plain.accuracy": 0.3}
    assert claim_of(tmp_path, BOUND, under_fgsm(small=far, large=figures)).holds is False


def test_single_trainings_are_compared_only_where_their_spread_is_known(tmp_path):
    figures = under_fgsm(small={"plain.accuracy": 0.2}, large={"plain.accuracy": 0.6})
    claim = claim_of(tmp_path, RISING, figures)
    assert (verdict(claim), claim.reasons) == ("cannot be judged", ["a single seed"])
    for spread, expected in ((0.02, "holds"), (0.3, "cannot be judged")):
        known = RISING + f"seed_spread = {spread}\n"
        assert verdict(claim_of(tmp_path, known, figures)) == expected
    of_scale = SMALL.text.replace("minutes = 1", "minutes = 1\nseed_spread = 0.02", 1)
    claim = claim_of(tmp_path, RISING, figures, text=of_scale)
    assert claim.holds
    assert "32 units less 4 units 40.0 points [" in claim.checks[0].sentence


def test_three_seeds_judge_trainings(tmp_path):
    def seeds(*values):
        return [{"plain.accuracy": value} for value in values]

    figures = under_fgsm(small=seeds(0.2, 0.21, 0.19), large=seeds(0.6, 0.61, 0.6))
    assert claim_of(tmp_path, RISING, figures, "twice", THREE).holds
    figures = under_fgsm(small=seeds(0.2, 0.5, 0.1), large=seeds(0.6, 0.3, 0.4))
    claim = claim_of(tmp_path, RISING, figures, "twice", THREE)
    assert (verdict(claim), claim.reasons) == ("cannot be judged", ["within the interval"])
    figures = under_fgsm(small=seeds(0.6, 0.61, 0.6), large=seeds(0.2, 0.21, 0.19))
    assert claim_of(tmp_path, RISING, figures, "twice", THREE).holds is False


def test_networks_that_are_too_weak_are_not_judged(tmp_path):
    needs = 'needs = [{ condition = "clean", figure = "plain.clean", least = 0.5 }]\n'
    figures = under_fgsm(small={"averaged.accuracy": 0.4, "plain.accuracy": 0.1})
    for before in ("[claims.checks.value]", "[[claims.checks]]"):  # of the check, of the claim
        where = DIFFERENCE.replace(before, needs + before)
        strong = figures | {("small", "clean"): {"plain.clean": 0.5}}
        assert claim_of(tmp_path / "a", where, strong).holds
        weak = figures | {("small", "clean"): {"plain.clean": 0.45}}
        claim = claim_of(tmp_path / "b", where, weak)
        assert claim.checks[0].reason == (
            "a network too weak: 4 units has 45.0 % clean accuracy, and 50.0 % are needed"
        )
        assert claim_of(tmp_path / "c", where, figures).checks[0].verdict is Verdict.UNKNOWN


def test_one_check_that_fails_settles_a_claim_and_one_that_cannot_be_judged_opens_it(tmp_path):
    figures = under_fgsm(small={"averaged.accuracy": 0.41, "plain.accuracy": 0.4})
    second = DIFFERENCE.partition("[[claims.checks]]")[2]
    both = f"{DIFFERENCE}[[claims.checks]]{second}"
    assert verdict(claim_of(tmp_path, both, figures)) == "cannot be judged"
    fails = both.replace("bound = 0.0", "bound = 0.5", 1)
    assert verdict(claim_of(tmp_path, fails, figures)) == "does not hold"


def test_intervals_that_touch_the_threshold_tell_strict_from_lax():
    strict, lax = Margin((("a", 1.0),), 1.0, 0.0, strict=True), Margin((("a", 1.0),), 1.0, 0.0)
    at = Interval(0.0, 0.0, 0.0)
    assert (strict.right(at), strict.wrong(at)) == (False, True)
    assert (lax.right(at), lax.wrong(at)) == (True, False)


def test_which_of_several_winners_is_first_does_not_matter_and_which_is_second_does():
    check = {"value": {"condition": "c", "figure": "f"}, "networks": ("a", "b", "c")}
    first = alternatives_of(Check(kind="greatest", winners=("a", "b"), **check))
    assert [[m.networks for m in margins] for margins in first] == [[["a", "c"]], [["b", "c"]]]
    second = alternatives_of(Check(kind="greatest", winners=("a",), place=2, **check))
    assert [[m.networks for m in margins] for margins in second] == [
        [["b", "a"], ["a", "c"]],
        [["a", "b"], ["c", "a"]],
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bound = 0.0", "bound = 0.0\nfloor = 2.0", r"floor: Input should be less than or equal"),
        ("bound = 0.0", 'bound = 0.0\nneeds = [{ condition = "clean", figure = "plain.clea", '
         "least = 0.5 }]", r"did you mean 'plain.clean'"),
        ('kind = "above"', 'kind = "rising"', r"kind 'rising' needs two networks or more"),
        ("bound = 0.0", "bound = 0.0\nplace = 2", r"place: expected at most 1"),
        ("bound = 0.0", "bound = 0.0\nseed_spread = -1", r"seed_spread: Input should be greater"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_check_costs_one_line(old, new, message, tmp_path):
    claims = DIFFERENCE.replace(old, new)
    with pytest.raises(UsageError, match=message) as refusal:
        SMALL.written(tmp_path, SMALL.text[:CLAIMS] + claims + SMALL.text[AFTER:])
    assert "\n" not in str(refusal.value)

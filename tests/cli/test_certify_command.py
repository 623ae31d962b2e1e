"""`tfrobust certify`, and `evaluate --certifier`."""

import json

import pytest

from helpers.commands import one_line
from tfrobust.results.certification import Certifications, read_certifications

QUICK = ("--certifier", "smoothing", "-p", "smoothing.sigma=0.25", "-p", "n=200", "--limit", 12)
LINF = ("-p", "smoothing.norm=linf")


def test_a_certification_is_printed_written_and_read_again(tfrobust, with_store):
    told = tfrobust("certify", "d1", *QUICK, "--eps", 0.25, "--out", "runs/d1", "--json")
    assert told.code == 0, told.err
    results = Certifications.model_validate_json(told.out)
    assert read_certifications(with_store / "runs/d1") == results
    [one] = results.certifications
    assert (one.classifier.name, one.scenario.images) == ("d1", 12)
    assert one.certificates[0].params["n"] == 200
    again = tfrobust("certify", "d1", *QUICK, "--eps", 0.25, "--out", "runs/d1", "--force")
    assert "Certified accuracy on 12 images of digits (test)" in again.out
    assert "smoothing: each radius of the classifier + noise σ=0.25" in again.out
    kept = json.loads((with_store / "runs/d1/certificates.json").read_text())
    assert (
        kept["certifications"][0]["certificates"][0]["radius"]
        == json.loads(told.out)["certifications"][0]["certificates"][0]["radius"]
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("certify", "d1", "--certifier", "smoothing"), 2, ("Missing option '--eps'",)),
        (("certify", "d1", "--certifier", "smooth", "--eps", 1), 2, ("mean 'smoothing'",)),
        (("certify", "d1", *QUICK, "--eps", 0), 2, ("eps: expected a radius above 0",)),
        (("certify", "d1", *QUICK, "--eps", "nan"), 2, ("eps: expected a radius above 0",)),
        (("certify", "d1", *QUICK, "--eps", 9), 2, ("no two images are farther apart than 8",)),
        (
            ("certify", "d1", "--certifier", "smoothing", "--eps", 1),
            2,
            ("d1: smoothing: sigma: the classifier has no noise",),
        ),
        (
            ("certify", "d1", "--certifier", "smoothing", "-p", "sigma=0", "--eps", 1),
            2,
            ("smoothing: sigma", "greater than 0"),
        ),
        (
            ("evaluate", "d1", "--attack", "fgsm", "--eps", 0.1, *QUICK, *LINF),
            2,
            ("d1: smoothing would certify it with other noise than it answers by",),
        ),
        (("evaluate", "d1", *QUICK), 2, ("--certifier", "give --attack")),
        (("plan", "evaluate", "d1", "--attack", "fgsm", *QUICK), 2, ("--certifier",)),
    ],
)
def test_a_mistake_costs_one_line(tfrobust, with_store, arguments, code, words):
    out = () if arguments[0] == "plan" else ("--out", "runs/d1")
    one_line(tfrobust(*arguments, *out), code, *words)
    assert not (with_store / "runs/d1").exists()


@pytest.mark.slow
def test_a_trained_smoothed_network_is_certified_by_name_and_beside_attacks(tfrobust, here):
    trained = tfrobust(
        "train", "lenet", "--name", "smooth", "--epochs", 4, "--defense", "randomized_smoothing",
        "-p", "samples=10",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    options = ("--certifier", "smoothing", "-p", "smoothing.n=500", "--limit", 16)
    certified = tfrobust("certify", "smooth", *options, "--eps", 0.1, "--out", "runs/certified")
    assert certified.code == 0, certified.err
    [one] = read_certifications(here / "runs/certified").certifications
    assert one.certificates[0].certified > 0.5
    beside = tfrobust(
        "evaluate", "smooth", "--attack", "pgd", "-p", "pgd.norm=l2", "-p", "steps=5",
        "-p", "pgd.samples=2", "--eps", 0.1, *options, "--out", "runs/beside",
    )  # fmt: skip
    assert beside.code == 0, beside.err
    evaluation = json.loads((here / "runs/beside/results.json").read_text())["evaluations"][0]
    [line] = evaluation["certificates"]
    assert line["within"][0]["accuracy"] == one.certificates[0].within[0].accuracy
    assert line["contradictions"] == 0
    assert "between certified" in beside.out

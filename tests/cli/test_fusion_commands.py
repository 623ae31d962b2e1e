"""Fusing stored networks, evaluating their streams and drawing them, as a user types it."""

import json

import pytest

SCENE = ("--scenario", "digits_in_places")
QUICK = ("--epochs", 1)


@pytest.fixture
def fused(tfrobust, here):
    """A store with two small networks and their fusion."""
    for name in ("objects", "scenes"):
        shows = "places" if name == "scenes" else "digits"
        options = ("-p", "fully_connected.units=8", "-p", f"digits_in_places.shows={shows}")
        result = tfrobust("train", "fully_connected", *SCENE, *options, "--name", name, *QUICK)
        assert result.code == 0, result.err
    joint = ("train", "objects", "--only", "contextual_fusion", "-p", "background=scenes")
    result = tfrobust(*joint, *SCENE, "--name", "fused", *QUICK)
    assert result.code == 0, result.err


@pytest.mark.slow
def test_streams_are_evaluated_with_the_whole_classifier_and_drawn(tfrobust, fused, here):
    both = ("evaluate", "fused", "fused:foreground", *SCENE, "--attack", "fgsm", "--limit", 20)
    onto = ("--crafted-on", "fused:foreground", "--no-baselines")
    result = tfrobust(*both, *onto, "--out", "out", "--json")
    assert result.code == 0, result.err
    names = [
        evaluation["classifier"]["name"] for evaluation in json.loads(result.out)["evaluations"]
    ]
    assert names == ["fused", "fused:foreground"]
    member = "saved_models/fused/1:foreground"
    by_path = ("evaluate", member, *SCENE, "--clean-only", "--limit", 5, "--out", "path")
    result = tfrobust(*by_path, "--no-baselines", "--json")
    assert json.loads(result.out)["evaluations"][0]["classifier"]["name"] == "fused/1:foreground"

    show = ("streams", "fused", *SCENE, "--attack", "box_blur", "--images", 20)
    result = tfrobust(*show, "--out", "seen", "--crafted-on", "foreground", "--json")
    assert result.code == 0, result.err
    streams = {stream["stream"]: stream for stream in json.loads(result.out)["streams"]}
    assert set(streams) == {"foreground", "background"}
    assert all(
        0 < stream["explained"] <= 1 and stream["mean_weight"] > 0 for stream in streams.values()
    )
    assert "<svg" in (here / "seen/streams.svg").read_text()

    again = ("train", "fused:foreground", "--only", "adversarial_retraining", *SCENE, *QUICK)
    result = tfrobust(*again, "--name", "retrained", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["model"]["deployed"].endswith(":foreground")

    whole = json.loads(tfrobust("summary", "fused", "--json").out)
    sizes = {name: int(count.replace(",", "")) for name, count, _ in whole["rows"]}
    own, joint = 8 * 10 + 10, 2 * 8 * 10 + 10
    assert sizes["linear layers"] == 2 * own + joint
    assert sizes["foreground"] == sizes["background"] > own
    assert sizes["sum"] == 2 * sizes["foreground"] + sizes["linear layers"]
    assert whole["totals"]["memory"] == f"{4e-6 * sizes['sum']:.3g} MB"
    assert "compressed" not in whole["totals"]
    own = json.loads(tfrobust("summary", "fused:foreground", "--json").out)
    assert own["rows"][-1][0] == "foreground"  # its own linear layer

    for arguments, words in (
        (("summary", "saved_models/fused/1"), "does not show its parts"),
        (("summary", "fused:sky"), "no member 'sky'"),
        (("evaluate", "fused:sky", *SCENE, "--clean-only", "--out", "x"), "no member 'sky'"),
        (("streams", "objects", *SCENE, "--out", "x"), "expected a classifier that decides by"),
        (("streams", "fused", *SCENE, "--out", "x", "--crafted-on", "sky"), "no member 'sky'"),
        (("streams", "fused", "--out", "x"), "fused does not fit the scenario: images"),
        (("train", "objects", "--only", "contextual_fusion", *SCENE, "--name", "x"), "background"),
    ):
        result = tfrobust(*arguments)
        assert result.code != 0
        assert len(result.err.strip().splitlines()) == 1, result.err
        assert words in result.err
        assert not (here / "x").exists()

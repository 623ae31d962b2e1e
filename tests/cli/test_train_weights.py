"""`tfrobust train MODEL --weights FILE`."""

import json
from pathlib import Path

import numpy as np
import pytest

import torch_files as files
import torchvision_reference as reference
from tfrobust.store import load

NARROW = ("-p", "resnet18.width=0.0625")
OPTIONS = ("--epochs", 1, "--learning-rate", 1e-9, "--batch-size", 512, "--validation", 0.5)


@pytest.fixture
def weights(here):
    """A narrow ResNet-18 of ten classes."""
    state = reference.random_state(reference.resnet_shapes(18, 10, width=0.0625))
    return files.zipped(here / "net.pth", state)


def test_training_starts_from_the_file(tfrobust, weights):
    said = tfrobust("train", "resnet18", "--weights", weights, *NARROW, *OPTIONS, "--json")
    assert said.code == 0, said.err
    card = json.loads(said.out)
    assert card["model"]["params"]["weights"] == str(weights)
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype(np.float32)
    # Training hardly moved a weight; the normalisation's averages it did.
    assert np.isfinite(load(Path(card["path"]))(images)).all()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("lenet", "--weights", "net.pth"), 2, ["--weights: lenet cannot start from a file"]),
        (("mobilenet", "--weights", "net.pth"), 2, ["weights:", "expected none or imagenet"]),
        (("resnet18", "--weights", "imagenet"), 2, ["no ImageNet weights for this network"]),
        (("resnet18", "--weights", "a.pth", "-p", "weights=b.pth"), 2, ["given twice"]),
        (("resnet18", "--weights", "none.pth"), 1, ["none.pth: No such file"]),
        (("resnet18", "--weights", "net.pth"), 1, ["does not fit resnet18", "misshapen: conv1"]),
        (("resnet50", "--weights", "net.pth", *NARROW), 2, ["no plugin 'resnet18'"]),
    ],
)
def test_what_cannot_be_loaded_costs_one_line(arguments, code, words, tfrobust, weights):
    said = tfrobust("train", *arguments)
    assert said.code == code, said.err
    errors = [line for line in said.err.strip().splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said.err
    for word in words:
        assert word in errors[0]
    assert not (weights.parent / "saved_models").exists() or not list(
        weights.parent.glob("saved_models/*/[0-9]*")
    )

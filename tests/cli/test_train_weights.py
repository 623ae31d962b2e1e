"""`tfrobust train MODEL --weights FILE`."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from helpers import torchvision_reference as reference
from helpers.files import torch_files as files
from tfrobust.store.models import load

NARROW = ("-p", "resnet18.width=0.0625")
COLOUR = ("-p", "digits.channels=3", "-p", "digits.size=32")


@pytest.fixture(scope="module")
def state():
    """The state dict of a narrow ResNet-18 with ten classes."""
    return reference.random_state(reference.resnet_shapes(18, 10, width=0.0625))


@pytest.fixture
def weights(here, state):
    """The file of that state dict."""
    return files.zipped(here / "net.pth", state)


@pytest.fixture
def start(tfrobust, weights):
    """Store the file as it is, and return the card."""

    def call(*more):
        given = ("--weights", weights, *NARROW, "--epochs", 0, "--name", "n1", "--json")
        result = tfrobust("train", "resnet18", *given, *COLOUR, *more)
        assert result.code == 0, result.err
        return json.loads(result.out)

    return call


def test_training_starts_from_the_file_and_resumes_only_with_it(start, weights, state):
    card = start()
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype(np.float32)
    expected = reference.resnet_logits(state, images, 18)
    assert np.abs(load(Path(card["path"]))(images) - expected).max() < 1e-3
    assert card["model"]["params"]["weights"] == str(weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert card["model"]["files"] == {"weights": digest}
    assert start("--resume")["path"] == card["path"]
    files.zipped(weights, {name: tensor * 0.5 for name, tensor in state.items()})
    assert start("--resume")["path"] != card["path"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("lenet", "--weights", "net.pth"), 2, ["--weights: lenet cannot start from a file"]),
        (("mobilenet", "--weights", "net.pth"), 2, ["weights:", "expected none or imagenet"]),
        (("resnet18", "--weights", "imagenet"), 2, ["no ImageNet weights for this network"]),
        (("resnet18", "--weights", "a.pth", "-p", "weights=b.pth"), 2, ["given twice"]),
        (("resnet18", "--weights", ""), 2, ["--weights: expected a value", "leave it out"]),
        (("resnet18", "--weights", "none.pth"), 1, ["none.pth: No such file"]),
        (("resnet18", "--weights", "net.pth"), 1, ["does not fit resnet18", "misshapen: conv1"]),
        (("resnet50", "--weights", "net.pth", *NARROW), 2, ["no plugin 'resnet18'"]),
    ],
)
def test_what_cannot_be_loaded_costs_one_line(arguments, code, words, tfrobust, weights):
    result = tfrobust("train", *arguments)
    assert result.code == code, result.err
    errors = [line for line in result.err.strip().splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.err
    for word in words:
        assert word in errors[0]
    assert not (weights.parent / "saved_models").exists() or not list(
        weights.parent.glob("saved_models/*/[0-9]*")
    )

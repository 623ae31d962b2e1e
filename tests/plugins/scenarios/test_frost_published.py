"""Frost changes photographs as much as the published panes do: measured on COCO images."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.support import shared_folder
from tfrobust_scenarios.corruptions import ice
from tfrobust_scenarios.corruptions.weather import Frost

SIDE = 224
PUBLISHED = json.loads(Path(__file__).with_name("frost_published.json").read_text())


def middles():
    """The middle squares of COCO images, shrunk by a box filter as for the stored figures."""
    files = sorted(shared_folder("data/coco").glob("*/*.jpg"))
    if len(files) != PUBLISHED["images"]:
        pytest.skip(f"the figures are those of {PUBLISHED['images']} images; found: {len(files)}")
    for file in files:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        width, height = image.size
        side = min(image.size)
        left, top = (width - side) // 2, (height - side) // 2
        box = left, top, left + side, top + side
        small = image.resize((SIDE, SIDE), Image.Resampling.BOX, box=box)
        yield np.asarray(small, np.float32) / 255


def panes_of_each_photograph(monkeypatch, count):
    """As many panes of each photograph: which one is drawn decides over half of the change."""
    drawn = []
    for k in range(len(ice.PANES)):
        monkeypatch.setattr(ice, "_which", lambda seed, k=k: tf.constant(k))
        pane = tf.function(lambda seed: ice.frosted_pane((SIDE, SIDE, 3), SIDE, seed))
        drawn.append([pane(tf.constant([5, number])).numpy() for number in range(count)])
    return drawn


@pytest.mark.slow
def test_frost_changes_images_as_the_published_panes_do(monkeypatch):
    images = list(middles())
    panes = panes_of_each_photograph(monkeypatch, 10)
    for severity, published in PUBLISHED["severities"].items():
        kept, iced = Frost.strengths[SIDE][int(severity) - 1]
        changes = [
            np.clip(kept * image + iced * own[number % len(own)], 0, 1) - image
            for own in panes
            for number, image in enumerate(images)
        ]
        change = np.mean([np.abs(change).mean() for change in changes])
        contrast = np.mean([change.mean(-1).std() for change in changes])
        assert change == pytest.approx(published["mean_change"], rel=0.05)
        assert contrast == pytest.approx(published["contrast"], rel=0.05)

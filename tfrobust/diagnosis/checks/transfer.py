"""Checks whether images crafted on another network break more than those crafted on this one."""

from __future__ import annotations

import keras
import numpy as np

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predicted_classes
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.diagnosis.bench import Bench
from tfrobust.diagnosis.checks.check import Call, Check, Result, fine
from tfrobust.results.findings import Verdict
from tfrobust.types import Images, Labels

_EPOCHS = 30


def _make(bench: Bench) -> Result:
    surrogate = _likeness(bench)
    attack = bench.in_ball("pgd", early_stop=False)
    pair = bench.compare(
        bench.run(attack, bench.unbroken, on=surrogate).broken, bench.control.broken
    )
    says = (
        f"images crafted on a small network that imitates this one break {pair.more} of "
        f"{pair.images} images that the attack left; the attack again breaks {pair.less} others"
    )
    if not pair.is_certain:
        return fine(says, pair.gain, 0.0)
    return Result(
        verdict=Verdict.MASKED,
        cause="transfer beats white box",
        says=says,
        figure=pair.gain,
        threshold=0.0,
        calls=(Call(attack, surrogate, "a network that imitates this one"),),
    )


def _likeness(bench: Bench) -> Classifier:
    """Return a small network that was fitted to the answers on noisy copies of the images."""
    draw = np.random.default_rng(bench.settings.seed)
    radius = 0.1
    copies = [bench.images]
    for _ in range(9):
        noise = draw.uniform(-radius, radius, bench.images.shape).astype(np.float32)
        copies.append(np.clip(bench.images + noise, 0.0, 1.0))
    shown: Images = np.concatenate(copies)
    answers = predicted_classes(bench.classifier, shown)
    bench.queries += len(shown)
    return KerasClassifier(_fitted(bench, shown, answers))


def _fitted(bench: Bench, images: Images, answers: Labels) -> keras.Model:
    seeds = iter(range(bench.settings.seed, bench.settings.seed + 10))
    init = lambda: keras.initializers.HeNormal(seed=next(seeds))  # noqa: E731
    model = keras.Sequential(
        [
            keras.Input(bench.classifier.image_shape),
            keras.layers.Conv2D(
                16, 3, padding="same", activation="relu", kernel_initializer=init()
            ),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu", kernel_initializer=init()),
            keras.layers.GlobalAveragePooling2D()
            if min(bench.classifier.image_shape[:2]) > 64
            else keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu", kernel_initializer=init()),
            keras.layers.Dense(bench.classifier.num_classes, kernel_initializer=init()),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    epochs = max(1, min(_EPOCHS, 30 * 2000 // len(images)))
    model.fit(images, answers, batch_size=64, epochs=epochs, verbose=0, shuffle=False)
    return model


TRANSFER = Check(
    name="transfer", source="Tramèr et al. 2020; Papernot et al. 2017", make=_make, thorough=True
)

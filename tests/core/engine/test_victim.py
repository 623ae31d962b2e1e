"""The classifier that an attack receives: an average of a random one, or a surrogate."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.engine.run import run_attack
from tfrobust.engine.victim import Expected, Surrogate, persistent, victim_of
from tfrobust.errors import UsageError
from tfrobust.options import plugin
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images, small_classifier


class Noisy(Wrapped):
    """A classifier that hides its gradient behind noise drawn once a call."""

    def __init__(self, inner: Classifier, spread: float = 2.0) -> None:
        super().__init__(inner, stochastic=True)
        self.spread = spread
        self.draws = tf.random.Generator.from_seed(1)

    def __call__(self, images):
        shift = self.draws.normal((1, *self.image_shape)) * self.spread
        return self.inner(images + shift * images)


@plugin
class Bare(Attack):
    """A white-box attack that knows nothing of random classifiers."""

    @property
    def threat(self):
        return Threat("white-box", "linf")

    def __call__(self, classifier, images, labels, *, seed):
        return images


class Rounded(Classifier):
    """A classifier of images rounded to eighths, which have no gradient."""

    def __init__(self, inner, *, surrogate=False):
        super().__init__(
            image_shape=inner.image_shape,
            num_classes=inner.num_classes,
            differentiable=False,
            surrogate=inner if surrogate else None,
        )
        self.inner = inner

    def __call__(self, images):
        return self.inner(tf.stop_gradient(tf.round(images * 8.0) / 8.0))


def gradient(classifier, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = classifier(images)
        value = logits[:, 0] - logits[:, 1]
    return tape.gradient(value, images).numpy()


def test_the_mean_of_many_gradients_is_nearer_to_the_expected_one():
    plain = LinearClassifier()
    images = tf.constant(grey_images(plain, 5)[0])
    truth = gradient(plain, images)
    off = {
        samples: np.abs(gradient(Expected(Noisy(plain), samples), images) - truth).mean()
        for samples in (1, 200)
    }
    assert off[200] < 0.2 * off[1]


def test_the_calls_of_an_average_are_separate_draws():
    classifier, calls = LinearClassifier(), []

    class Watched(Noisy):
        def __call__(self, images):
            calls.append(1)
            return super().__call__(images)

    images = tf.constant(grey_images(classifier, 3)[0])
    noisy = Watched(classifier)
    single = [noisy(images).numpy() for _ in range(2)]
    assert not np.allclose(*single)
    calls.clear()
    Expected(noisy, 7)(images)
    assert len(calls) == 7


@pytest.mark.parametrize(
    "name", ["fgsm", "pgd", "apgd_ce", pytest.param("fab_t", marks=pytest.mark.slow)]
)
def test_gradient_attacks_average_over_a_random_classifier_and_count_every_call(name):
    noisy = Noisy(small_classifier(), 0.3)
    images, labels = grey_images(noisy.inner, 6)
    options = {"steps": 3} if name != "fgsm" else {}
    costs = {}
    for samples in (1, 3):
        attack = create("attacks", name, eps=0.05, samples=samples, **options)
        crafted = run_attack(attack, noisy, images, labels, batch_size=4)
        assert np.isfinite(crafted.images).all()
        costs[samples] = crafted.gradients
    assert costs[3] > 2 * costs[1]


def test_a_white_box_attack_without_that_option_averages_twenty_calls():
    noisy = Noisy(small_classifier())
    bare = Bare()
    assert bare.samples is None
    assert victim_of(bare, noisy)[1] == 20
    assert victim_of(create("attacks", "boundary"), noisy) == (noisy, 1)


def test_a_deterministic_classifier_is_called_once():
    classifier = small_classifier()
    images, labels = grey_images(classifier, 4)
    crafted = run_attack(create("attacks", "fgsm", samples=50), classifier, images, labels)
    assert crafted.gradients == 4


def test_averaging_breaks_a_random_classifier_that_single_gradients_do_not():
    plain = LinearClassifier(num_classes=2)
    noisy = Noisy(plain, spread=6.0)
    images, labels = grey_images(plain, 40)
    eps = 1.3 * float(np.median(plain.least_perturbation(images, labels, "linf")))
    left = {}
    for samples in (1, 100):
        attack = create("attacks", "fgsm", eps=eps, samples=samples)
        crafted = run_attack(attack, noisy, images, labels).images
        left[samples] = (plain(crafted).numpy().argmax(axis=1) == labels).mean()
    assert left[100] <= left[1] - 0.2


def test_a_surrogate_lends_its_gradient_and_leaves_every_bit_of_the_logits():
    inner = small_classifier()
    rounded = Rounded(inner, surrogate=True)
    victim = Surrogate(rounded, inner)
    images = tf.constant(grey_images(inner, 5)[0])
    assert np.array_equal(victim(images).numpy(), rounded(images).numpy())
    assert np.array_equal(gradient(victim, images), gradient(inner, images))


def test_without_gradients_a_white_box_attack_needs_a_declared_surrogate():
    inner = small_classifier()
    images, labels = grey_images(inner, 6)
    attack = create("attacks", "pgd", eps=0.3, steps=10)
    with pytest.raises(UsageError, match="pgd needs gradients and this classifier has none"):
        run_attack(attack, Rounded(inner), images, labels)
    crafted = run_attack(attack, Rounded(inner, surrogate=True), images, labels)
    broken = Rounded(inner)(tf.constant(crafted.images)).numpy().argmax(axis=1) != labels
    assert broken.mean() > 0.5


def test_black_box_attacks_see_the_classifier_itself():
    rounded = Rounded(small_classifier(), surrogate=True)
    white_box, score = (create("attacks", name) for name in ("fgsm", "square"))
    assert isinstance(victim_of(white_box, rounded)[0], Surrogate)
    assert victim_of(score, rounded) == (rounded, 1)


def test_no_image_of_a_random_classifier_is_left_alone_after_a_lucky_draw():
    plain = LinearClassifier(num_classes=2)
    noisy = Noisy(plain, spread=3.0)
    images, labels = grey_images(plain, 40)
    eps = 1.5 * float(np.median(plain.least_perturbation(images, labels, "linf")))
    attack = create("attacks", "pgd", eps=eps, steps=20)
    assert persistent(attack, plain) is attack
    assert not persistent(attack, noisy).early_stop
    crafted = run_attack(attack, noisy, images, labels)
    assert crafted.gradients == 40 * 20 * 20  # every image, every step, every draw

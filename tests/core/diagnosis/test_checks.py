"""Each check names its cause, and is silent on a linear classifier, where everything is exact."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.benches import EPS, IMAGES, LABELS, LEAST, LINEAR, bench_of
from tfrobust import create
from tfrobust.attack import Attack, Threat
from tfrobust.diagnosis.checks.batch import BATCH
from tfrobust.diagnosis.checks.features import FEATURES
from tfrobust.diagnosis.checks.finite_differences import FINITE_DIFFERENCES
from tfrobust.diagnosis.checks.gradients import GRADIENTS
from tfrobust.diagnosis.checks.loss_scale import LOSS_SCALE
from tfrobust.diagnosis.checks.randomness import RANDOMNESS
from tfrobust.diagnosis.checks.rejection import REJECTION
from tfrobust.diagnosis.checks.rivals import BLACK_BOX, BUDGETS, NOISE, ONE_STEP, UNBOUNDED
from tfrobust.diagnosis.checks.surface import SURFACE
from tfrobust.diagnosis.checks.trajectory import CONVERGENCE, RESTARTS, SILENT_SUCCESS
from tfrobust.diagnosis.diagnosing import CHECKS, made
from tfrobust.diagnosis.probes import slopes
from tfrobust.options import option, plugin
from tfrobust.random import uniform
from tfrobust.results.findings import Verdict
from tfrobust.testing import masked


@pytest.fixture(scope="module")
def linear():
    return bench_of()


def test_the_attack_in_doubt_leaves_what_no_perturbation_reaches(linear):
    assert np.array_equal(linear.attacked.broken, LEAST <= EPS)


@pytest.mark.parametrize(
    "check",
    [c for c in CHECKS if not c.thorough and c not in (REJECTION, FEATURES)],
    ids=lambda c: c.name,
)
def test_a_linear_classifier_is_not_accused(linear, check):
    result = made(linear, check)

    assert result.verdict is Verdict.FINE, result.says


def test_slopes_of_a_linear_classifier_are_exact():
    found = slopes(LINEAR, IMAGES[:4], LABELS[:4], step=0.01, directions=5, seed=0)

    np.testing.assert_allclose(found.told, found.measured, atol=1e-3)


@pytest.mark.parametrize(
    ("classifier", "check", "cause"),
    [
        (masked.NoiseGradient(LINEAR), FINITE_DIFFERENCES, "gradients do not tell"),
        (masked.ShortGradient(LINEAR), FINITE_DIFFERENCES, "gradients of another size"),
        (masked.SoftmaxAnswers(LINEAR, 50.0), GRADIENTS, "answers are probabilities"),
        (masked.RoundedInputs(LINEAR), GRADIENTS, "gradients are missing"),
        (masked.LargeLogits(LINEAR, 1e4), LOSS_SCALE, "cross-entropy is saturated"),
        (masked.UndeclaredDraws(LINEAR), RANDOMNESS, "random answers"),
        (masked.NoiseGradient(LINEAR), BLACK_BOX, "black box beats white box"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, masked.Wrapped) else None,
)
def test_what_is_masked_is_named_with_its_cause(classifier, check, cause):
    result = made(bench_of(classifier), check)

    assert result.verdict is Verdict.MASKED, result.says
    assert result.cause.startswith(cause)
    assert result.calls  # something is to be done about it


class MeanOfBatch(masked.Wrapped):
    """It subtracts the mean of the batch, as batch normalisation in training mode does."""

    def __call__(self, images):
        return self.inner(images - tf.reduce_mean(images, axis=0) + 0.5)


def test_an_answer_that_depends_on_the_batch_is_seen():
    result = made(bench_of(MeanOfBatch(LINEAR)), BATCH)

    assert result.verdict is Verdict.MASKED
    assert result.declares == {"batch_dependent": True}


class Steps(masked.Wrapped):
    """It is flat but for jumps at every thousandth of a pixel's range, with the inner gradient."""

    def __call__(self, images):
        rounded = tf.round(images * 200) / 200 + 0.02 * tf.sin(images * 7e4)
        return self.inner(images + tf.stop_gradient(rounded - images))


def test_a_rough_loss_surface_is_seen():
    assert (
        made(bench_of(Steps(masked.LargeLogits(LINEAR, 1.0))), SURFACE).verdict is Verdict.SUSPECT
    )


@plugin
class Dropping(Attack):
    """It finds what PGD finds, and returns the clean images."""

    eps: float = option("radius", default=0.1, ge=0)

    @property
    def threat(self):
        return Threat("white-box", "linf")

    def __call__(self, classifier, images, labels, *, seed):
        pgd = create("attacks", "pgd", eps=self.eps, loss="margin")
        found = pgd(classifier, images, labels, seed=seed)
        return images + 0.0 * classifier(found)[:, :1, None, None]


def test_an_attack_that_drops_what_it_finds_is_seen():
    result = made(bench_of(attack=Dropping(eps=EPS)), SILENT_SUCCESS)

    assert result.verdict is Verdict.MASKED
    assert result.figure == pytest.approx((LEAST[:32] <= EPS).mean())


@pytest.mark.parametrize(
    ("attack", "cause"),
    [
        (
            create("attacks", "pgd", eps=EPS, steps=3, step_size=EPS / 8, random_start=False),
            "too few steps",
        ),
        (
            create("attacks", "pgd", eps=EPS, steps=20, step_size=EPS / 5000, random_start=False),
            "the loss still rises",
        ),
        (create("attacks", "gaussian_noise", eps=EPS), "too weak an attack"),
    ],
    ids=["too few", "too short", "none"],
)
def test_an_attack_that_stops_too_early_is_seen(attack, cause):
    assert made(bench_of(attack=attack), CONVERGENCE).cause == cause


@plugin
class Lucky(Attack):
    """It steps from every image with a chance of a half."""

    eps: float = option("radius", default=EPS, ge=0)

    @property
    def threat(self):
        return Threat("white-box", "linf")

    def __call__(self, classifier, images, labels, *, seed):
        found = create("attacks", "fgsm", eps=self.eps, loss="margin")(
            classifier, images, labels, seed=seed
        )
        return tf.where(uniform(seed, (1, 1, 1)) < 0.5, found, images)


def test_an_attack_that_hangs_on_its_seed_is_seen():
    bench = bench_of(attack=Lucky(eps=2 * EPS), eps=2 * EPS)

    result = made(bench, RESTARTS)

    assert (result.verdict, result.cause) == (Verdict.SUSPECT, "too few restarts")
    assert result.calls[0].attack.restarts == 5
    bench.run(result.calls[0].attack, bench.right)
    assert np.array_equal(bench.broken[bench.right], LEAST[bench.right] <= 2 * EPS)


@plugin
class OnlyNear(Attack):
    """It takes a step of ε, but stands still where ε is large."""

    eps: float = option("radius", default=0.1, ge=0)

    @property
    def threat(self):
        return Threat("white-box", "linf")

    def __call__(self, classifier, images, labels, *, seed):
        if self.eps > 0.9 * EPS:
            return images + 0.0 * classifier(images)[:, :1, None, None]
        inner = create("attacks", "fgsm", eps=self.eps, loss="margin")
        return inner(classifier, images, labels, seed=seed)


@pytest.mark.parametrize("check", [BUDGETS, UNBOUNDED], ids=lambda check: check.name)
def test_an_attack_that_fails_at_larger_budgets_is_seen(check):
    bench = bench_of(attack=OnlyNear(eps=1.7 * EPS), eps=1.7 * EPS)

    assert made(bench, check).verdict is Verdict.MASKED


class WithoutSlope(masked.Wrapped):
    """Its gradient is zero."""

    def __call__(self, images):
        return self.inner(tf.stop_gradient(images) + 0.0 * images)


@pytest.mark.parametrize(("check", "eps"), [(NOISE, 12 * EPS), (GRADIENTS, EPS)])
def test_an_attack_that_stands_still_is_seen(check, eps):
    assert made(bench_of(WithoutSlope(LINEAR), eps=eps), check).verdict is Verdict.MASKED


def test_one_step_that_breaks_more_than_the_attack_is_seen():
    still = create("attacks", "pgd", eps=EPS, steps=1, step_size=1e-6, random_start=False)
    bench = bench_of(masked.NoiseGradient(LINEAR), attack=still)
    bench.classifier = LINEAR  # its one step is a good one

    assert made(bench, ONE_STEP).verdict is Verdict.FINE  # white-box attacks find as much


def test_a_classifier_that_rejects_has_to_be_aimed_at():
    class Rejecting(masked.Wrapped):
        def __call__(self, images):
            logits = self.inner(images)
            near = tf.reduce_max(tf.abs(images - 0.5), axis=(1, 2, 3))
            bound = tf.reduce_max(logits, axis=1) + 200.0 * (near - 0.1001)
            return tf.concat([logits, bound[:, None]], axis=1)

    names = (*LINEAR.class_names, "rejected")
    rejecting = Rejecting(LINEAR, num_classes=5, class_names=names)

    result = made(bench_of(rejecting, eps=2 * EPS), REJECTION)

    assert result.figure > 0.05  # the attack only gets itself rejected at these


def test_without_gradients_only_the_checks_that_need_none_are_made():
    hidden = LINEAR.replace(differentiable=False)
    bench = bench_of(hidden)

    verdicts = {check.name: made(bench, check).verdict for check in (GRADIENTS, LOSS_SCALE, NOISE)}

    assert verdicts == {
        "gradients": Verdict.NOT_APPLICABLE,
        "loss scale": Verdict.NOT_APPLICABLE,
        "noise": Verdict.FINE,
    }


class Featured(masked.Wrapped):
    """It shows its logits as features."""

    def features(self, images):
        return self.inner(images)


def test_features_find_what_a_broken_head_hides():
    featured = Featured(LINEAR)
    result = made(bench_of(masked.NoiseBehindFeatures(featured), eps=2 * EPS), FEATURES)

    assert made(bench_of(featured), FEATURES).verdict is Verdict.FINE
    assert made(bench_of(), FEATURES).verdict is Verdict.NOT_APPLICABLE
    assert result.cause == "features find more than logits", result.says


def test_what_optimises_at_inference_is_attacked_along_what_is_inside():
    result = made(bench_of(masked.Purified(LINEAR, step=0.01, steps=2)), GRADIENTS)

    assert result.cause == "gradients are missing"
    assert "the gradients of what is inside (BPDA)" in [call.follows for call in result.calls]


class Unfollowed(masked.Wrapped):
    """It shows its logits as features, as constants."""

    def features(self, images):
        return tf.stop_gradient(self.inner(images))


def test_features_without_a_gradient_are_not_probed():
    assert made(bench_of(Unfollowed(LINEAR)), FEATURES).verdict is Verdict.NOT_APPLICABLE

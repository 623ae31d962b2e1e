"""Every figure of the result format, compared with an example worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import Brightness, InMemory, small_classifier
from tfrobust.attack import Attack, Threat
from tfrobust.detector import Detector, FittedDetector
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.evaluation.detection import fitted_on
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.fitting_images import ENOUGH, FittingImages
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.report import write_report, write_run
from tfrobust.results.metrics import wilson
from tfrobust.scenario import Scenario
from tfrobust.testing import LinearClassifier

CLEAN = [0.1, 0.3, 0.45, 0.48, 0.55, 0.7, 0.6, 0.2]
LABEL = [0, 0, 0, 0, 1, 1, 0, 1]  # the last two are misread


@plugin
class Greys(Scenario):
    """Eight flat grey images."""

    @property
    def image_shape(self):
        return 2, 2, 1

    @property
    def class_names(self):
        return "dark", "bright"

    @property
    def splits(self):
        return "train", "test"

    def load(self, split):
        images = np.array(CLEAN, np.float32)[:, None, None, None] * np.ones((2, 2, 1), np.float32)
        labels = np.array(LABEL, np.int64)
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})


@plugin
class Brighten(Attack):
    """Adds to every pixel."""

    eps: float = option("how much is allowed", default=0.1, ge=0)
    by: float = option("how much is added", default=0.1)
    targeted: bool = option("towards a class", default=False)

    @property
    def threat(self):
        return Threat("none", "linf", self.targeted)

    def __call__(self, classifier, images, labels, *, seed):
        return images + self.by


class NoNumbers(Brighten):
    """Returns NaN."""

    def __call__(self, classifier, images, labels, *, seed):
        return images * float("nan")


RUNS = 0


@plugin
class Nearest(Attack):
    """Moves to just beyond grey: the least perturbation there is."""

    minimum_norm = True
    eager = True

    eps: float | None = option("budget", default=None, ge=0)

    @property
    def threat(self):
        return Threat("white-box", "linf")

    def __call__(self, classifier, images, labels, *, seed):
        global RUNS  # noqa: PLW0603
        RUNS += 1
        beyond = tf.where(labels == 0, 0.501, 0.499)
        return tf.ones_like(images) * tf.cast(beyond, tf.float32)[:, None, None, None]


def evaluated(*attacks, classifier=None, **options):
    options = {"baselines": ()} | options
    return evaluate({"greys": classifier or Brightness()}, Greys(), attacks, **options)


def test_accuracies_and_rates_are_over_the_images_of_their_definitions():
    (evaluation,) = evaluated(Brighten(eps=0.1, by=0.1)).results.evaluations
    # After: .2 .4 .55 .58 .65 .8 .7 .3 → predictions 0 0 1 1 1 1 1 0.
    assert evaluation.clean.accuracy == 6 / 8
    (attack,) = evaluation.attacks
    assert attack.accuracy == 4 / 8
    assert attack.success_rate == 2 / 6
    assert attack.fooling_ratio == 2 / 8
    assert attack.violations == 0
    assert evaluation.worst_case.accuracy == 4 / 8
    assert attack.interval == pytest.approx(wilson(4, 8))


def test_a_clean_error_stays_an_error_even_if_the_attack_mends_it():
    # After darkening, the seventh image, label 0 at 0.6, is read correctly.
    (evaluation,) = evaluated(Brighten(eps=0.15, by=-0.15)).results.evaluations
    # The fifth image, 0.55, breaks. The seventh is right now, at 0.45, but does not count.
    assert evaluation.attacks[0].accuracy == 5 / 8
    assert evaluation.attacks[0].fooling_ratio == 2 / 8


@plugin
class Mend(Brighten):
    """The same, declared as corrective."""

    corrective = True


def test_a_corrective_attack_is_judged_by_the_images_right_afterwards_and_leaves_the_worst_case():
    # Darkening by 0.15 mends the seventh image and breaks the fifth, at 0.55.
    (evaluation,) = evaluated(Mend(eps=0.15, by=-0.15), Brighten(eps=0, by=0)).results.evaluations
    mended, nothing = evaluation.attacks
    assert mended.accuracy == 6 / 8
    assert mended.success_rate == 1 / 2  # of the two misread ones
    assert mended.distance["linf"].mean == pytest.approx(0.15)
    assert evaluation.worst_case.accuracy == nothing.accuracy == 6 / 8


def test_distances_are_over_successful_attacks_only():
    (evaluation,) = evaluated(Brighten(eps=0.1, by=0.1)).results.evaluations
    distance = evaluation.attacks[0].distance
    assert set(distance) == {"l0", "l1", "l2", "linf"}
    assert distance["linf"].mean == pytest.approx(0.1)
    assert distance["l2"].median == pytest.approx(0.2)
    assert distance["l0"].mean == 4
    (none,) = evaluated(Brighten(eps=0.0, by=0.0), limit=6).results.evaluations
    assert none.attacks[0].distance["l2"].mean is None
    assert none.attacks[0].success_rate == 0


@plugin
class BrightenTheRight(Brighten):
    """Leaves misread images alone, as minimum-norm attacks do."""

    def __call__(self, classifier, images, labels, *, seed):
        right = tf.argmax(classifier(images), 1) == labels
        brighter = super().__call__(classifier, images, labels, seed=seed)
        return tf.where(right[:, None, None, None], brighter, images)


def test_images_that_were_wrong_before_have_no_part_in_distances():
    (evaluation,) = evaluated(BrightenTheRight(eps=0.1, by=0.1)).results.evaluations
    assert evaluation.attacks[0].success_rate == 2 / 6
    assert evaluation.attacks[0].distance["linf"].mean == pytest.approx(0.1)


def test_violations_are_counted_and_fail():
    (evaluation,) = evaluated(Brighten(eps=0.05, by=0.1)).results.evaluations
    assert evaluation.attacks[0].violations == 8
    assert evaluation.attacks[0].accuracy == evaluation.clean.accuracy
    assert evaluation.attacks[0].success_rate == 0


def test_an_attack_that_returns_no_numbers_is_counted_and_fails():
    (evaluation,) = evaluated(NoNumbers(eps=0.5)).results.evaluations
    assert evaluation.attacks[0].violations == 8
    assert evaluation.attacks[0].accuracy == evaluation.clean.accuracy


def test_the_worst_case_counts_an_image_as_right_only_if_every_attack_failed():
    up, down = Brighten(eps=0.06, by=0.06), Brighten(eps=0.06, by=-0.06)
    evaluations = evaluated(up, down).results.evaluations
    assert [attack.accuracy for attack in evaluations[0].attacks] == [4 / 8, 5 / 8]
    assert evaluations[0].worst_case.accuracy == 3 / 8


def test_the_worst_case_by_budget_takes_the_attacks_of_a_norm_within_each_budget():
    attacks = [Brighten(eps=eps, by=by) for eps, by in ((0.03, 0.03), (0.03, -0.03), (0.1, 0.06))]
    (evaluation,) = evaluated(*attacks).results.evaluations
    by_budget = [
        (worst_case.norm, worst_case.eps, worst_case.accuracy)
        for worst_case in evaluation.worst_case_by_budget
    ]
    assert by_budget == [("linf", 0.03, 5 / 8), ("linf", 0.1, 4 / 8)]
    assert evaluation.worst_case.accuracy == min(accuracy for *_, accuracy in by_budget)


def test_a_single_budget_has_no_curve():
    (evaluation,) = evaluated(Brighten(eps=0.1, by=0.1)).results.evaluations
    assert evaluation.worst_case_by_budget == []


def test_targeted_success_is_reaching_the_target():
    attack = Brighten(eps=0.1, by=0.1, targeted=True)
    (evaluation,) = evaluated(attack, targets="next").results.evaluations
    # The third and fourth become bright; the images of label 1 would have to become dark.
    assert evaluation.attacks[0].success_rate == 2 / 6
    assert evaluation.attacks[0].threat.targeted


def test_a_minimum_norm_attack_at_several_budgets_is_crafted_once():
    global RUNS  # noqa: PLW0603
    RUNS = 0
    attacks = [Nearest(eps=eps) for eps in (0.0, 0.06, 0.25, None)]
    (evaluation,) = evaluated(*attacks).results.evaluations
    assert RUNS == 1
    assert [attack.accuracy for attack in evaluation.attacks] == [6 / 8, 3 / 8, 1 / 8, 0.0]
    assert [attack.params["eps"] for attack in evaluation.attacks] == [0.0, 0.06, 0.25, None]
    assert all(attack.violations == 0 for attack in evaluation.attacks)


def test_crafted_on_another_classifier_is_judged_by_this_one():
    surrogate = LinearClassifier((2, 2, 1), 2)
    own, transferred = (
        evaluated(create("attacks", "fgsm", eps=0.1), crafted_on=on).results.evaluations[0]
        for on in (None, ("linear", surrogate))
    )
    assert own.attacks[0].crafted_on is None
    assert transferred.attacks[0].crafted_on == "linear"
    assert transferred.classifier.name == "greys"
    assert own.attacks[0].accuracy <= transferred.attacks[0].accuracy
    assert transferred.attacks[0].gradients_per_image == 1


@pytest.mark.parametrize("stops", [True, False])
def test_a_transferred_attack_that_stops_at_the_other_border_is_told(stops):
    attack = create("attacks", "pgd", eps=0.1, steps=2, early_stop=stops)
    surrogate = LinearClassifier((2, 2, 1), 2)
    own, transferred = (
        evaluated(attack, crafted_on=on).results.evaluations[0].warnings
        for on in (None, ("linear", surrogate))
    )
    remedy = "-p pgd.early_stop=false"
    assert [remedy in line for line in transferred] == [True] * stops
    assert not any(remedy in line for line in own)


@plugin
class MeanDetector(Detector):
    """Suspects what is far from the clean images' mean brightness, in the attack's direction."""

    def fit(self, classifier, clean, adversarial):
        direction = np.sign(adversarial.mean() - clean.mean())

        class Fitted(FittedDetector):
            eager = True

            def score(self, images, outputs=None):
                return direction * images.mean((1, 2, 3))

        return Fitted()


def test_a_detector_also_has_figures_over_the_images_that_fooled():
    run = evaluated(Brighten(eps=0.2, by=0.11), detectors=[MeanDetector()])
    (detector,) = run.results.evaluations[0].detectors
    # 0.45 → 0.56 and 0.48 → 0.59 fool. Of the clean images, 0.6 and 0.7 look brighter.
    assert (detector.attacked, detector.fooled.images) == (8, 2)
    assert detector.fooled.auroc == 6 / 8
    assert detector.auroc == pytest.approx(np.mean([
        (value + 0.11 > clean) for value in CLEAN for clean in CLEAN
    ]))  # fmt: skip
    assert detector.fooled.adversarial.mean == pytest.approx(0.575, abs=1e-6)
    clean, fooling = (np.array(values) > detector.threshold for values in (CLEAN, [0.56, 0.59]))
    assert detector.fooled.accuracy == pytest.approx(((1 - clean.mean()) + fooling.mean()) / 2)
    assert detector.fitted_on.model_dump() == {
        "clean": 8, "adversarial": 8, "fooling": 2, "only_fooling": False,
    }  # fmt: skip


def test_an_attack_that_fools_with_no_image_has_no_figures_over_fooling_images():
    (evaluation,) = evaluated(Brighten(by=0.0), detectors=[MeanDetector()]).results.evaluations
    assert evaluation.detectors[0].fooled.model_dump(exclude_none=True) == {"images": 0}


@pytest.mark.parametrize(("fooling", "learned"), [(ENOUGH, ENOUGH), (ENOUGH - 1, 50), (0, 50)])
def test_a_detector_learns_from_the_images_that_fooled_if_they_are_enough(fooling, learned):
    clean = np.zeros((50, 2, 2, 1), np.float32)
    attacked = np.arange(50, dtype=np.float32)[:, None, None, None] + clean
    images = FittingImages(clean, attacked, np.arange(50) >= 50 - fooling)
    seen = []

    class Looking(Detector):
        def fit(self, classifier, clean, adversarial):
            seen.extend([clean, adversarial])
            return FittedDetector()

    fitted_on(images, Looking(), Brightness())
    np.testing.assert_array_equal(seen[0], clean)
    np.testing.assert_array_equal(seen[1], attacked[50 - learned :])
    assert images.record.model_dump() == {
        "clean": 50, "adversarial": learned, "fooling": fooling, "only_fooling": learned < 50,
    }  # fmt: skip


def test_detectors_are_fitted_and_judged_for_every_attack():
    attacks = [Brighten(eps=0.9, by=0.9), Brighten(eps=0.0, by=0.0)]
    (evaluation,) = evaluated(*attacks, detectors=[MeanDetector()]).results.evaluations
    assert [detector.attack for detector in evaluation.detectors] == ["brighten", "brighten"]
    assert evaluation.detectors[0].auroc == 1.0
    assert evaluation.detectors[0].tpr_at_5_fpr == 1.0
    assert evaluation.detectors[1].auroc == 0.5
    assert evaluation.detectors[0].name == "mean_detector"
    assert [detector.accuracy for detector in evaluation.detectors] == [1.0, 0.5]
    assert evaluation.detectors[0].adversarial.mean > evaluation.detectors[0].clean.mean


def test_a_classifier_made_for_other_images_or_classes_is_refused():
    with pytest.raises(ClassifierError, match=r"x does not fit.*images: expected \(2, 2, 1\)"):
        evaluate({"x": LinearClassifier((3, 2, 1), 2)}, Greys(), [])
    with pytest.raises(ClassifierError, match=r"classes: expected 2; received: 5"):
        evaluate({"x": LinearClassifier((2, 2, 1), 5)}, Greys(), [])
    with pytest.raises(UsageError, match=r"classifiers: expected one or more; received: none"):
        evaluate({}, Greys(), [])
    with pytest.raises(UsageError, match=r"limit: expected 1 or more; received: 0"):
        evaluated(limit=0)


def test_an_attack_that_mends_images_makes_a_run_that_is_read_again(tmp_path):
    classifier = small_classifier((4, 4, 1), 3)
    evaluated = evaluate(
        {"d1": classifier}, InMemory(), [create("attacks", "reverse_ifgsm", eps=0.3)], baselines=()
    )
    [result] = evaluated.results.evaluations[0].attacks
    assert result.corrective
    assert result.accuracy > evaluated.results.evaluations[0].clean.accuracy, "it mends some"
    write_run(tmp_path, evaluated)
    assert write_report(tmp_path).exists()


@pytest.mark.parametrize("channels", [2, 5])
def test_images_of_any_number_of_channels_make_a_report(channels, tmp_path):
    shape = (4, 4, channels)
    scenario, classifier = InMemory(shape=shape), small_classifier(shape)
    evaluated = evaluate(
        {"d1": classifier}, scenario, [create("attacks", "fgsm")], limit=8, baselines=()
    )
    write_run(tmp_path, evaluated)
    assert (tmp_path / "report.html").exists()

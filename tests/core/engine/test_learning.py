"""Attacks that learn first: what they learned is applied, saved and read again."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifier import Wrapped
from tfrobust.data.reading import arrays
from tfrobust.data.spooled import spooled
from tfrobust.engine.learning import learned, remembering
from tfrobust.engine.run import run_attack
from tfrobust.errors import StoreError, UsageError
from tfrobust.evaluation.curves.sweeps import at_budgets
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.learned_attacks import file_notes, keep_learned, learned_from
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.registry import create, name_of
from tfrobust.serving.learned_export import check_exportable, export_learned
from tfrobust.testing import LinearClassifier, grey_images


def fooled(classifier, images, labels, crafted):
    before = classifier(images).numpy().argmax(axis=1)
    return float((classifier(crafted).numpy().argmax(axis=1) != before).mean())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_perturbation_learned_on_training_images_fools_on_others(trained, digits, norm):
    eps = {"linf": 0.3, "l2": 2.4}[norm]
    attack = create("attacks", "uap", norm=norm, eps=eps, passes=5)
    ready = learned(attack, trained, digits["train"][0][:300], digits["train"][1][:300])
    images, labels = digits["test"]
    crafted = run_attack(ready, trained, images, labels).images
    noise = np.random.default_rng(0).choice([-1.0, 1.0], images.shape).astype(np.float32)
    noise *= eps / (1.0 if norm == "linf" else 8.0)
    noisy = np.clip(images + noise, 0, 1)
    assert fooled(trained, images, labels, crafted) > 0.3
    assert fooled(trained, images, labels, crafted) > 2 * fooled(trained, images, labels, noisy)


def test_the_same_change_is_made_to_every_image_as_far_as_the_box_allows(linear):
    classifier, images, labels = linear
    ready = learned(create("attacks", "uap", eps=0.05), classifier, images, labels)
    change = run_attack(ready, classifier, images, labels).images - images
    assert change == pytest.approx(np.broadcast_to(change[:1], change.shape), abs=1e-6)


def test_the_deepfool_method_fools_training_images_too(linear):
    classifier, images, labels = linear
    eps = 2.0 * float(classifier.least_perturbation(images, labels, "linf").max())
    attack = create("attacks", "uap", eps=eps, method="deepfool", batch_size=1, passes=3)
    crafted = run_attack(learned(attack, classifier, images, labels), classifier, images, labels)
    assert fooled(classifier, images, labels, crafted.images) > 0.3


def test_a_learned_perturbation_is_saved_once_and_read_again(linear, tmp_path):
    classifier, images, labels = linear
    attack = create("attacks", "uap", eps=0.1, file=tmp_path / "new" / "uap.npz")
    first = learned(attack, classifier, images, labels, seed=0)
    again = learned(attack, classifier, images[:1], labels[:1], seed=1)
    assert attack.file.exists()
    assert np.array_equal(first.arrays["perturbation"], again.arrays["perturbation"])
    assert first.gradients > 0 == again.gradients
    assert name_of(again) == "uap"


def test_a_remembered_perturbation_is_reused_and_its_cost_is_counted_again(linear, tmp_path):
    attack = create("attacks", "uap", eps=0.1)
    with remembering(tmp_path):
        first, again = learned(attack, *linear), learned(attack, *linear)
    assert np.array_equal(first.arrays["perturbation"], again.arrays["perturbation"])
    assert first.gradients == again.gradients > 0
    assert len(list(tmp_path.iterdir())) == 1
    learned(dataclasses.replace(attack, eps=0.2), *linear)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_remembered_perturbation_serves_only_the_same_attack_classifier_and_images(
    linear, tmp_path, monkeypatch
):
    classifier, images, labels = linear
    plugin = type(create("attacks", "uap"))
    times, plain = [], plugin.learn
    monkeypatch.setattr(
        plugin, "learn", lambda *args, **how: times.append(1) or plain(*args, **how)
    )
    attack = create("attacks", "uap", eps=0.1, passes=2)
    with remembering(tmp_path):
        learned(attack, *linear)
        for changed in ({"passes": 1}, {"loss": "ce"}, {"delta": 0.5}, {"batch_size": 7}):
            learned(dataclasses.replace(attack, **changed), *linear)
        learned(attack, *linear, seed=1)
        learned(attack, LinearClassifier(seed=1), images, labels)
        learned(attack, classifier, images[1:], labels[1:])
        assert len(times) == 8
        learned(dataclasses.replace(attack, region="foreground"), *linear)
        assert len(times) == 8


def test_learning_is_part_of_the_cost(linear):
    classifier, images, labels = linear
    crafted = run_attack(create("attacks", "uap", passes=2), classifier, images, labels)
    assert crafted.gradients >= len(images)


def test_a_perturbation_for_other_images_is_refused(linear, tmp_path):
    path = tmp_path / "uap.npz"
    attack = create("attacks", "uap", file=path)
    other = LinearClassifier((8, 8, 1))
    learned(attack, other, *grey_images(other))
    with pytest.raises(
        UsageError, match=r"uap: file: expected .* \(6, 5, 2\); received: \(8, 8, 1\)"
    ):
        run_attack(attack, *linear)


def test_a_file_without_the_purpose_of_its_perturbation_is_refused(linear, tmp_path):
    path = tmp_path / "uap.npz"
    attack = create("attacks", "uap", file=path)
    learned(attack, *linear)
    whole = read_arrays(path)
    for damage in ({"learned_for": np.asarray("[]")}, {"learned_for": np.zeros(3)}):
        write_arrays(path, whole | damage)
        with pytest.raises(UsageError, match=r"uap: file: .*uap\.npz, which does not tell"):
            run_attack(attack, *linear)
    write_arrays(path, {"perturbation": np.zeros((6, 5, 2), np.float32)})
    with pytest.raises(UsageError, match=r"uap: file: .*uap\.npz, which does not tell"):
        run_attack(attack, *linear)
    learned(create("attacks", "gap", passes=1, filters=2, blocks=0, file=tmp_path / "g"), *linear)
    with pytest.raises(UsageError, match=r"expected what uap has learned; received: .* which gap"):
        run_attack(create("attacks", "uap", file=tmp_path / "g"), *linear)


def test_a_perturbation_serves_only_the_ball_that_it_was_learned_for(linear, tmp_path):
    classifier, images, labels = linear
    attack = create("attacks", "uap", eps=0.02, file=tmp_path / "uap.npz")
    run_attack(attack, classifier, images, labels)
    with pytest.raises(
        UsageError, match=r"learned with eps=0\.02; expected eps=0\.3; give -p uap\.eps=0\.02"
    ):
        run_attack(dataclasses.replace(attack, eps=0.3), classifier, images, labels)


def test_a_file_says_on_which_classifier_and_with_which_options_it_was_learned(linear, tmp_path):
    classifier, images, labels = linear
    classifier = classifier.replace(source="saved_models/d1/1")
    attack = create("attacks", "uap", eps=0.1, passes=1, file=tmp_path / "uap.npz")
    new = f"uap: {attack.file} is not there: it is learned on d1, and written to it"
    assert file_notes([attack, create("attacks", "pgd")], {"d1": classifier}) == [new]
    learned(attack, classifier, images, labels)
    begin = f"uap: read from {attack.file}, learned on saved_models/d1/1"
    moved = LinearClassifier()  # the same weights elsewhere
    assert file_notes([attack], {"d1": classifier, "copy": moved}) == [begin]
    others = {"d1": classifier, "d2": LinearClassifier(seed=1), "d3": LinearClassifier(seed=2)}
    assert file_notes([attack], others) == [f"{begin}: another classifier than d2, d3"]
    other = dataclasses.replace(attack, passes=3, region="foreground")
    assert file_notes([other], {"d1": classifier}) == [f"{begin}; with passes=1 (here: 3)"]
    with pytest.raises(UsageError, match=r"expected eps=0\.2"):
        file_notes([dataclasses.replace(attack, eps=0.2)], others)


def test_a_random_classifier_is_identified_by_its_path(linear, tmp_path):
    class Random(Wrapped):
        def __call__(self, images):
            return self.inner(images) + tf.random.normal((self.num_classes,))

    here, there = (
        Random(linear[0], stochastic=True, source=f"saved_models/r/{version}") for version in (1, 2)
    )
    attack = create("attacks", "uap", passes=1, samples=2, file=tmp_path / "uap.npz")
    learned(attack, here, *linear[1:])
    (line,) = file_notes([attack], {"here": here, "there": there})
    assert line.endswith("learned on saved_models/r/1: another classifier than there")


def test_the_perturbation_of_each_classifier_is_kept_under_the_classifiers_name(
    trained, tmp_path, monkeypatch
):
    digits, named = create("scenarios", "digits"), create("attacks", "uap", file=tmp_path / "own")
    attack = create("attacks", "uap", eps=0.1, passes=1, training_images=50)
    other = LinearClassifier((8, 8, 1), 10)
    with remembering(tmp_path / "memory"):
        evaluate({"d": trained}, digits, at_budgets([attack], [0.1, 0.2]), limit=10)
        ready = learned_from(attack, trained, digits)
        monkeypatch.setattr(type(attack), "learn", None)  # it has been
        kept = at_budgets([attack], [0.1, 0.2])
        keep_learned(kept, {"saved/d:1": trained}, digits, tmp_path, seed=0)
        monkeypatch.undo()
        keep_learned([attack, named], {"e": other}, digits, tmp_path, seed=0)
    files = {path.name for path in tmp_path.glob("*.npz")}
    assert files == {"uap-0.1-saved-d-1.npz", "uap-0.2-saved-d-1.npz", "uap-e.npz"}
    again = dataclasses.replace(attack, file=tmp_path / "uap-0.1-saved-d-1.npz")
    read = learned(again, trained, *arrays(digits, "train", 5)).arrays["perturbation"]
    assert np.array_equal(read, ready.arrays["perturbation"])


def test_a_file_that_several_attacks_would_write_is_refused_before_anything_runs(trained, tmp_path):
    digits, path = create("scenarios", "digits"), tmp_path / "uap.npz"
    attack = create("attacks", "uap", file=path)
    budgets = at_budgets([attack], [0.1, 0.2])
    with pytest.raises(UsageError, match=r"uap: file: .* several classifiers or budgets"):
        evaluate({"d": trained}, digits, budgets, limit=10)
    with pytest.raises(UsageError, match=r"uap: file: .* several classifiers or budgets"):
        evaluate({"d": trained, "e": trained}, digits, [attack], limit=10)
    assert not path.exists()


def test_a_learned_perturbation_applies_to_a_classifier_without_gradients(linear, tmp_path):
    classifier, images, labels = linear
    attack = create("attacks", "uap", eps=0.1, file=tmp_path / "uap.npz")
    crafted = run_attack(attack, classifier, images, labels).images

    class Opaque(Wrapped):
        def __init__(self, inner):
            super().__init__(inner, differentiable=False)

        def __call__(self, images):
            return tf.stop_gradient(self.inner(images))

    assert np.array_equal(run_attack(attack, Opaque(classifier), images, labels).images, crafted)
    fresh = create("attacks", "uap", eps=0.1)
    with pytest.raises(UsageError, match="uap needs gradients"):
        run_attack(fresh, Opaque(classifier), images, labels)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_few_images_suffice_to_cross_the_ball(linear, norm):
    classifier, images, labels = linear
    ready = learned(
        create("attacks", "uap", eps=0.001, norm=norm), classifier, images[:3], labels[:3]
    )
    length = {"linf": np.abs, "l2": lambda v: np.sqrt(np.square(v).sum())}[norm]
    assert np.max(length(ready.arrays["perturbation"])) == pytest.approx(0.001, rel=1e-4)


def test_a_damaged_file_is_one_clear_line(linear, tmp_path):
    path = tmp_path / "uap.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(StoreError, match=r"uap\.npz"):
        run_attack(create("attacks", "uap", file=path), *linear)


def test_an_evaluation_learns_from_the_training_split(trained, monkeypatch):
    counts = []
    plugin = type(create("attacks", "uap"))
    plain = plugin.learn

    def watched(self, classifier, images, labels, **options):
        counts.append(len(images))
        return plain(self, classifier, images, labels, **options)

    monkeypatch.setattr(plugin, "learn", watched)
    attack = create("attacks", "uap", eps=0.2, training_images=120, passes=1)
    evaluation = evaluate({"d": trained}, create("scenarios", "digits"), [attack], limit=30)
    assert counts == [120]
    assert evaluation.results.evaluations[0].attacks[0].name == "uap"


@pytest.mark.parametrize("name", ["uap", "gap"])
def test_a_learned_perturbation_is_served_by_tensorflow_alone(linear, tmp_path, name):
    classifier, images, labels = linear
    options = {"gap": {"mode": "image", "filters": 2, "blocks": 1}}.get(name, {})
    ready = learned(create("attacks", name, eps=0.1, passes=1, **options), *linear)
    folder = export_learned(ready, classifier.image_shape, tmp_path / name / "1")
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    crafted = served(images=tf.constant(images))["adversarial"].numpy()
    expected = run_attack(ready, classifier, images, labels).images
    assert crafted == pytest.approx(expected, abs=1e-6)
    assert not np.array_equal(crafted, images)


def test_only_attacks_that_learned_for_all_pixels_are_exported(linear, tmp_path):
    with pytest.raises(UsageError, match=r"export: expected an attack that learns.*received: pgd"):
        check_exportable(create("attacks", "pgd"))
    ready = learned(create("attacks", "uap", passes=1), *linear)
    confined = dataclasses.replace(
        ready, wrapped=create("attacks", "uap", passes=1, region="foreground")
    )
    with pytest.raises(UsageError, match=r"uap: region: .*received: foreground"):
        export_learned(confined, (6, 5, 2), tmp_path / "1")
    assert not (tmp_path / "1").exists()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("uap", {"passes": 2}),
        ("uap", {"passes": 1, "method": "deepfool"}),
        pytest.param("gap", {"passes": 2, "filters": 2, "blocks": 0}, marks=pytest.mark.slow),
        ("gap", {"passes": 1, "filters": 2, "blocks": 0, "mode": "image", "loss": "least_likely"}),
    ],
)
@pytest.mark.parametrize("count", [120, pytest.param(300, marks=pytest.mark.slow)])
def test_images_on_disk_teach_what_the_same_ones_in_memory_teach(trained, count, name, options):
    scenario = create("scenarios", "digits")
    attack = create("attacks", name, eps=0.2, **options)
    read = {"memory": arrays, "disk": spooled}
    ready = {
        place: learned(attack, trained, *split(scenario, "train", count))
        for place, split in read.items()
    }
    for array, of_memory in ready["memory"].arrays.items():
        np.testing.assert_array_equal(ready["disk"].arrays[array], of_memory)
    assert ready["disk"].gradients == ready["memory"].gradients


def test_images_on_disk_have_the_name_of_the_same_ones_in_memory(trained, tmp_path, monkeypatch):
    scenario, attack = create("scenarios", "digits"), create("attacks", "uap", passes=1)
    with remembering(tmp_path):
        learned(attack, trained, *arrays(scenario, "train"))
        monkeypatch.setattr(type(attack), "learn", lambda *_, **__: pytest.fail("it learns again"))
        learned(attack, trained, *spooled(scenario, "train"))

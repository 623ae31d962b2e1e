"""The folder of a training in progress: what may be resumed, and what is removed."""

import contextlib
from typing import ClassVar

import numpy as np
import pytest

from helpers.interrupted_training import KilledError, Killer, store_run
from helpers.support import InMemory, small_classifier
from tfrobust import pipeline, store
from tfrobust.classifiers.identity import weights_digest
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.defense import Defense, Stage
from tfrobust.errors import StoreError, UsageError
from tfrobust.options import option, plugin
from tfrobust.pipeline.workspace import kept_work, occupied, plan_stamps
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier
from tfrobust.training.trainer import Trainer, TrainingOptions


def fine_tuned(root, classifier, *defenses, **how):
    """Train a finished network further through the pipeline, as `train --only` does."""
    deployed = pipeline.Deployed("base", classifier, known_as="base")
    defenses = [*defenses] or [create("defenses", "fine_tuning")]
    return store_run(root, model=deployed, defenses=defenses, epochs=3, **how)


def test_a_training_is_not_resumed_on_another_network_of_the_same_name(tmp_path):
    with pytest.raises(KilledError):
        fine_tuned(tmp_path, small_classifier(), callbacks=[Killer("batch_end", 2)])
    other = small_classifier()
    other.model.set_weights([weight + 0.1 for weight in other.model.get_weights()])
    with pytest.raises(UsageError, match=r"another configuration \(model\.weights_sha256: "):
        fine_tuned(tmp_path, other, resume=True)
    card = fine_tuned(tmp_path, small_classifier(), resume=True).card
    assert card.model["weights_sha256"] == weights_digest(small_classifier())


def test_a_training_that_begins_or_ends_changes_the_stamps_of_its_plans(tmp_path):
    home = tmp_path / "m1"
    seen = [plan_stamps(home)]
    for resume in (False, True):
        with contextlib.suppress(KilledError):
            callbacks = [] if resume else [Killer("batch_end", 2)]
            fine_tuned(tmp_path, small_classifier(), callbacks=callbacks, resume=resume)
        seen.append(plan_stamps(home))
    assert len(set(seen)) == 3


@plugin
class Choosy(Defense):
    """Writes a file, and refuses to go on."""

    stage: ClassVar[Stage] = Stage.FINE_TUNING
    epochs: int = option("before it refuses", default=0, ge=0)

    def apply(self, classifier, scenario, trainer):
        kept = kept_work(trainer.workspace)
        kept.mkdir(parents=True)
        (kept / "crafted.npz").touch()
        if self.epochs:
            trainer.altered(epochs=self.epochs).fit(classifier, scenario)
        raise UsageError("none of it will do")


def test_a_training_refused_before_its_first_epoch_leaves_nothing_behind(tmp_path):
    with pytest.raises(UsageError, match="none of it"):
        fine_tuned(tmp_path, small_classifier(), Choosy())
    assert not any(tmp_path.iterdir())


def test_a_training_refused_after_an_epoch_leaves_its_work(tmp_path):
    with pytest.raises(UsageError, match="none of it"):
        fine_tuned(tmp_path, small_classifier(), Choosy(epochs=1))
    assert (tmp_path / "m1.unfinished/kept/crafted.npz").exists()


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"steps": 2}, {"steps": 3}, r"\(defenses\.pgd_training\.steps: 2 then, 3 now\)"),
        (
            {"options": {"norm": "l2"}},
            {"options": {"norm": "linf"}},
            r"\(defenses\.pgd_training\.options\.norm: l2 then, linf now\)",
        ),
    ],
)
def test_a_resume_names_the_one_option_that_differs(before, now, words, tmp_path):
    def run(options, **more):
        return pipeline.train_and_store(
            create("models", "fully_connected", units=3),
            InMemory(images=48),
            "m1",
            Trainer(TrainingOptions(epochs=3, batch_size=12), **more),
            [create("defenses", "pgd_training", **({"steps": 2} | options))],
            resume=not more,
            root=tmp_path,
        )

    with pytest.raises(KilledError):
        run(before, callbacks=[Killer("batch_end", 1)])
    with pytest.raises(UsageError, match=words):
        run(now)


def test_of_two_defences_with_one_name_the_one_that_differs_is_named(tmp_path):
    def run(second, **more):
        both = [create("defenses", "fine_tuning", epochs=epochs) for epochs in (3, second)]
        return fine_tuned(tmp_path, small_classifier(), *both, **more)

    with pytest.raises(KilledError):
        run(2, callbacks=[Killer("batch_end", 2)])
    with pytest.raises(UsageError, match=r"\(defenses\.fine_tuning \(2\)\.epochs: 2 then, 4 now"):
        run(4, resume=True)


def test_a_network_is_identified_by_its_weights_and_not_by_its_path(tmp_path):
    classifier = small_classifier()
    store.export(classifier, tmp_path / "m1/1")
    served = store.load(tmp_path / "m1/1")
    assert weights_digest(classifier) == weights_digest(KerasClassifier(classifier.model))
    assert weights_digest(served) == weights_digest(store.load(tmp_path / "m1/1"))
    changed = small_classifier()
    changed.model.set_weights([np.roll(weight, 1) for weight in changed.model.get_weights()])
    assert weights_digest(changed) != weights_digest(classifier)
    assert weights_digest(LinearClassifier()) is None  # a plain function


@pytest.mark.parametrize("kind", ["training", "unfinished"])
def test_a_classifier_where_trainings_are_kept_is_neither_removed_nor_made(kind, tmp_path):
    home = tmp_path / f"m1.{kind}"
    (home / "1").mkdir(parents=True)
    (home / "1" / "saved_model.pb").touch()
    refusal = pytest.raises(StoreError, match=f"m1.{kind}: a classifier lies where")
    with refusal, occupied(tmp_path / "m1"):
        pass
    assert (home / "1" / "saved_model.pb").exists()
    with pytest.raises(UsageError, match="where trainings are kept"):
        store.export(LinearClassifier(), tmp_path / f"m2.{kind}" / "1")
    assert not (tmp_path / f"m2.{kind}").exists()

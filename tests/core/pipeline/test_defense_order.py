"""The order of defences: impossible pairs of bundled ones are refused before any training."""

import functools
import re

import pytest

from helpers.support import REPO, InMemory, small_classifier
from tfrobust.classifier import AppliedDefense
from tfrobust.defense import Defended, Defense, Stage
from tfrobust.errors import UsageError
from tfrobust.options import plugin
from tfrobust.pipeline.build import defended, train
from tfrobust.pipeline.defense_order import check_order, conflict, right_order
from tfrobust.pipeline.deployed import Deployed
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create, entries
from tfrobust.training.trainer import Trainer, TrainingOptions

VARIANTS = {
    "retraining start=scratch": {"start": "scratch"},
    "retraining fooling=drop": {"fooling": "drop"},
    "contextual_fusion finetune=true": {"finetune": True},
}
EVERY = {entry.name: {} for entry in entries("defenses")} | VARIANTS
DOCS = REPO / "docs" / "training.md"


@functools.cache
def built(called):
    return create("defenses", called.split()[0], **EVERY[called])


def test_the_table_of_the_docs_is_that_of_the_code():
    text = DOCS.read_text()
    rows = re.findall(r"^\| (`.+?) \| (.+?) \|$", text.partition("| refused after |")[2], re.M)
    documented, same = set(), set()
    for laters, firsts in rows:
        named = set(EVERY) if firsts == "every defence" else set(re.findall(r"`(.+?)`", firsts))
        same = named | (same if firsts.startswith("the same") else set())
        documented |= {(first, later) for first in same for later in re.findall(r"`(.+?)`", laters)}
    conflicting = {(a, b) for a in EVERY for b in EVERY if conflict(built(a), built(b))}
    assert documented == conflicting
    listed = [later for laters, _ in rows for later in re.findall(r"`(.+?)`", laters)]
    assert sorted(listed) == sorted(EVERY)


@pytest.mark.parametrize("first", EVERY)
def test_the_order_that_a_refusal_names_is_accepted(first):
    for later in EVERY:
        pair = [built(first), built(later)]
        if not conflict(*pair):
            check_order(pair)
            continue
        with pytest.raises(UsageError, match="cannot follow") as refusal:
            check_order(pair)
        advice = re.findall(r"--defense (\w+)", str(refusal.value))
        names = [called.split()[0] for called in (first, later)]
        assert "\n" not in str(refusal.value)
        if advice:
            assert advice == names[::-1]
            check_order(pair[::-1])
        else:
            assert str(refusal.value).endswith("leave one of them out")
            assert conflict(*pair[::-1])


def test_the_right_order_of_many_defences_changes_only_what_it_must():
    names = ["mc_dropout", "deep_compression", "trades", "fine_tuning", "calibrater"]
    ordered = right_order([built(name) for name in names])
    assert [type(defense).__name__ for defense in ordered] == [
        "Trades", "FineTuning", "DeepCompression", "McDropout", "Calibrater",
    ]  # fmt: skip
    check_order(ordered)


class Untrained(Trainer):
    """A trainer that must not be called."""

    def fit(self, *_, **__):
        pytest.fail("it was trained before it was refused")


@pytest.mark.parametrize(
    ("names", "options", "why"),
    [
        (["mc_dropout", "pgd_training"], {"rate": 0.5}, "wraps the network that pgd_training"),
        (["deep_compression", "pgd_training"], {}, "pgd_training undoes: it changes the weights"),
        (["deep_compression", "fine_tuning"], {}, "fine_tuning undoes: it changes the weights"),
        (["calibrater", "deep_compression"], {}, "network that deep_compression needs unwrapped"),
    ],
    ids=" ".join,
)
def test_an_impossible_chain_is_refused_before_any_training(names, options, why, tmp_path):
    first, later = create("defenses", names[0], **options), create("defenses", names[1])
    advice = f"give --defense {names[1]} --defense {names[0]}"
    given = create("models", "lenet"), InMemory(shape=(8, 8, 1)), "m", Untrained()
    with pytest.raises(UsageError, match=rf"{why}.*; {advice}$"):
        train_and_store(*given, [first, later], root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_compressed_network_that_is_stored_is_not_trained_further_and_keeps_its_size(tmp_path):
    data, trainer = InMemory(), Trainer(TrainingOptions(epochs=1, batch_size=16))
    few = create("defenses", "deep_compression", prune_epochs=0, tune_epochs=0)
    model = create("models", "fully_connected", units=4)
    train_and_store(model, data, "small", trainer, [few], root=tmp_path)
    network = stored_network("small", tmp_path)
    tuning = create("defenses", "fine_tuning")
    with pytest.raises(UsageError, match=r"carries; .* fine_tuning, which changes the weights;"):
        train(Deployed("small", network), data, Untrained(), [tuning])
    assert network.megabytes is not None
    # What it advises: further training first, and compression afterwards.
    whole = train(model, data, trainer)
    again = defended(train(Deployed("m", whole), data, trainer, [tuning]), [few], data, trainer)
    assert [defense.name for defense in again.defenses] == ["fine_tuning", "deep_compression"]
    assert again.megabytes == pytest.approx(network.megabytes, rel=0.2)


def test_a_size_that_was_recorded_does_not_outlive_the_weights(tmp_path):
    few = create("defenses", "deep_compression", prune_epochs=0, tune_epochs=0)
    data, trainer = InMemory(), Trainer(TrainingOptions(epochs=1, batch_size=16))
    compressed = few.apply(small_classifier(), data, trainer).classifier
    assert compressed.megabytes is not None
    create("defenses", "pgd_training", steps=1).apply(compressed, data, trainer)
    assert compressed.megabytes is None


def test_a_defence_does_not_wrap_a_classifier_twice():
    carried = [AppliedDefense("mc_dropout", {"samples": 5, "rate": 0.5})]
    with pytest.raises(UsageError, match="already wraps it; leave it out"):
        check_order([create("defenses", "mc_dropout")], carried)
    check_order([create("defenses", "calibrater")], carried)
    check_order([create("defenses", "mc_dropout")], [AppliedDefense("gone", {"nobody": "knows"})])


@pytest.mark.parametrize(
    ("first", "later", "advice"),
    [
        ("pgd_training", "retraining start=scratch",
         "train a new model, with --defense retraining --defense pgd_training"),
        ("deep_compression", "fine_tuning",
         "apply fine_tuning to the network as it was before deep_compression, and "
         "deep_compression to what comes out"),
        ("deep_compression", "deep_compression",
         "apply deep_compression to the network as it was before deep_compression"),
    ],
)  # fmt: skip
def test_a_defence_that_would_undo_a_carried_one_is_refused_with_the_way_to_have_both(
    first, later, advice
):
    name, options = first.split()[0], EVERY[first]
    with pytest.raises(UsageError, match="which the classifier carries") as refusal:
        check_order([built(later)], [AppliedDefense(name, options)])
    assert str(refusal.value).endswith(advice)
    check_order([built(later)])  # on a network as it was before
    if " and " in advice or "new model" in advice:
        check_order([built(later), built(first)])
        check_order([built(first)], [AppliedDefense(later.split()[0], EVERY[later])])


def test_a_third_party_defence_that_declares_nothing_may_stand_anywhere():
    @plugin
    class Training(Defense):
        """Trains, and declares nothing else."""

        stage = Stage.TRAINING

        def apply(self, classifier, scenario, trainer):
            return Defended(classifier)

    @plugin
    class Wrapping(Training):
        """Wraps, and declares nothing else."""

        stage = Stage.INFERENCE

    check_order([Training(), create("defenses", "deep_compression"), Wrapping(), Wrapping()])
    check_order([Training(), create("defenses", "fine_tuning"), Wrapping()])
    with pytest.raises(UsageError, match="training cannot follow wrapping, which wraps"):
        check_order([Wrapping(), Training()])
    with pytest.raises(UsageError, match="training undoes: it changes the weights"):
        check_order([create("defenses", "deep_compression"), Training()])


@pytest.mark.parametrize(
    ("stage", "changes", "needs", "wraps", "fits"),
    [
        (Stage.TRAINING, {"weights"}, {"network"}, False, True),
        (Stage.FINE_TUNING, {"weights"}, {"network"}, False, True),
        (Stage.AUXILIARY, {"input"}, set(), True, True),
        (Stage.INFERENCE, {"head", "input", "randomness"}, set(), True, False),
    ],
)
def test_undeclared_traits_of_a_defence_follow_from_its_stage(stage, changes, needs, wraps, fits):
    class Staged(Defense):
        def apply(self, classifier, scenario, trainer):
            return Defended(classifier)

    Staged.stage = stage
    defense = Staged()
    assert (defense.changes, defense.needs) == (changes, needs)
    assert (defense.wraps, defense.fits) == (wraps, fits)
    assert defense.undone_by is None

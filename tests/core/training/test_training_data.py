"""Training images: a held-out share, their order, and images that the contract refuses."""

import numpy as np
import pytest

from helpers.support import InMemory
from tfrobust.data.names import open_scenario
from tfrobust.errors import DataError
from tfrobust.registry import create
from tfrobust.training.data import TrainingData
from tfrobust.training.trainer import TrainingOptions


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25])
def test_the_validation_share_is_held_out_and_never_trained_on(share):
    data = TrainingData(InMemory(images=40), TrainingOptions(validation=share, batch_size=4))
    trained = [i for epoch in range(3) for *_, ids in data.epoch(epoch) for i in ids.numpy()]
    held_out = [i for *_, ids in data.validation or () for i in ids.numpy()]
    assert len(held_out) == len(set(held_out)) == int(40 * share)
    assert set(trained) | set(held_out) == set(range(40))
    assert not set(trained) & set(held_out)


def test_each_epoch_has_an_order_of_its_own_that_depends_on_the_seed_alone():
    def order(seed, epoch):
        data = TrainingData(InMemory(images=30), TrainingOptions(seed=seed, batch_size=4))
        return [i for *_, ids in data.epoch(epoch) for i in ids.numpy()]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_images_kept_in_memory_come_in_the_order_of_images_that_are_read_again(share, monkeypatch):
    def batches():
        data = TrainingData(InMemory(images=30), TrainingOptions(validation=share, batch_size=4))
        return [batch for epoch in range(2) for batch in data.epoch(epoch)]

    kept = batches()
    monkeypatch.setattr("tfrobust.training.data._CACHED", 0)
    read = batches()
    assert len(kept) == len(read) == 2 * (int(30 * (1 - share)) // 4)
    for one, other in zip(kept, read, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(("kept", "images"), [(1 << 30, 20_000), (100 * 64, 100), (0, 32)])
def test_the_shuffle_buffer_is_bounded_in_bytes(kept, images, monkeypatch):
    """An image of 4×4×1 float32 takes 64 bytes; eight batches are held in any case."""
    monkeypatch.setattr("tfrobust.training.data._CACHED", kept)
    data = TrainingData(InMemory(images=200), TrainingOptions(validation=0, batch_size=4))
    assert data._buffer == images
    assert len({int(i) for *_, ids in data.epoch(0) for i in ids.numpy()}) == 200


def test_a_validation_split_of_the_scenario_is_used_where_there_is_one():
    scenario = InMemory(images=20, with_validation=True)
    data = TrainingData(scenario, TrainingOptions(validation=0.5))
    assert data.steps * 20 >= 20
    assert sum(len(ids) for *_, ids in data.validation) == 20


def test_training_images_out_of_the_contract_are_refused(npz):
    wrong = npz(images=np.full((9, 4, 4, 1), 2, np.float32), labels=np.arange(9) % 3)
    with pytest.raises(DataError, match=r"values in \[0, 1\]; received: 2.0"):
        TrainingData(create("scenarios", "arrays", path=wrong), TrainingOptions())


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_batches_gathered_from_memory_are_those_that_are_read_ahead(share):
    data = TrainingData(InMemory(images=30), TrainingOptions(validation=share, batch_size=4))
    assert data.gathers
    for number in range(2):
        gathered, read = list(data.gathered(number)), list(data.epoch(number))
        assert len(gathered) == len(read) == data.steps
        for (*batch, real), same in zip(gathered, read, strict=True):
            assert real.numpy().tolist() == [1.0] * 4
            for mine, theirs in zip(batch, same, strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_images_under_a_shift_or_beyond_memory_are_read_ahead(monkeypatch):
    """A shift changes them in each epoch, while the device trains."""
    options = TrainingOptions(batch_size=4)
    assert not TrainingData(open_scenario("digits+b2"), options).gathers
    monkeypatch.setattr("tfrobust.training.data._CACHED", 0)
    assert not TrainingData(InMemory(images=30), options).gathers

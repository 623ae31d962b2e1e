"""Every scenario can be read at another size, in grey or in colour."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory
from tfrobust.data.names import Framed, Framing, framed, open_scenario, options_of, scenario_record
from tfrobust.data.reading import arrays, arrays_of_rows
from tfrobust.data.shifted import Shifted
from tfrobust.errors import DataError, UsageError
from tfrobust.options import option, plugin
from tfrobust.registry import create, name_of
from tfrobust.testing import scenario_checks


@pytest.mark.parametrize("check", scenario_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "interpolation", [pytest.param("nearest", marks=pytest.mark.slow), "bilinear"]
)
def test_a_framed_scenario_keeps_the_contract(check, interpolation):
    check(framed("digits", {"size": 20, "channels": 3, "interpolation": interpolation}))


def test_twice_the_size_makes_every_pixel_a_block_of_four():
    small, labels = arrays(open_scenario("digits"), "test", 5)
    large, same = arrays(open_scenario("digits", {"digits": {"size": "16"}}), "test", 5)
    np.testing.assert_array_equal(large, small.repeat(2, axis=1).repeat(2, axis=2))
    np.testing.assert_array_equal(labels, same)


def test_shrinking_bilinearly_averages():
    options = {"size": 2, "interpolation": "bilinear"}
    base = InMemory(shape=(4, 4, 1))
    whole, _ = arrays(base, "test", 3)
    half, _ = arrays(Framed(base, Framing(**options)), "test", 3)
    expected = tf.image.resize(whole, (2, 2), "bilinear", antialias=True)
    np.testing.assert_allclose(half, expected, atol=1e-6)
    assert not np.allclose(half, tf.image.resize(whole, (2, 2), "bilinear"), atol=1e-3)


def test_grey_is_repeated_and_colour_becomes_luma():
    grey, _ = arrays(open_scenario("digits"), "test", 3)
    colour, _ = arrays(framed("digits", {"channels": "3"}), "test", 3)
    np.testing.assert_array_equal(colour, grey.repeat(3, axis=3))
    base = InMemory(shape=(3, 3, 3))
    whole, _ = arrays(base, "test", 3)
    luma, _ = arrays(Framed(base, Framing(channels=1)), "test", 3)
    np.testing.assert_allclose(luma[..., 0], whole @ [0.2989, 0.587, 0.114], atol=1e-3)


def test_records_name_the_scenario_with_all_its_options():
    scenario = open_scenario("digits", {"digits": {"size": 16}})
    assert name_of(scenario) == "digits"
    assert scenario_record(scenario)["params"]["size"] == 16
    assert scenario_record(open_scenario("digits")) == {"name": "digits", "params": {}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"digits: size: .*greater than or equal to 1; received: 0"),
        ({"size": 10**5}, r"digits: size: .*less than or equal to 4096"),
        ({"channels": 2}, r"digits: .*channels: expected 1 or 3; received: \{'channels': 2\}"),
        ({"sise": 8}, r"digits has no option 'sise'; did you mean 'size'\? \(it has: size, "),
        ({"interpolation": "cubic"}, r"digits: interpolation: .*'nearest' or 'bilinear'"),
    ],
)
def test_impossible_framings_cost_one_line(options, message):
    with pytest.raises(UsageError, match=message):
        open_scenario("digits", {"digits": options})


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_other_channels_are_not_turned_grey_or_to_colour(channels):
    with pytest.raises(UsageError, match=r"only grey and colour images .* images of 4 channels"):
        Framed(InMemory(shape=(3, 3, 4)), Framing(channels=channels))


@pytest.mark.parametrize("name", ["digits+", "digits+fog.", "digits+.3"])
def test_half_a_name_is_refused(name):
    with pytest.raises(UsageError, match=r"shift: expected NAME or NAME.SEVERITY"):
        open_scenario(name)


@plugin
class Sized(InMemory):
    """Has a size of its own."""

    size: int = option("its side", default=6, ge=2)


def test_an_option_of_the_scenario_itself_is_no_framing(monkeypatch):
    monkeypatch.setattr("tfrobust.registry.find", lambda kind, name: RegistryEntry)
    scenario = framed("sized", {"size": "5", "channels": "3"})
    assert (scenario.base.size, scenario.framing) == (5, Framing(channels=3))
    assert scenario.options["size"] == 5
    assert framed("sized", {"size": 5}) == Sized(size=5)
    names = [entry.name for entry in options_of("scenarios", Sized)]
    assert sorted(names) == sorted({*names, "size", "interpolation", "channels", "repeat"})
    with pytest.raises(UsageError, match=r"sized: size: .*greater than or equal to 2; received"):
        framed("sized", {"size": 1})


class RegistryEntry:
    """An entry of the registry that loads the scenario."""

    load = staticmethod(lambda: Sized)


@pytest.mark.parametrize("shift", ["b2", "fog"])
def test_boxes_are_dropped_where_a_shift_may_move_their_objects(shift):
    scenario = Shifted(create("scenarios", "digits_in_places"), create("shifts", shift))
    example = next(iter(scenario.load("test")))
    assert ("boxes" in example) == (shift == "fog")
    assert {"image", "label"} <= set(example)


def test_a_repeated_split_goes_on_with_its_labels_and_its_shift_draws_on():
    once, labels = arrays(open_scenario("digits"), "test")
    repeated = open_scenario("digits", {"digits": {"repeat": "3"}})
    images, again = arrays(repeated, "test")
    assert repeated.count("test") == len(images) == 3 * len(once)
    np.testing.assert_array_equal(images, np.tile(once, (3, 1, 1, 1)))
    np.testing.assert_array_equal(again, np.tile(labels, 3))
    shifted, _ = arrays(Shifted(repeated, create("shifts", "gaussian_noise")), "test", 361)
    assert not np.array_equal(shifted[0], shifted[360])  # one image at two places


@pytest.mark.parametrize(
    "rows", [(0, 5), (358, 363), (100, 1000), (359, 720), (1000, 9999), (5, 5)]
)
def test_rows_of_a_repeated_split_are_those_of_its_passes(rows):
    start, stop = rows
    repeated = Framed(create("scenarios", "digits"), Framing(repeat=3))
    _, labels = arrays(repeated, "test")
    read = [int(e["label"]) for e in repeated.load_rows("test", start, stop).as_numpy_iterator()]
    np.testing.assert_array_equal(read, labels[start:stop])


def test_rows_far_into_a_repeated_split_are_read_without_what_lies_before():
    read = []

    class Noted(InMemory):
        def load(self, split):
            def note(example):
                tf.py_function(lambda: read.append(1), [], [])
                return example

            return super().load(split).map(note)

        def load_rows(self, split, start, stop):
            return super().load(split).skip(start).take(stop - start)

        def count(self, split):
            return 64

    far = Framed(Noted(), Framing(repeat=10**6)).load_rows("test", 63_999_990, 63_999_995)
    assert len(list(far)) == 5
    assert not read


def test_a_split_of_unknown_size_is_counted_before_it_is_repeated():
    class Filtered(InMemory):
        def load(self, split):
            return super().load(split).filter(lambda example: example["label"] > 0)

    once = [int(e["label"]) for e in Filtered().load("test").as_numpy_iterator()]
    repeated = Framed(Filtered(), Framing(repeat=2))
    rows = repeated.load_rows("test", len(once) - 1, len(once) + 1)
    assert [int(e["label"]) for e in rows] == [once[-1], once[0]]


@pytest.mark.parametrize("check", scenario_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("digits+rotation", marks=pytest.mark.slow),  # turns a batch at once
        pytest.param("digits+b2", marks=pytest.mark.slow),  # also at once, but takes far longer
        pytest.param("digits+fog", marks=pytest.mark.slow),
        "digits_in_places+fog",  # has boxes, and takes one image after the other
    ],
)
def test_a_shifted_repeated_scenario_keeps_the_contract(check, name):
    check(open_scenario(name, {name.partition("+")[0]: {"repeat": 2}}, seed=3))


def test_rows_are_read_into_memory_and_checked():
    scenario = create("scenarios", "digits")
    images, labels = arrays(scenario, "test")
    some, of = arrays_of_rows(scenario, "test", 350, 400)
    np.testing.assert_array_equal(some, images[350:])
    np.testing.assert_array_equal(of, labels[350:])
    with pytest.raises(DataError, match=r"split 'test' has no rows from 360 on"):
        arrays_of_rows(scenario, "test", 360, 361)
    with pytest.raises(UsageError, match=r"rows: expected 0 <= start < stop; received: 3 and 3"):
        arrays_of_rows(scenario, "test", 3, 3)
    with pytest.raises(UsageError, match=r"expected one of train, test; received: 'tset'"):
        arrays_of_rows(scenario, "tset", 0, 3)

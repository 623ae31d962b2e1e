"""A state dict that is damaged, of another network, or wants to run code costs one line."""

import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from helpers import torchvision_reference as reference
from helpers.files import torch_files as files
from tfrobust.errors import DataError
from tfrobust.registry import create

NARROW = 0.125
FORMATS = (files.zipped, files.legacy, files.safetensors, files.checkpoint_of_python_2)


@pytest.fixture(scope="module")
def state():
    """The state dict of a narrow ResNet-18."""
    return reference.random_state(reference.resnet_shapes(18, 5, width=NARROW))


@pytest.fixture
def refused(state, tmp_path):
    """Load a file into the narrow ResNet-18 and return the line that refuses it."""

    def call(path, classes=5):
        with pytest.raises(DataError) as error:
            create("models", "resnet18", weights=str(path), width=NARROW).build((8, 8, 3), classes)
        assert "\n" not in str(error.value)
        return str(error.value)

    return call


def test_missing_surplus_and_misshapen_tensors_are_named(state, tmp_path, refused):
    wrong = dict(state)
    del wrong["layer1.0.conv1.weight"], wrong["bn1.running_var"]
    wrong["extra.weight"] = wrong["bn1.bias"]
    wrong["layer2.0.bn1.weight"] = np.ones(3, np.float32)
    message = refused(files.zipped(tmp_path / "net.pth", wrong))
    assert "missing: bn1.running_var, layer1.0.conv1.weight;" in message
    assert "surplus: extra.weight;" in message
    assert "misshapen: layer2.0.bn1.weight (expected 16; received: 3)" in message
    assert "net.pth does not fit resnet18" in message


def test_long_lists_are_cut_and_counted(tmp_path, refused):
    message = refused(files.zipped(tmp_path / "net.pth", {"a": np.ones(2, np.float32)}))
    assert "conv1.weight" in message
    assert "and 96 more" in message
    assert len(message) < 500


def test_other_classes_are_refused_with_the_way_out(state, tmp_path, refused):
    path = files.zipped(tmp_path / "net.pth", state)
    message = refused(path, classes=7)
    assert "fc.weight (expected 7×64; received: 5×64)" in message
    assert "-p head=new" in message


def test_weights_that_are_no_numbers_are_refused(state, tmp_path, refused):
    wrong = state | {"bn1.bias": np.full(8, np.nan, np.float32)}
    assert "bn1.bias holds NaN or infinity" in refused(files.zipped(tmp_path / "a.pth", wrong))
    wrong = state | {"bn1.bias": np.zeros(8, np.int64)}
    assert "received: 8 of int64" in refused(files.zipped(tmp_path / "b.pth", wrong))


class Malicious:
    """A pickle of this runs a command when it is loaded plainly."""

    def __init__(self, touched):
        self._touched = touched

    def __reduce__(self):
        return os.system, (f"touch {self._touched}",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", ["plain", "zip", "legacy"])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not_run(
    form, protocol, tmp_path, refused
):
    touched, path = tmp_path / "touched", tmp_path / "net.pth"
    evil = pickle.dumps({"conv1.weight": Malicious(touched)}, protocol)
    if form == "plain":
        path.write_bytes(evil)
    elif form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/data.pkl", evil)
    else:
        written = files.legacy(path, {}, pickled=b"N").read_bytes()
        path.write_bytes(written.replace(files.START + b"N" + files.STOP, evil))
    message = refused(path)
    if form != "plain" or protocol > 1:  # older plain ones do not even look like a pickle
        assert f"wants to call {os.system.__module__}.system" in message
        assert "nothing of it was run" in message
    assert not touched.exists()
    pickle.loads(evil)  # noqa: S301 (it would have run)
    assert touched.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        files.called("builtins", "eval", files.text("1")),
        files.called("torch", "load", files.text("other.pth")),
        files.called("torch.storage", "_load_from_bytes", files.text("")),
        files.called("collections", "OrderedDict.fromkeys", files.text("")),
        files.called("numpy", "load", files.text("x")),
    ],
)
def test_no_name_but_a_tensors_is_called(pickled, tmp_path, refused):
    message = refused(files.zipped(tmp_path / "net.pth", {}, pickled=pickled))
    assert "wants to call" in message


VALUES = {"a": np.arange(6, dtype=np.float32)}


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ({"shape": (7,), "strides": (1,)}, "reaches beyond its storage of 6 numbers"),
        ({"shape": (2, 3), "strides": (4, 1)}, "reaches beyond"),
        ({"offset": 1}, "reaches beyond"),
        ({"offset": -1}, "offset -1"),
        ({"shape": (6,), "strides": (-1,)}, "strides (-1,)"),
        ({"shape": (10**9,), "strides": (0,)}, "reaches beyond"),
        ({"shape": (2, 3), "strides": (1,)}, "strides (1,)"),
        ({"count": 10**12}, "expected 4000000000000 bytes; received: 24"),
        ({"count": -1}, "says it holds -1 numbers"),
        ({"kind": "DoubleStorage"}, "expected 48 bytes; received: 24"),
        ({"kind": "UntypedStorage"}, "wants to call torch.UntypedStorage"),
    ],
)
def test_a_tensor_that_lies_about_its_storage_is_refused(lies, words, tmp_path, refused):
    pickled = files.ordered([("a", files.tensor(VALUES["a"], 0, **lies))])
    assert words in refused(files.zipped(tmp_path / "net.pth", VALUES, pickled=pickled))


@pytest.mark.parametrize(
    "altered",
    [
        {"shape": (20_000,), "strides": (1,)},  # would read memory behind the storage
        {"shape": (3 * 10**8,), "strides": (0,)},
        {"offset": 2**60},
        {"storage": 0},
    ],
)
def test_a_tensor_is_not_altered_once_it_was_checked(altered, tmp_path, refused):
    def spelled(value):
        return (
            files.sequence(*map(spelled, value)) if type(value) is tuple else files.integer(value)
        )

    state = files.mapping([(name, spelled(value)) for name, value in altered.items()])
    build = b"b"  # writes the attributes of the object before it
    pickled = files.ordered([("a", files.tensor(VALUES["a"], 0) + state + build)])
    message = refused(files.zipped(tmp_path / "net.pth", VALUES, pickled=pickled))
    assert "it alters a view after it was made" in message


@pytest.mark.parametrize("name", ["_rebuild_tensor_v2", "_rebuild_parameter"])
def test_the_replacements_of_pytorchs_functions_cannot_be_altered(name, tmp_path, refused):
    function = f"ctorch._utils\n{name}\n".encode()
    state = files.sequence(b"N", files.mapping([("__defaults__", files.sequence())]))
    pickled = function + state + b"b"
    message = refused(files.zipped(tmp_path / "net.pth", VALUES, pickled=pickled))
    assert "cannot be read as a state dict" in message


def test_a_value_that_would_take_hours_to_print_is_cut_in_the_message(tmp_path, refused):
    """Every level holds the one before twice, so the last prints 2⁶⁰ numbers."""
    nested = files.integer(1)
    for level in range(60):
        memo = bytes([level])
        nested += b"q" + memo + b"h" + memo + b"\x86"
    lies = files.called("torch._utils", "_rebuild_tensor", files.integer(0), nested, nested)
    for pickled in (lies, files.ordered([("a", nested)]), files.sequence(nested) + b"Q"):
        assert len(refused(files.zipped(tmp_path / "net.pth", VALUES, pickled=pickled))) < 400


def _doubled(levels):
    """Return the pickle of a tuple in which every level holds the one before twice."""
    nested = files.integer(1)
    for level in range(levels):
        memo = bytes([level])
        nested += b"q" + memo + b"h" + memo + b"\x86"
    return nested


@pytest.mark.parametrize("form", [files.zipped, files.legacy])
@pytest.mark.parametrize("place", ["key", "pairs", "kind", "tag", "set"])
def test_nested_tuples_that_would_be_hashed_for_ever_are_refused(place, form, tmp_path, refused):
    nested, one = _doubled(60), files.integer(1)
    pickled = {
        "key": files.mapping([]) + nested + one + b"s",
        "pairs": files.called(
            "collections", "OrderedDict", files.sequence(files.sequence(nested, one))
        ),
        "kind": files.sequence(files.text("storage"), nested, files.text("0"), one, one) + b"Q",
        "tag": files.sequence(nested, nested, files.text("0"), one, one) + b"Q",
        "set": b"(" + nested + b"\x91",
    }[place]
    message = refused(form(tmp_path / "net.pth", {}, pickled=pickled))
    assert "nests tuples with more than 1,000 leaves" in message


@pytest.mark.parametrize("key", ["../../secret", "/etc/passwd", "0/../1", "", "7"])
def test_a_storage_is_only_read_from_the_folder_of_storages(key, tmp_path, refused):
    pickled = files.ordered([("a", files.tensor(VALUES["a"], key))])
    members = {"secret": VALUES["a"].tobytes()}
    message = refused(files.zipped(tmp_path / "net.pth", VALUES, pickled=pickled, members=members))
    assert "not by a number" in message or "storage 7 is missing" in message


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, refused):
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", bytes(50_000_000))
    tracemalloc.start()
    message = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "larger than the file" in message
    assert peak < 30_000_000


def test_a_pickle_that_reserves_memory_is_refused(tmp_path, refused):
    pickled = b"Nr" + (2**31).to_bytes(4, "little")
    assert "places" in refused(files.zipped(tmp_path / "net.pth", {}, pickled=pickled))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected a .pth or .safetensors file"),
        (b"\x89PNG and so on", "expected a .pth or .safetensors file"),
        (b"PK\x03\x04 cut short", "cannot be read as a state dict"),
        (pickle.dumps({"a": 1}), "none that torch.save wrote"),
        (b"\x80\x02", "cannot be read as a state dict"),
        (b"\xff" * 8 + b"{", "cannot be read as a state dict"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(content, words, tmp_path, refused):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    assert words in refused(path)


@pytest.mark.parametrize("write", FORMATS)
def test_a_file_cut_short_anywhere_is_refused(write, tmp_path, refused):
    path = write(tmp_path / "net.pth", {"a": np.arange(40, dtype=np.float32)})
    whole = path.read_bytes()
    for length in range(1, len(whole), 7):
        path.write_bytes(whole[:length])
        refused(path)


def test_a_missing_file_costs_one_line(tmp_path, refused):
    assert "No such file" in refused(tmp_path / "none.pth")


def test_a_whole_network_instead_of_its_state_dict_is_refused(tmp_path, refused):
    message = refused(
        files.zipped(tmp_path / "net.pth", {}, pickled=files.mapping([("a", files.text("b"))]))
    )
    assert "save the network's state_dict() alone" in message

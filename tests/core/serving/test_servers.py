"""The server that is installed is started on one address; where there is none, one line says so."""

import shutil

import pytest
import tensorflow as tf

from helpers.support import small_classifier
from tfrobust import store
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.serving import servers


@pytest.fixture
def installed(monkeypatch):
    """Let only some commands succeed, by a word in them."""

    def install(*words):
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(servers, "_succeeds", lambda given: any(w in given for w in words))

    monkeypatch.delenv(servers.PYTHON, raising=False)
    return install


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of two versions."""
    home = tmp_path_factory.mktemp("served") / "digits"
    for version in ("1", "2"):
        store.export(small_classifier(), home / version)
    return home


def test_tensorflow_serving_in_docker_comes_first(home, installed):
    installed("inspect", "-c")
    command = servers.server_command(home, port=8001, grpc_port=8002)
    assert command.words[:3] == ("/usr/bin/docker", "run", "--rm")
    assert command.words[-3:] == ("--env", "MODEL_NAME=digits", "tensorflow/serving")
    assert "127.0.0.1:8001:8501" in command.words
    assert "127.0.0.1:8002:8500" in command.words
    assert f"type=bind,source={home},target=/models/digits,readonly" in command.words
    assert command.url == "http://127.0.0.1:8001/v1/models/digits"


def test_kserve_serves_the_newest_version_by_the_python_that_has_it(home, installed, monkeypatch):
    installed("-c")
    monkeypatch.setenv(servers.PYTHON, "python-of-kserve")
    words = servers.server_command(home).words
    assert words[:2] == ("/usr/bin/python-of-kserve", "-I")
    assert words[words.index("--model_dir") + 1] == str(home / "2")
    assert words[words.index("--host") + 1] == "127.0.0.1"


def test_where_nothing_is_installed_one_line_says_what_to_install(home, installed):
    installed()
    with pytest.raises(UsageError, match=r"no server is installed: .*docker pull.*pip install"):
        servers.server_command(home)


def test_what_has_no_versions_is_refused(tmp_path, home, monkeypatch):
    monkeypatch.setenv("TFROBUST_MODELS", str(home.parent))
    assert servers.served_folder("digits") == home
    with pytest.raises(UsageError, match=r"a folder of versions .*\(there are: digits\)"):
        servers.served_folder(str(home / "1"))


def test_a_saved_model_that_touches_files_is_served_only_if_it_is_trusted(tmp_path):
    spec = tf.TensorSpec((), tf.string)
    reads = tf.function(lambda path: {"read": tf.io.read_file(path)}, [spec])
    tf.saved_model.save(tf.Module(), str(tmp_path / "m" / "1"), {"serving_default": reads})
    with pytest.raises(ClassifierError, match=r"ReadFile.*use --trust"):
        servers.served_folder(str(tmp_path / "m"))
    assert servers.served_folder(str(tmp_path / "m"), trust=True) == tmp_path / "m"


@pytest.mark.parametrize(
    ("host", "place", "answers"),
    [("0.0.0.0", "0.0.0.0", "localhost"), ("::", "[::]", "localhost"), ("::1", "[::1]", "[::1]")],  # noqa: S104
)
def test_an_address_of_all_is_warned_of_and_one_of_ipv6_has_brackets(
    host, place, answers, home, installed
):
    installed("inspect")
    command = servers.server_command(home, host=host)
    assert f"{place}:8501:8501" in command.words
    assert command.url == f"http://{answers}:8501/v1/models/digits"
    assert bool(command.warning) == (answers == "localhost")


def test_a_python_without_tensorflow_is_no_server(home, installed, monkeypatch):
    installed()
    asked = []
    monkeypatch.setattr(servers, "_succeeds", lambda words: asked.append(words[-1]))
    with pytest.raises(UsageError, match="no server is installed"):
        servers.server_command(home)
    assert "'tensorflow'" in asked[-1]

"""Workers look where this process looks, whatever the environment of their machine says."""

from pathlib import Path

import pytest

from tfrobust.execution.worker_environment import worker_environment


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("TFROBUST_MODELS", "TFDS_DATA_DIR", "TFROBUST_UNPACK_LIMIT"):
        monkeypatch.delenv(name, raising=False)


def test_folders_are_absolute_since_a_worker_may_be_in_another(tmp_path, monkeypatch):
    monkeypatch.setenv("TFROBUST_MODELS", "models")
    monkeypatch.setenv("TFDS_DATA_DIR", "~/data")

    variables = worker_environment(1)

    assert variables["TFROBUST_MODELS"] == str(tmp_path / "models")
    assert variables["TFDS_DATA_DIR"] == str(Path.home() / "data")


def test_the_store_of_this_folder_is_that_of_workers(tmp_path):
    assert worker_environment(1)["TFROBUST_MODELS"] == str(tmp_path / "saved_models")


def test_an_address_of_data_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "gs://bucket/data")

    assert worker_environment(1)["TFDS_DATA_DIR"] == "gs://bucket/data"


def test_what_is_not_set_is_left_to_the_machine(monkeypatch):
    assert "TFDS_DATA_DIR" not in worker_environment(1)
    assert "TFROBUST_UNPACK_LIMIT" not in worker_environment(1)

    monkeypatch.setenv("TFROBUST_UNPACK_LIMIT", "8")
    assert worker_environment(1)["TFROBUST_UNPACK_LIMIT"] == "8"

"""Calls the command line in this process, so TensorFlow starts only once."""

import shutil
import sys
from typing import NamedTuple

import pytest

from tfrobust_cli import console
from tfrobust_cli.main import main


class Result(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def no_progress_lines(monkeypatch):
    """Print no progress, which a slow machine would also print, so stderr holds only messages."""
    monkeypatch.setattr(console, "_PATIENCE", float("inf"))


@pytest.fixture
def tfrobust(monkeypatch, capsys, request):
    """Call `tfrobust ARGUMENTS` and return exit code, stdout and stderr.

    Half a second of passes for signs of masked gradients is left out, unless a test is marked.
    """
    if request.node.get_closest_marker("looks_for_signs") is None:
        from tfrobust.results.findings import Signs

        nothing = Signs(findings=[])
        monkeypatch.setattr(
            "tfrobust.evaluation.warnings.signs.look_for_signs", lambda *_, **__: nothing
        )

    def call(*arguments) -> Result:
        monkeypatch.setattr(sys, "argv", ["tfrobust", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return Result(left.value.code or 0, printed.out, printed.err)

    return call


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFROBUST_MODELS", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def stored(tmp_path_factory, trained):
    """A store that holds one digits classifier, `d1`."""
    from tfrobust.store.models import export

    root = tmp_path_factory.mktemp("store")
    export(trained, root / "d1" / "1")
    return root


@pytest.fixture
def with_store(here, stored):
    """The folder to work in, and `d1` in its store."""
    shutil.copytree(stored, here / "saved_models")
    return here

"""Study files: where they are searched for, and where their results are kept."""

from pathlib import Path

import pytest

from helpers.support import REPO
from tfrobust.errors import UsageError
from tfrobust.study.schema import files
from tfrobust.study.schema.files import broken_studies, find_study, results_folder, studies

BUNDLED = REPO / "plugins/tfrobust_studies"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a package whose studies are copies of a bundled one, under these names."""

    def install(module, *names, text=None):
        folder = tmp_path / "site" / module
        folder.mkdir(parents=True)
        for name in names:
            bundled = (BUNDLED / "pixel-noise.toml").read_text()
            (folder / f"{name}.toml").write_text(text or bundled)
        info = tmp_path / "site" / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tfrobust.studies]\nany = {module}\n")
        monkeypatch.syspath_prepend(tmp_path / "site")
        return folder

    return install


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No test depends on the folder it is started in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_every_toml_file_beside_the_bundled_studies_is_one():
    assert studies() == {path.stem: path for path in sorted(BUNDLED.glob("*.toml"))}
    assert len(studies()) == 6
    assert broken_studies() == []


def test_in_a_checkout_the_results_are_those_that_are_committed():
    for path in studies().values():
        assert results_folder(path) == REPO / "studies/results"
        if (REPO / ".git").exists():  # an sdist has no results
            assert list((REPO / "studies/results" / path.stem).glob("*/*.json"))


def test_a_study_of_an_installed_package_keeps_its_results_here(package):
    folder = package("odd_studies", "mine")
    assert find_study("mine")[1] == folder / "mine.toml"
    assert results_folder(folder / "mine.toml") == Path("studies/results")


def test_a_study_in_a_folder_keeps_its_results_beside_it(tmp_path):
    assert results_folder(tmp_path / "mine.toml") == tmp_path / "results"


def test_a_study_in_the_current_folder_precedes_that_of_a_package(package):
    folder = package("odd_studies", "mine")
    Path("studies").mkdir()
    (folder / "mine.toml").rename("studies/mine.toml")
    (folder / "mine.toml").write_text("broken")
    assert find_study("mine")[1] == Path("studies/mine.toml")
    assert results_folder(Path("studies/mine.toml")) == Path("studies/results")


def test_one_of_two_studies_with_the_same_name_is_chosen_by_its_file(package):
    folder = package("odd_studies", "pixel-noise")
    with pytest.raises(UsageError, match=r"'pixel-noise': there are several; give the file"):
        find_study("pixel-noise")
    assert find_study(str(folder / "pixel-noise.toml"))[0].name == "pixel-noise"
    [line] = broken_studies()
    assert str(folder / "pixel-noise.toml") in line


def test_a_broken_study_is_named_and_the_others_work(package):
    package("odd_studies", "mine", text="title = ")
    [line] = broken_studies()
    assert "mine.toml: cannot be read" in line
    assert find_study("calibrater")[0].name == "calibrater"


@pytest.mark.parametrize("module", ["odd_absent", "odd.absent"])
def test_a_package_that_is_not_there_is_named(package, tmp_path, module):
    package("odd_studies")
    points = tmp_path / "site" / "odd_studies-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"[tfrobust.studies]\nany = {module}\n")
    assert broken_studies() == [f"odd_studies 1.0, entry point {module}: there is no such package"]
    assert "calibrater" in studies()


def test_finding_studies_imports_no_package_of_theirs(package):
    folder = package("odd_studies", "mine")
    (folder / "__init__.py").write_text("raise ImportError")
    assert "mine" in files.studies()

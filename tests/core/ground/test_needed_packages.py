"""`doctor` says which of the packages that are needed are missing, unfit or cannot be imported."""

import sys

import pytest

from tfrobust.environment import packages
from tfrobust.environment.packages import broken_packages, modules_of, needed_packages


def distribution(folder, name, version, *, code="", requires=()):
    """Write a distribution of one module, as pip would have installed it."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (info / "RECORD").write_text(f"{name}.py,,\n{name}-{version}.dist-info/METADATA,,\n")
    (folder / f"{name}.py").write_text(code)


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Return a function that installs packages and lists those that an owner cannot use."""

    def look(*requires, **code):
        distribution(tmp_path, "odd_owner", "1.0", requires=requires)
        for name, text in code.items():
            distribution(tmp_path, name, "2.5", code=text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(packages, "_OWNERS", ("odd_owner",))
        for name in code:
            monkeypatch.delitem(sys.modules, name, raising=False)
        return broken_packages()

    return look


def test_every_package_that_is_needed_imports():
    assert broken_packages() == []


def test_the_packages_that_are_needed_are_those_of_tfrobust_and_of_tensorflow_datasets():
    names = {requirement.name for requirement in needed_packages()}
    assert {"tensorflow", "larq", "cleverhans", "pyarrow", "array_record", "promise"} <= names
    assert not names & {"foolbox", "pytest"}, "extras are no dependencies"
    assert [name for name in names if not modules_of(name)] == []


@pytest.mark.parametrize(
    ("requirement", "code", "message"),
    [
        ("odd_absent>=1", {}, "odd_absent>=1: is not installed"),
        ("odd_old>=3", {"odd_old": ""}, "odd_old>=3: 2.5 is installed"),
        (
            "odd_arrow",
            {"odd_arrow": "raise ImportError('needs NumPy 2, found 1.26\\nTraceback')"},
            "odd_arrow 2.5 does not import: needs NumPy 2, found 1.26",
        ),
        ("odd_exit", {"odd_exit": "raise SystemExit('bye')"}, "odd_exit 2.5 does not import: bye"),
    ],
)
def test_a_package_that_does_not_work_costs_one_line(broken, requirement, code, message):
    assert broken(requirement, **code) == [message]


def test_packages_that_work_or_are_for_other_machines_cost_no_line(broken):
    elsewhere = 'odd_absent; python_version < "3"'
    assert broken("odd_fine>=2", elsewhere, 'odd_extra; extra == "dev"', odd_fine="") == []


def test_a_package_that_hides_its_own_failure_is_imported_inside(broken, monkeypatch):
    monkeypatch.setattr(packages, "_INSIDE", {"odd-calm": ["odd_inside"]})
    code = {"odd_calm": "", "odd_inside": "raise ImportError('too old')"}
    assert broken("odd_calm", **code) == ["odd_calm 2.5 does not import: too old"]

"""The built distributions hold every package and every file of the checkout."""

import configparser
import email
import itertools
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tfrobust
from helpers.support import REPO

INSTALLED_FROM = {"tfrobust": REPO, "cli": REPO / "cli", "plugins": REPO / "plugins"}
INFO = f"tfrobust-{tfrobust.__version__}.dist-info"


def sources() -> dict[str, str]:
    """Every file of the packages: its installed path → its path in the checkout."""
    return {
        path.relative_to(root).as_posix(): path.relative_to(REPO).as_posix()
        for folder, root in INSTALLED_FROM.items()
        for path in (REPO / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """An sdist, and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(REPO)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return out


@pytest.fixture(scope="module")
def wheel(built) -> zipfile.ZipFile:
    """The wheel, open."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        yield archive


def test_the_wheel_holds_every_file_of_every_package_and_nothing_else(wheel):
    packed = {name for name in wheel.namelist() if not name.startswith(INFO)}
    assert packed == set(sources())
    assert "tfrobust/py.typed" in packed
    assert {Path(name).suffix for name in packed} >= {".py", ".toml", ".j2", ".css"}
    assert f"{INFO}/licenses/LICENSE" in wheel.namelist()


def test_the_sdist_holds_the_packages_the_licence_the_pages_and_the_tests(built):
    sdist = next(built.glob("*.tar.gz"))
    assert sdist.stat().st_size < 2e6
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    here = "tests/test_distribution.py"
    wanted = {"LICENSE", "README.md", "pyproject.toml", "constraints.txt", "docs/studies.md", here}
    wanted |= {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md"}
    assert wanted | {"saved_models/README.md"} | set(sources().values()) <= packed


def test_every_entry_point_names_a_file_of_the_wheel(wheel):
    points = configparser.ConfigParser()
    points.optionxform = str
    points.read_string(wheel.read(f"{INFO}/entry_points.txt").decode())
    modules = [
        target.partition(":")[0].replace(".", "/")
        for group in points.sections()
        for target in points[group].values()
    ]
    assert len(modules) > 100
    names = set(wheel.namelist())
    assert [m for m in modules if not names & {f"{m}.py", f"{m}/__init__.py"}] == []
    assert dict(points["tfrobust.studies"]) == {"published": "tfrobust_studies"}


def test_the_metadata_names_version_authors_licence_and_pythons(wheel):
    metadata = email.message_from_bytes(wheel.read(f"{INFO}/METADATA"))
    assert metadata["Version"] == tfrobust.__version__
    assert metadata["Author"] == "The tfrobust authors"
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")
    assert set(metadata["Requires-Python"].split(",")) == {">=3.11", "<3.13"}
    assert "Typing :: Typed" in metadata.get_all("Classifier")


def test_every_dependency_is_pinned_within_its_bounds():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    lines = [line for line in (REPO / "constraints.txt").read_text().splitlines() if "==" in line]
    pins = {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}
    listed = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in map(Requirement, itertools.chain(*listed)):
        pinned = pins.get(canonicalize_name(requirement.name))
        assert pinned, f"{requirement.name} is not pinned"
        assert requirement.specifier.contains(pinned), f"{requirement} is pinned to {pinned}"

"""A wheel installed into a fresh environment, far from the checkout, as users install it."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import tfrobust
from helpers.support import REPO

pytestmark = pytest.mark.slow
STUDIES = sorted(path.stem for path in (REPO / "plugins/tfrobust_studies").glob("*.toml"))
OF_EXTRAS = {"huggingface": "datasets", "mlflow": "mlflow", "wandb": "wandb"}  # plugin → module
SECONDS = 1800


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A fresh environment with the wheel in it, and nothing of the checkout."""
    home = tmp_path_factory.mktemp("installed")
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", home / "dist", REPO)
    run(*build, cwd=home)
    run(sys.executable, "-m", "venv", home / "venv", cwd=home)
    [wheel] = (home / "dist").glob("*.whl")
    pins = ("-c", REPO / "constraints.txt")
    run(program(home, "python"), "-m", "pip", "install", "--quiet", *pins, wheel, cwd=home)
    return home


@pytest.fixture
def installed(home, tmp_path):
    """Call the installed `tfrobust ARGUMENTS` in an empty folder; return what it prints."""

    def call(*arguments: str) -> str:
        return run(program(home, "tfrobust"), *arguments, cwd=tmp_path)

    return call


def program(home: Path, name: str) -> Path:
    """Return a program of the environment."""
    places = {"base": str(home / "venv"), "platbase": str(home / "venv")}
    return Path(sysconfig.get_path("scripts", "venv", places)) / name


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that sees neither this checkout nor prepared data; expect success."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TFROBUST_")}
    kept |= {"TFDS_DATA_DIR": str(cwd / "no-data"), "PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd, env=kept, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def missing(home: Path) -> set[str]:
    """Return the plugins whose extra no package has brought into the environment."""
    find = (
        "from importlib.util import find_spec; import sys; print(*filter(find_spec, sys.argv[1:]))"
    )
    found = run(program(home, "python"), "-c", find, *OF_EXTRAS.values(), cwd=home).split()
    return {plugin for plugin, module in OF_EXTRAS.items() if module not in found}


def test_the_version_is_printed_without_tensorflow(installed, home, tmp_path):
    version = f"tfrobust {tfrobust.__version__}\n"
    assert installed("--version") == version
    module = (program(home, "python"), "-X", "importtime", "-m", "tfrobust_cli", "--version")
    done = subprocess.run(module, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == version
    assert " tensorflow\n" not in done.stderr


def test_nothing_is_broken_and_nothing_comes_from_the_checkout(installed, home):
    report = json.loads(installed("doctor", "--json"))
    assert report["packages"]["broken"] == report["plugins"]["broken"] == []
    assert report["studies"] == {"installed": STUDIES, "broken": []}
    entries = json.loads(installed("plugins", "--check", "--json"))
    assert len(entries) > 100
    lacking = {entry["name"] for entry in entries if entry["problem"]}
    assert lacking == missing(home)
    assert all(entry["installs"] for entry in entries if entry["name"] in lacking)
    where = "import tfrobust, tfrobust_cli, tfrobust_models as m; print(m.__file__)"
    assert str(home) in run(program(home, "python"), "-c", where, cwd=home)


def test_pip_finds_no_conflict(home):
    assert "No broken requirements" in run(program(home, "python"), "-m", "pip", "check", cwd=home)


def test_the_demo_trains_attacks_and_reports(installed, tmp_path):
    assert "worst case" in installed("demo")
    assert (tmp_path / "saved_models/demo-robust/1/saved_model.pb").exists()
    assert "<svg" in (tmp_path / "runs/demo/report.html").read_text()


def test_every_study_is_listed(installed):
    listed = json.loads(installed("study", "list", "--json"))
    assert sorted({line["study"] for line in listed}) == STUDIES


@pytest.mark.parametrize("study", STUDIES)
def test_the_smoke_scale_of_every_study_runs_without_a_dataset(installed, tmp_path, study):
    installed("study", "run", study, "--scale", "smoke", "--out", "out")
    assert (tmp_path / "out/report.html").exists()
    assert list((tmp_path / f"studies/results/{study}/smoke").glob("*.json"))
    assert not (tmp_path / "no-data").exists()

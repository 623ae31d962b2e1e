"""A third-party distribution joins, works and leaves, in a virtual environment of its own."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "tfrobust-example-plugin"
BROUGHT = {
    ("attacks", "brightness", "tfrobust_example_plugin.brightness:Brightness"),
    ("scenarios", "shapes", "tfrobust_example_plugin.shapes:Shapes"),
}
EVALUATE_AND_TEST = """
import sys
from pathlib import Path
import pytest
sys.path.append(sys.argv[1])
from helpers.quick import trace_quickly
from tfrobust import Trainer, create, evaluate
from tfrobust.pipeline.build import train
from tfrobust.training.trainer import TrainingOptions

trace_quickly()
shapes = create("scenarios", "shapes")
trainer = Trainer(TrainingOptions(epochs=8, batch_size=32))
classifier = train(create("models", "lenet"), shapes, trainer)
attacks = [create("attacks", "brightness", eps=eps) for eps in (0.0, 0.3)]
evaluated = evaluate({"s1": classifier}, shapes, attacks, baselines=())
Path("results.json").write_text(evaluated.results.to_json())
sys.exit(pytest.main(["-p", "no:cacheprovider", "tests"]))
"""


@pytest.fixture
def python(tmp_path: Path) -> str:
    """The interpreter of a fresh virtual environment that sees this one's packages.

    An editable install is a `.pth` file, which PYTHONPATH would not read; `addsitedir` does.
    """
    home = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    places = {"base": str(home), "platbase": str(home)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", places))
    outer = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    lines = [f"import site; site.addsitedir({folder!r})\n" for folder in outer]
    (site_packages / "outer.pth").write_text("".join(lines))
    return str(Path(sysconfig.get_path("scripts", "venv", places)) / "python")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the example, so that nothing is built or cached in the checkout."""
    ignored = shutil.ignore_patterns("__pycache__", ".*", "build", "dist")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "sources", ignore=ignored))


def run(*command: str | Path, cwd: Path | None = None, timeout: float = 120) -> str:
    """Run a command, expect success, return what it printed."""
    surroundings = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=surroundings | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, (
        f"{command} left with {done.returncode}:\n{done.stdout}{done.stderr}"
    )
    return done.stdout


def listed(python: str) -> set[tuple[str, str, str]]:
    """Return the example's plugins as the command line lists them, none of them broken."""
    plugins = json.loads(run(python, "-m", "tfrobust_cli.main", "plugins", "--json"))
    ours = [entry for entry in plugins if entry["target"].startswith("tfrobust_example_plugin")]
    assert {(e["distribution"], e["problem"]) for e in ours} <= {
        ("tfrobust-example-plugin 0.1.0", None)
    }
    assert any(entry["name"] == "pgd" for entry in plugins), "the bundled plugins are missing"
    return {(entry["kind"], entry["name"], entry["target"]) for entry in ours}


def build_wheel(sources: Path) -> Path:
    """Build the distribution and return the wheel."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", sources)
    [wheel] = (sources / "dist").glob("*.whl")
    return wheel


def test_a_third_party_plugin_is_listed_runs_keeps_the_contract_and_is_removed(
    python: str, sources: Path
) -> None:
    assert not listed(python), "uninstall tfrobust-example-plugin from this environment first"
    wheel = build_wheel(sources)
    with zipfile.ZipFile(wheel) as archive:
        packaged = {name.split("/")[0] for name in archive.namelist()}
    assert packaged == {"tfrobust_example_plugin", "tfrobust_example_plugin-0.1.0.dist-info"}

    run(python, "-m", "pip", "--isolated", "install", "--no-deps", "--no-index", wheel)
    assert listed(python) == BROUGHT

    contract = run(python, "-c", EVALUATE_AND_TEST, Path(__file__).parent, cwd=sources)
    assert "passed" in contract
    assert "skipped" not in contract
    [evaluation] = json.loads((sources / "results.json").read_text())["evaluations"]
    nothing, shifted = evaluation["attacks"]
    assert evaluation["scenario"]["name"] == "shapes"
    assert evaluation["clean"]["accuracy"] > 0.7, "LeNet does not learn the shapes"
    assert nothing["accuracy"] == evaluation["clean"]["accuracy"]
    assert shifted["name"] == "brightness"
    assert shifted["params"]["eps"] == 0.3
    assert shifted["threat"] == {"knowledge": "decision", "norm": "linf", "targeted": False}
    assert shifted["accuracy"] < nothing["accuracy"]
    assert shifted["violations"] == shifted["gradients_per_image"] == 0
    assert 1 < shifted["queries_per_image"] < 1 + 2 * 76, "solved images are not left alone"

    run(python, "-m", "pip", "--isolated", "uninstall", "--yes", "tfrobust-example-plugin")
    assert not listed(python)

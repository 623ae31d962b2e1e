"""`tfrobust run`, `tfrobust init`, and commands that print themselves as a file."""

import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from helpers.support import python
from tfrobust.experiment.reading import read_experiment
from tfrobust.experiment.schema import ORDER
from tfrobust_cli.main import app
from tfrobust_cli.options.experiment import arguments_of, step_kinds

REPO = Path(__file__).parents[2]
COMMANDS = get_command(app).commands
TYPED = [
    "train lenet --defense pgd_training -p eps=0.1 --epochs 3 --name a --learning-rate 1e-05",
    "evaluate a b --attack pgd --eps linf=0.1,0.2 --eps l2=0.5 --no-diagnosis --seed 3 --out r",
    "diagnose a --eps 0.1 --norm l2 --thorough --attack pgd -p pgd.steps=3 --out r",
    "certify a b --certifier ibp --eps 0.1 --eps 0.2 --pixel-range=-1,1 --out r",
    "check r --min 'clean >= 0.9' --max-drop-from r0 0.02 --no-masking --diagnosis d",
    "export a s --version 3 --format tflite --quantize int8 --inputs uint8 --warmup",
]


def parsed(command, arguments):
    """Return the values that a command gets from words, before it is called."""
    values = COMMANDS[command].make_context(command, list(arguments)).params
    return {name: value for name, value in values.items() if name != "print_config"}


@pytest.mark.parametrize("typed", TYPED, ids=[typed.split()[0] for typed in TYPED])
def test_a_printed_command_is_read_back_to_the_same_settings(tfrobust, here, typed):
    command, *arguments = shlex.split(typed)
    printed = tfrobust(command, *arguments, "--print-config")
    assert printed.code == 0, printed.err
    Path("experiment.toml").write_text(printed.out)
    (step,) = read_experiment(Path("experiment.toml"), step_kinds()).steps
    assert parsed(command, arguments_of(step)) == parsed(command, arguments)


def test_every_section_of_the_schema_is_a_command_with_its_options(tfrobust):
    schema = json.loads(tfrobust("run", "--schema").out)
    assert set(ORDER) <= set(schema["properties"])
    assert {"model", "epochs", "defense"} <= set(schema["$defs"]["Train"]["properties"])
    assert "force" not in schema["$defs"]["Evaluate"]["properties"]


def test_a_mistake_in_a_file_costs_one_line_and_nothing_is_run(tfrobust, here):
    Path("x.toml").write_text('[train]\nmodel = "linear"\n[evaluate]\nout = "r"\nclassifer = "d"\n')
    refused = tfrobust("run", "x.toml")
    assert refused.code == 2
    assert "x.toml: evaluate.0.class" in refused.err
    Path("x.toml").write_text('[train]\nmodel = "lenet"\nparam = { lenet = { widths = 3 } }\n')
    refused = tfrobust("run", "x.toml")
    assert (refused.code, "train[0].param: models/lenet has no option 'widths'" in refused.err) == (
        2,
        True,
    )
    assert [path.name for path in here.iterdir()] == ["x.toml"]


def test_the_file_of_the_docs_is_one(here):
    page = (REPO / "docs/experiments.md").read_text()
    Path("x.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    kinds = [step.kind for step in read_experiment(Path("x.toml"), step_kinds()).steps]
    assert kinds == ["train", "evaluate", "certify", "check", "export"]


def test_a_file_without_a_name_or_a_lock_is_refused(tfrobust, here):
    assert "name an experiment file" in tfrobust("run").err
    Path("x.toml").write_text('[train]\nmodel = "linear"\n')
    assert "no lock file yet" in tfrobust("run", "x.toml", "--locked").err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ('suite = "fast"\nparam = { pgd = { stps = 5 } }', ("attacks/pgd has no option 'stps'",)),
        ('suite = "fast"\nparam = { pgd = { steps = 0 } }', ("pgd: steps", "received: '0'")),
        ('suite = "fast"\nparam = { mim = { steps = 5 } }', ("uses no plugin 'mim'",)),
        ('attack = ["pgd"]\nparam = { pgd = { eps = -1 } }', ("pgd: eps", "received: '-1'")),
    ],
)
def test_options_of_all_attacks_are_checked_before_anything_is_computed(
    tfrobust, here, given, words
):
    train = '[[train]]\nmodel = "linear"\nname = "m"\nscenario = "circles"\n'
    evaluate = f'[[evaluate]]\nclassifier = ["m"]\nout = "r"\n{given}\n'
    Path("x.toml").write_text(train + evaluate)
    told = tfrobust("run", "x.toml")
    assert told.code == 2
    assert all(word in told.err for word in words), told.err
    assert not Path("saved_models").exists()


def test_a_dry_run_starts_no_tensorflow(here):
    Path("x.toml").write_text('[[train]]\nmodel = "linear"\n')
    code = (
        "import sys; from tfrobust_cli.main import app; "
        "app(['run', 'x.toml', '--dry-run'], standalone_mode=False); "
        "assert 'tensorflow' not in sys.modules"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "1. train linear: to do" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("no_progress_lines")
def test_an_experiment_is_run_once_and_repeated_by_its_lock(tfrobust, here):
    Path("x.toml").write_text(
        'seed = 1\n[train]\nmodel = "linear"\nname = "one"\nepochs = 0\nscenario = "circles"\n'
        '[evaluate]\nclassifier = "one"\nscenario = "circles"\nclean_only = true\nlimit = 8\n'
        'diagnosis = false\nbaselines = false\nout = "r"\n[check]\nrun = "r"\nmin = "clean >= 0"\n'
    )
    assert tfrobust("run", "x.toml", "--dry-run").out.count("to do") == 3
    first = tfrobust("run", "x.toml")
    assert first.code == 0, first.err
    lock = json.loads(Path("x.lock.json").read_text())
    assert [step["done"] for step in lock["steps"]] == [True, True, True]
    assert lock["steps"][0]["settings"]["seed"] == 1
    assert str(here) not in Path("x.lock.json").read_text()
    again = tfrobust("run", "x.toml", "--locked")
    assert (again.code, again.err.count("already done")) == (0, 2)
    failing = Path("x.toml").read_text().replace("clean >= 0", "clean > 1")
    Path("x.toml").write_text(failing)
    assert tfrobust("run", "x.toml").code == 5


def test_init_writes_a_project_and_refuses_a_folder_with_files(tfrobust, here):
    assert tfrobust("init", "mine").code == 0
    assert tomllib.loads(Path("mine/experiment.toml").read_text())["train"]
    read_experiment(Path("mine/experiment.toml"), step_kinds())
    refused = tfrobust("init", "mine")
    assert (refused.code, "is not an empty folder" in refused.err) == (2, True)
    Path("empty").mkdir()
    assert tfrobust("init", "empty").code == 0
    assert sorted(os.listdir("empty")) == sorted(os.listdir("mine"))


@pytest.mark.slow
def test_the_starter_project_is_installed_runs_and_its_attack_passes_its_tests(tfrobust, here):
    tfrobust("init", "mine")
    paths = [str(REPO / part) for part in ("", "cli", "plugins")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here / "site"), *paths])}

    def called(*words):
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd="mine",
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    install = ("install", "--no-deps", "--no-build-isolation", "--no-index", "--target")
    called("pip", *install, str(here / "site"), ".")
    (entry,) = json.loads(called("tfrobust_cli", "plugins", "search", "spread", "--json"))
    assert (entry["kind"], entry["distribution"]) == ("attacks", "my-attacks 0.1.0")
    called("tfrobust_cli", "run", "experiment.toml")
    called("pytest", "-q")
    assert Path("mine/served/robust/1").is_dir()
    assert Path("mine/experiment.lock.json").is_file()

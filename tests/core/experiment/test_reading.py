"""Experiment files: what they may say, and how a mistake is told."""

import tomllib

import pytest

from tfrobust.errors import UsageError
from tfrobust.experiment.reading import read_experiment
from tfrobust.experiment.schema import Setting, StepKind, experiment_model
from tfrobust.experiment.writing import section_of

KINDS = [
    StepKind(
        "train",
        (
            Setting(name="model", kind=str, required=True),
            Setting(name="name", kind=str, default=""),
            Setting(name="scenario", kind=str, default="digits"),
            Setting(name="defense", kind=str, many=True),
            Setting(name="param", kind=str, many=True),
            Setting(name="epochs", kind=int, default=10, least=0),
            Setting(name="seed", kind=int, default=0),
        ),
    ),
    StepKind(
        "evaluate",
        (
            Setting(name="classifier", kind=str, many=True, required=True),
            Setting(name="attack", kind=str, many=True),
            Setting(name="eps", kind=str, many=True),
            Setting(name="out", kind=str, required=True),
        ),
    ),
]


def read(path, text):
    file = path / "experiment.toml"
    file.write_text(text)
    return read_experiment(file, KINDS).steps


def test_steps_come_in_the_order_of_the_commands_with_defaults_and_what_is_shared(tmp_path):
    evaluated, = read(tmp_path, '[evaluate]\nclassifier = "d1"\nout = "run"\n')  # fmt: skip
    assert evaluated.settings["classifier"] == ["d1"]
    steps = read(
        tmp_path,
        'seed = 3\n[[evaluate]]\nclassifier = ["d1"]\nout = "run"\n[[train]]\nmodel = "linear"\n'
        '[[train]]\nmodel = "lenet"\nseed = 5\n',
    )
    assert [step.place for step in steps] == ["train[0]", "train[1]", "evaluate[0]"]
    assert [step.settings["seed"] for step in steps[:2]] == [3, 5]
    assert steps[0].settings["epochs"] == 10
    assert dict(steps[0].given) == {"model": "linear", "seed": 3}


def test_tables_are_options_of_plugins_and_budgets_by_norm(tmp_path):
    train, evaluate = read(
        tmp_path,
        '[train]\nmodel = "linear"\nparam = { pgd_training = { eps = 0.1, early = true } }\n'
        '[evaluate]\nclassifier = "d1"\nout = "r"\neps = { linf = [0.03, 0.06], l2 = 0.5 }\n',
    )
    assert train.settings["param"] == ["pgd_training.eps=0.1", "pgd_training.early=true"]
    assert evaluate.settings["eps"] == ["linf=0.03,0.06", "l2=0.5"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[trian]\nmodel = "linear"', "trian: there is no such key; did you mean 'train'?"),
        (
            '[train]\nmodel = "linear"\nepoch = 1',
            "train.0.epoch: there is no such key; did you mean 'epochs'?",
        ),
        ("[train]\nepochs = 1", "train.0.model: is missing; add it to [[train]]"),
        ('[train]\nmodel = "linear"\nepochs = "1"', "train.0.epochs: Input should be a valid int"),
        ('[train]\nmodel = "linear"\nepochs = -1', "train.0.epochs: Input should be greater"),
        ('[train]\nmodel = "liner"', "train[0]: no plugin models/liner; did you mean 'linear'?"),
        ('title = "x"', "asks for nothing; add a section"),
        (f'[train]\nmodel = "linear"\nparam.{"a." * 5000}b = 1', "nested too deeply"),
        ("[train", "an experiment is a TOML file"),
    ],
)
def test_a_mistake_is_told_with_file_key_and_remedy(tmp_path, text, words):
    with pytest.raises(UsageError) as refused:
        read(tmp_path, text)
    assert f"{tmp_path / 'experiment.toml'}: " in str(refused.value)
    assert words in str(refused.value)


def test_a_missing_file_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="tfrobust init"):
        read_experiment(tmp_path / "none.toml", KINDS)


def test_the_schema_names_sections_keys_and_bounds():
    schema = experiment_model(KINDS).model_json_schema()
    assert {"title", "train", "evaluate"} <= set(schema["properties"])
    assert schema["$defs"]["Train"]["properties"]["epochs"]["minimum"] == 0
    assert schema["$defs"]["Train"]["required"] == ["model"]


def test_a_written_section_is_read_back_whatever_characters_it_holds():
    settings = {"text": 'a "quoted"\\ \n\x7f é', "list": ["x", "y"], "small": 1e-07, "on": True}
    assert tomllib.loads(section_of("train", {**settings, "none": None})) == {"train": [settings]}

"""A user's mistake costs one clear line and exit code 1 or 2; nothing is written or lost."""

import json

import keras
import numpy as np
import pytest

from helpers.commands import ATTACK, EVALUATE, one_line
from tfrobust.errors import UsageError
from tfrobust_cli import console
from tfrobust_cli.arguments import Parameters

pytestmark = pytest.mark.usefixtures("no_progress_lines")


GUARD = ("export", "d1", "served", "--detector", "mahalanobis", "--attack", "fgsm")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("train", "lenett"), 2, ["lenett", "did you mean 'lenet'"]),
        (("train", "lenet", "--scenario", "digit"), 2, ["did you mean 'digits'"]),
        (("train", "lenet", "--defense", "pgd"), 2, ["no plugin defenses/pgd", "pgd_training"]),
        (("train", "lenet", "--epochs", "-1"), 2, ["epochs", "greater than or equal to 0"]),
        (("train", "lenet", "--learning-rate", "nan"), 2, ["learning_rate"]),
        (("train", "lenet", "-p", "wdth=2"), 2, ["wdth", "did you mean 'width'"]),
        (("train", "lenet", "--name", "../x"), 2, ["plain folder name"]),
        (("train", "resnet", "-p", "depth=9"), 2, ["6n + 2"]),
        ((*ATTACK, "--attack", "pdg"), 2, ["no plugin attacks/pdg", "did you mean 'pgd'"]),
        ((*ATTACK, "--attack", "pgd", "-p", "esp=0.1"), 2, ["esp", "'eps'"]),
        ((*ATTACK, "--attack", "pgd", "-p", "eps=-0.1"), 2, ["eps", "-0.1"]),
        ((*ATTACK, "--attack", "pgd", "-p", "eps=nan"), 2, ["eps", "nan"]),
        ((*ATTACK, "--attack", "pgd", "-p", "eps=big"), 2, ["eps", "'big'"]),
        ((*ATTACK, "--attack", "pgd", "-p", "eps"), 2, ["key=value"]),
        ((*ATTACK, "--attack", "pgd", "-p", "norm=l7"), 2, ["norm", "l7"]),
        ((*ATTACK, "--attack", "pgd", "-p", "region=box"), 2, ["region", "'box'"]),
        ((*ATTACK, "--attack", "pgd", "-p", "region=background"), 2, ["digits has no boxes"]),
        ((*ATTACK, "--attack", "box_blur"), 2, ["box_blur: digits has no boxes", "region=all"]),
        ((*ATTACK, "--attack", "pgd", "-p", "fgsm.eps=1"), 2, ["no plugin 'fgsm'"]),
        ((*ATTACK, "--attack", "pgd", "--eps", "-1"), 2, ["eps"]),
        ((*ATTACK, "--attack", "pgd", "--eps", "x"), 2, ["--eps", "expected numbers"]),
        ((*ATTACK, "--attack", "pgd", "--attack", "fgsm", "-p", "eps=1"), 2, ["which one"]),
        (ATTACK, 2, ["--attack pgd or --suite fast, or --clean-only"]),
        ((*EVALUATE, "--attack", "fgsm"), 2, ["--clean-only: runs no attack"]),
        (
            (*ATTACK, "--suite", "standard", "--eps", "0.1"),
            2,
            ["autoattack in linf and cw_l2 in l2", "--eps linf=0.1 and --eps l2="],
        ),
        (
            (*ATTACK, "--attack", "pgd", "--eps", "linf=0.1", "--eps", "0.1"),
            2,
            ["every number"],
        ),
        (
            (*ATTACK, "--attack", "pgd", "--eps", "l2=0.1"),
            2,
            ["no attack works in l2, but"],
        ),
        (
            (*ATTACK, "--attack", "pgd", "--eps", "l3=0.1"),
            2,
            ["one of linf, l2, l1, l0"],
        ),
        ((*EVALUATE, "--limit", "0"), 2, ["limit", "received: 0"]),
        ((*EVALUATE, "--split", "tset"), 2, ["split", "train, test"]),
        ((*EVALUATE, "--target", "all"), 2, ["target"]),
        ((*EVALUATE, "--epochs", "3"), 2, ["--epochs"]),
        (("evaluate", "d2", "--clean-only", "--out", "run"), 2, ["d2", "did you mean 'd1'"]),
        (("evaluate", "http://h/v1/models/m", "--clean-only", "--out", "run"), 2, ["--i-own-this"]),
        (("evaluate", "d1"), 2, ["--out"]),
        (("plugins", "attack"), 2, ["did you mean 'attacks'"]),
        (("plugins", "show", "pgd"), 2, ["KIND/NAME"]),
        (("export", "d1", "served", "--version", "0"), 2, ["version"]),
        ((*GUARD, "--images", "0"), 2, ["--images", "greater than or equal to 1"]),
        ((*GUARD, "--images", "-3"), 2, ["--images", "greater than or equal to 1"]),
        ((*ATTACK, "--detector", "mahalanobis"), 2, ["a detector learns from an attack"]),
        (("report", "nowhere"), 1, ["results.json"]),
        (("no-such-command",), 2, ["no-such-command"]),
    ],
)
def test_a_wrong_word_on_the_command_line_costs_one_line(
    tfrobust, with_store, arguments, code, words
):
    one_line(tfrobust(*arguments), code, *words)
    assert not (with_store / "run" / "results.json").exists()


def test_a_folder_that_holds_other_things_is_not_touched(tfrobust, with_store):
    (with_store / "run").mkdir()
    (with_store / "run" / "thesis.txt").write_text("years of work")
    one_line(tfrobust(*ATTACK, "--attack", "fgsm"), 1, "not empty", "--force")
    assert (with_store / "run" / "thesis.txt").read_text() == "years of work"
    result = tfrobust(*ATTACK, "--attack", "fgsm", "--limit", 10, "--force")
    assert result.code == 0, result.err
    assert (with_store / "run" / "thesis.txt").read_text() == "years of work"


def test_an_output_folder_that_is_a_file_is_refused(tfrobust, with_store):
    (with_store / "run").write_text("mine")
    one_line(tfrobust(*EVALUATE), 1, "expected a folder")
    assert (with_store / "run").read_text() == "mine"


def test_a_classifier_for_other_images_is_refused(tfrobust, with_store, npz):
    path = npz(images=np.zeros((4, 9, 9, 1), np.float32), labels=np.arange(4))
    result = tfrobust(*EVALUATE, "--scenario", "arrays", "-p", f"arrays.path={path}")
    one_line(result, 1, "images: expected (9, 9, 1); received: (8, 8, 1)")
    path = npz(images=np.zeros((4, 8, 8, 1), np.float32), labels=np.arange(4))
    result = tfrobust(*EVALUATE, "--scenario", "arrays", "-p", f"arrays.path={path}")
    one_line(result, 1, "classes: expected 4; received: 10")


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.full((4, 8, 8, 1), 255, np.uint8), np.arange(4), ["uint8", "divide"]),
        (np.full((4, 8, 8, 1), 1.5, np.float32), np.arange(4), ["[0, 1]", "1.5"]),
        (np.full((4, 8, 8, 1), np.nan, np.float32), np.arange(4), ["[0, 1]"]),
        (np.zeros((4, 8, 8, 1), np.float32), np.array([0, 1, 2, 99]), ["labels", "99"]),
        (np.zeros((4, 8, 8, 1), np.float32), np.array([0, -1, 2, 3]), ["labels", "-1"]),
        (np.zeros((4, 8, 8), np.float32), np.arange(4), ["(n, height, width, channels)"]),
        (np.zeros((3, 8, 8, 1), np.float32), np.arange(4), ["(3, 8, 8, 1)"]),
        (np.zeros((4, 8, 8, 1), np.float32), np.array([None] * 4, object), ["pickle"]),
    ],
)
def test_arrays_that_break_the_contract_are_refused(
    tfrobust, with_store, npz, images, labels, words
):
    path = npz(images=images, labels=labels)
    result = tfrobust(
        *EVALUATE, "--scenario", "arrays", "-p", f"arrays.path={path}", "-p", "arrays.classes=10"
    )
    one_line(result, 1, *words)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip at all"])
def test_a_damaged_file_is_refused_by_its_name(tfrobust, with_store, content):
    (with_store / "m.keras").write_bytes(content)
    one_line(
        tfrobust("evaluate", "m.keras", "--clean-only", "--out", "run"),
        1,
        "m.keras",
        "not a readable",
    )
    (with_store / "a.npz").write_bytes(content)
    result = tfrobust(*EVALUATE, "--scenario", "arrays", "-p", "arrays.path=a.npz")
    one_line(result, 1, "a.npz", "not a readable .npz")
    folder = with_store / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(content)
    one_line(
        tfrobust("evaluate", "saved", "--clean-only", "--out", "run"), 1, "saved", "SavedModel"
    )


def test_a_model_that_ends_in_a_softmax_is_refused_and_converted_on_request(tfrobust, with_store):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.save("soft.keras")
    one_line(
        tfrobust("evaluate", "soft.keras", "--clean-only", "--out", "run"),
        1,
        "softmax",
        "--to-logits",
    )
    result = tfrobust(
        "evaluate",
        "soft.keras",
        "--clean-only",
        "--out",
        "run",
        "--to-logits",
        "--limit",
        10,
        "--json",
    )
    assert result.code == 0, result.err
    assert result.err.strip() == "soft.keras: its last softmax is left out"


def test_nan_weights_are_refused(tfrobust, with_store):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    model.layers[-1].bias.assign(np.full(10, np.nan))
    model.save("nan.keras")
    one_line(tfrobust("evaluate", "nan.keras", "--clean-only", "--out", "run"), 1, "NaN")


def test_a_scenario_that_does_not_fit_the_exported_classifier_is_refused(tfrobust, with_store, npz):
    path = npz(images=np.zeros((4, 9, 9, 1), np.float32), labels=np.arange(4))
    result = tfrobust("export", "d1", "served", "--scenario", "arrays", "-p", f"arrays.path={path}")
    one_line(result, 1, "images: expected (9, 9, 1); received: (8, 8, 1)")
    assert not (with_store / "served").exists()


def test_ctrl_c_says_how_to_go_on(tfrobust, here, monkeypatch):
    from tfrobust_cli import main

    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "app", interrupted)
    one_line(tfrobust("study", "run"), 130, "interrupted; the same command goes on")


def test_a_defence_that_refuses_the_network_says_so_before_it_is_trained(
    tfrobust, here, monkeypatch
):
    from tfrobust.training.trainer import Trainer

    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: pytest.fail("it was trained"))
    command = ("train", "fully_connected", "--name", "m", "--epochs", 1, "--defense", "mc_dropout")
    one_line(tfrobust(*command), 2, "no dropout", "-p rate=0.5")
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setattr(console, "_PATIENCE", float("inf"))
    assert not (here / "saved_models" / "m").exists()
    assert tfrobust(*command, "-p", "mc_dropout.rate=0.5", "-p", "samples=2").code == 0


def test_defences_in_an_impossible_order_are_refused_with_an_order_that_trains(tfrobust, here):
    command = ("train", "fully_connected", "--name", "m", "--epochs", 1)
    steps = (
        "-p", "pgd_training.steps=1", "-p", "mc_dropout.samples=2", "-p", "mc_dropout.rate=0.5",
    )  # fmt: skip
    wrong = ("--defense", "mc_dropout", "--defense", "pgd_training")
    right = ("--defense", "pgd_training", "--defense", "mc_dropout")
    one_line(tfrobust(*command, *wrong, *steps), 2, "received: mc_dropout, pgd", " ".join(right))
    assert not (here / "saved_models" / "m").exists()
    assert tfrobust(*command, *right, *steps).code == 0


def test_an_interrupted_training_is_not_lost(tfrobust, with_store, monkeypatch):
    from tfrobust.training.trainer import Trainer

    command = ("train", "fully_connected", "-q", "--name", "half", "--epochs", 2)

    def interrupt(_, epoch, *__):
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_tell", interrupt)
        result = tfrobust(*command)
    one_line(result, 130, "interrupted", "--resume")
    one_line(tfrobust(*command), 1, "interrupted training", "--resume", "--force")
    one_line(tfrobust(*command[:-1], 3, "--resume"), 2, "training.epochs: 2 then, 3 now")
    assert tfrobust(*command, "--resume").code == 0


def test_an_interrupted_evaluation_goes_on_where_it_stopped(tfrobust, with_store, monkeypatch):
    from tfrobust.evaluation import attack_runs

    chosen = ("--attack", "fgsm", "--attack", "pgd", "-p", "pgd.steps=2", "--no-baselines")
    command = (*ATTACK, *chosen, "--limit", 20, "--json")
    whole = json.loads(tfrobust(*command[:3], "whole", *command[4:]).out)
    run, ran = attack_runs.run_attack, []

    def interrupt_the_second(attack, *rest, **options):
        if ran:
            raise KeyboardInterrupt
        ran.append(attack)
        return run(attack, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(attack_runs, "run_attack", interrupt_the_second)
        one_line(tfrobust(*command), 130, "interrupted; the same command goes on")
    assert [path.name for path in (with_store / "run").iterdir()] == [".tfrobust-partial"]
    again = []
    monkeypatch.setattr(
        attack_runs, "run_attack", lambda a, *r, **o: again.append(a) or run(a, *r, **o)
    )
    result = tfrobust(*command)
    assert result.code == 0, result.err
    assert [type(attack).__name__ for attack in again] == ["ProjectedGradientDescent"]
    resumed = json.loads(result.out)
    for results in (whole, resumed):
        for attack in results["evaluations"][0]["attacks"]:
            del attack["seconds"]
    assert resumed == whole
    assert not (with_store / "run" / ".tfrobust-partial").exists()


def test_a_full_disk_leaves_nothing_behind(tfrobust, with_store, monkeypatch):

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    result = tfrobust(*EVALUATE, "--limit", 10)
    one_line(result, 1, "cannot write", "No space left on device")
    assert not (with_store / "run").exists()


def test_a_dataset_that_cannot_be_downloaded_costs_one_line(tfrobust, here, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(here / "empty"))
    monkeypatch.setattr("urllib.request.getproxies", dict)

    def no_network(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", no_network)
    result = tfrobust("train", "lenet", "--scenario", "svhn", "--name", "s")
    one_line(result, 1, "svhn_cropped", "TFDS_DATA_DIR", "network")
    assert not (here / "saved_models" / "s").exists()
    assert not (here / "empty" / "svhn_cropped").exists()


def test_parameters_go_to_the_one_plugin_that_has_them():
    plugins = [("models", "lenet"), ("scenarios", "images")]
    dealt = Parameters(["grey=true", "lenet.width=2"], plugins)
    assert dealt.of("images") == {"grey": "true"}
    assert dealt.of("lenet") == {"width": "2"}
    with pytest.raises(UsageError, match=r"lenet.width=… or -p images.width=…"):
        Parameters(["width=2"], plugins)

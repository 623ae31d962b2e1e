"""Ctrl-C, SIGTERM, kills and full disks, as a user meets them."""

import os
import signal
import time

import pytest

from helpers.commands import ATTACK as ATTACKING
from helpers.commands import EVALUATE, one_line
from helpers.files.tiny_imagenet_files import content, zipped
from helpers.killing import full_disk
from tfrobust.evaluation import attack_runs
from tfrobust.files.claims import LOCK, alone
from tfrobust.files.output_folders import PARTIAL
from tfrobust.store import models
from tfrobust_cli import main
from tfrobust_cli.interruptions import what_next

pytestmark = pytest.mark.usefixtures("no_progress_lines")


ATTACK = ("attack", "d1", "--attack", "fgsm", "--out", "run", "--limit", 20)
LEARNS = ("attack", "d1", "--attack", "uap", "-p", "training_images=20", "-p", "passes=1")


def files(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("evaluate d1 --out run", "the same command goes on"),
        ("attack d1 --out run", "the same command goes on"),
        ("demo", "the same command goes on"),
        ("study run quantized-dropout", "the same command goes on"),
        ("train lenet", "the same command with --resume goes on"),
        ("train lenet --resume", "the same command goes on"),
        ("train lenet --force", "--resume in place of --force goes on"),
        ("export d1 served", "the same command starts from the beginning"),
        ("data prepare tiny_imagenet", "the same command starts from the beginning"),
        ("streams d1", "the same command starts from the beginning"),
        ("study list", "the same command starts from the beginning"),
        ("", "the same command starts from the beginning"),
    ],
)
def test_an_interruption_says_how_this_command_goes_on(command, advice):
    assert what_next(command.split()).startswith(f"interrupted; {advice}")


def interrupted(**_):
    raise KeyboardInterrupt


def terminated(**_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)


@pytest.mark.parametrize("ended", [interrupted, terminated])
def test_sigterm_ends_a_command_like_ctrl_c(ended, tfrobust, here, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(main, "app", ended)
    one_line(tfrobust("evaluate", "d1"), 130, "interrupted; the same command goes on")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_sigterm_does_not_stop_the_cleanup(tfrobust, here, monkeypatch):
    cleared = []

    def twice(**_):
        try:
            terminated()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleared.append(True)

    monkeypatch.setattr(main, "app", twice)
    one_line(tfrobust("export", "d1"), 130, "starts from the beginning")
    assert cleared


def test_a_terminated_attack_leaves_only_what_it_needs_to_resume(tfrobust, with_store, monkeypatch):
    run, killed = attack_runs.run_attack, []

    def sudden(*given, **named):
        if not killed:
            killed.append(True)
            terminated()
        return run(*given, **named)

    monkeypatch.setattr(attack_runs, "run_attack", sudden)
    one_line(tfrobust(*ATTACK), 130, "interrupted; the same command goes on")
    assert files(with_store / "run") == {PARTIAL}
    assert tfrobust(*ATTACK).code == 0
    assert files(with_store / "run") == {
        "adversarial", "examples.npz", "outcomes.parquet", "report.html", "results.json",
    }  # fmt: skip


@pytest.mark.parametrize("options", [(), ("-p", "eps=0.2")], ids=["the same", "another"])
def test_an_attack_that_is_killed_after_its_export_exports_only_once(
    options, tfrobust, with_store, monkeypatch
):
    """It exports again only if the second command exports something else."""
    command = (*LEARNS, "--limit", 20, "--out", "run", "--export", "served")
    with monkeypatch.context() as patched:
        patched.setattr("tfrobust.evaluation.crafting.write_run", interrupted_with_files)
        one_line(tfrobust(*command), 130, "goes on")
    assert files(with_store / "served") == {"1"}
    assert files(with_store / "run") == {PARTIAL, "results.json"}
    result = tfrobust(*command, *options)
    assert result.code == 0, result.err
    assert files(with_store / "served") == ({"1", "2"} if options else {"1"})
    assert "uap.npz" in files(with_store / "run")
    assert PARTIAL not in files(with_store / "run")


def interrupted_with_files(folder, *_):
    (folder / PARTIAL / "written").write_text("results.json")
    (folder / "results.json").touch()
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "command",
    [
        (*EVALUATE, "--limit", 10),
        (*EVALUATE, "--force"),
        (*ATTACKING, "--suite", "corruptions"),
        ATTACK,
        ("demo", "--out", "run"),
    ],
    ids=lambda command: " ".join(map(str, command[:1] + command[4:])),
)
def test_a_folder_that_another_run_writes_to_is_refused(command, tfrobust, with_store):
    (with_store / "run").mkdir()
    with alone(with_store / "run" / LOCK, "busy"):
        one_line(tfrobust(*command), 1, "another run is writing", "choose another --out")
    assert not any((with_store / "run").iterdir())


def test_two_exports_to_one_folder_are_two_versions(tfrobust, with_store, monkeypatch):

    write, second = models.write_saved_model, []

    def meanwhile(*given):
        write(*given)
        if not second:
            second.append(True)
            assert tfrobust("export", "d1", "served").out.strip() == "served/2"
            refused = tfrobust("export", "d1", "served", "--version", 1)
            one_line(refused, 1, "another process is writing it", "choose another version")

    monkeypatch.setattr(models, "write_saved_model", meanwhile)
    assert tfrobust("export", "d1", "served").out.strip() == "served/1"
    assert files(with_store / "served") == {"1", "2"}


def test_one_preparation_runs_at_a_time_and_leftovers_of_a_killed_one_are_removed(
    tfrobust, here, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(here / "tfds"))
    archive, home = zipped(here / "small.zip", content()), here / "tfds" / "tiny_imagenet"
    command = ("data", "prepare", "tiny_imagenet", "--archive", archive)
    (home / "incomplete.ABC_1.0.0").mkdir(parents=True)
    with alone(home / LOCK, "busy"):
        one_line(tfrobust(*command), 1, "another process is preparing it", "; wait")
    assert files(home) == {"incomplete.ABC_1.0.0"}
    assert tfrobust(*command).code == 0
    assert files(home) == {"1.0.0"}


@pytest.mark.parametrize("size", [0, 500])
@pytest.mark.parametrize("command", [(*EVALUATE, "--limit", 20), ATTACK], ids=lambda it: it[0])
def test_a_full_disk_costs_one_line(command, size, tfrobust, with_store):
    with full_disk(size):
        result = tfrobust(*command)
    one_line(result, 1, "cannot write", "File too large")
    left = [path.name for path in with_store.glob("run/**/*") if path.is_file()]
    assert all(name.endswith(".npz") for name in left)
    assert not any(name.startswith(".tfrobust-") for name in left)


@pytest.mark.parametrize("size", [0, 3_000])
@pytest.mark.parametrize(
    ("command", "folder"),
    [
        (("train", "linear", "-q", "--name", "m", "--epochs", 1), "saved_models/m"),
        (("export", "d1", "served"), "served"),
        (("export", "d1", "lite", "--format", "tflite"), "lite"),
        (("data", "prepare", "tiny_imagenet", "--archive", "small.zip"), "tfds"),
    ],
    ids=lambda it: " ".join(map(str, it)) if isinstance(it, tuple) else "",
)
def test_a_full_disk_leaves_no_half_of_anything(
    command, folder, size, tfrobust, with_store, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(with_store / "tfds"))
    zipped(with_store / "small.zip", content())
    with full_disk(size):
        result = tfrobust(*command)
    one_line(result, 1, "")
    left = [path for path in with_store.glob(f"{folder}/**/*") if path.is_file()]
    assert not left or folder.endswith("/m")
    assert not [path for path in left if path.name.startswith(".tfrobust-")]


def test_any_dataset_is_prepared_by_one_process_at_a_time(tfrobust, here, monkeypatch):
    from tfrobust_scenarios import tfds_preparing

    class Builder:
        """Prepares nothing."""

        class info:  # noqa: N801
            splits = ()

        data_dir, url_infos = str(here / "mnist" / "3.0.1"), ()

        def download_and_prepare(self, **_):
            assert not (here / "mnist" / "incomplete.A_3.0.1").exists()
            (here / "mnist" / "incomplete.B_3.0.1").mkdir()
            raise KeyboardInterrupt

    monkeypatch.setattr(tfds_preparing, "stored_builder", lambda _: Builder())
    (here / "mnist" / "incomplete.A_3.0.1").mkdir(parents=True)
    with alone(here / "mnist" / LOCK, "busy"):
        one_line(tfrobust("data", "prepare", "mnist"), 1, "another process is preparing it")
    one_line(tfrobust("data", "prepare", "mnist"), 130, "starts from the beginning")
    assert not (here / "mnist").exists()

"""An endpoint where a classifier is asked for: evaluated, attacked, diagnosed, within a budget."""

import json

import pytest

from helpers.commands import one_line
from helpers.model_server import NAME, Served, rest_server

pytestmark = pytest.mark.usefixtures("no_progress_lines")
SQUARE = ("--attack", "square", "-p", "square.queries=30", "--eps", "0.2")
FAST = ("--limit", "8", "--no-baselines", "--batch-size", "8")


@pytest.fixture(scope="module")
def of_d1(stored):
    return Served(stored / "d1" / "1")


@pytest.fixture
def served(of_d1):
    of_d1.images = of_d1.requests = 0
    of_d1.faults = lambda request: ""
    return of_d1


@pytest.fixture
def url(served):
    with rest_server(served) as url:
        yield url


def results(folder):
    return json.loads((folder / "results.json").read_text())["evaluations"][0]


def figures(evaluation):
    return [(a["name"], a["accuracy"], a["distance"]) for a in evaluation["attacks"]]


def test_an_endpoint_is_evaluated_as_the_file_is_and_a_repeated_run_pays_nothing(
    tfrobust, with_store, served, url
):
    run = ("evaluate", url, "d1", *SQUARE, *FAST, "--out", "run", "--max-queries", "500")
    first = tfrobust(*run)
    assert first.code == 0, first.err
    assert "attack only what is yours" in first.err
    remote, local = json.loads((with_store / "run" / "results.json").read_text())["evaluations"]
    assert figures(remote) == figures(local)
    assert remote["classifier"]["path"] == url
    assert remote["spending"]["sent"] == served.images <= 500
    assert remote["spending"]["left"] == 500 - served.images
    assert local["spending"] is None
    told = remote["attacks"][0]["queries_per_image"] * 8
    assert remote["spending"]["by"]["attacks"]["sent"] <= told
    assert sum(remote["spending"]["by"]["attacks"].values()) == told
    assert sum(asked["sent"] for asked in remote["spending"]["by"].values()) == served.images
    assert f"{served.images} queries left (probes 3, attacks" in first.err
    assert remote["signs"] is None  # which take 75 passes an image, and look for gradients
    assert local["signs"] is not None
    before = served.images
    again = tfrobust(*run, "--force")
    assert again.code == 0, again.err
    assert served.images == before + 1  # whether it is still the same model
    assert figures(results(with_store / "run")) == figures(remote)


@pytest.mark.slow
def test_what_is_judged_of_an_endpoint_of_picture_files_is_what_it_was_sent(
    tfrobust, with_store, stored, tmp_path_factory
):
    """0.1 is 25.5 levels, and the pixels of the digits, sixteenths, lie between levels."""
    folder = tmp_path_factory.mktemp("served")
    exported = tfrobust("export", "d1", folder / "digits", "--inputs", "image_bytes")
    assert exported.code == 0, exported.err
    with rest_server(Served(folder / "digits" / "1")) as url:
        result = tfrobust("evaluate", url, "d1", "--signature", "serve_bytes", "--attack", "pgd",
                          "--eps", "0.1", "--crafted-on", "d1", *FAST, "--out", "run")  # fmt: skip
        assert result.code == 0, result.err
        assert "sent, and judged, in 256 levels" in result.err
        shown = tfrobust("summary", url, "--signature", "serve_bytes")
        assert "8×8×1" in shown.out
    for attack in results(with_store / "run")["attacks"]:
        assert attack["violations"] == 0
        assert attack["distance"]["linf"]["mean"] in (None, pytest.approx(25 / 255, abs=1e-6))


@pytest.mark.slow
def test_a_spent_budget_ends_the_attack_and_not_the_run_and_a_larger_one_goes_on(
    tfrobust, with_store, served, url
):
    run = ("evaluate", url, *SQUARE, *FAST, "--out", "run")
    cut = tfrobust(*run, "--max-queries", "40")
    assert cut.code == 0, cut.err
    assert served.images == 40
    evaluation = results(with_store / "run")
    assert evaluation["attacks"][0]["cut_off"] > 0
    assert "the budget of 40 queries is spent" in evaluation["warnings"][0]
    whole = tfrobust(*run, "--max-queries", "900", "--force")
    assert whole.code == 0, whole.err
    fresh = tfrobust(*run[:-1], "fresh")
    assert fresh.code == 0, fresh.err
    assert figures(results(with_store / "run")) == figures(results(with_store / "fresh"))
    assert results(with_store / "run")["attacks"][0]["cut_off"] is None


@pytest.mark.slow
def test_blocks_that_cannot_be_paid_are_incomplete_and_the_same_command_goes_on(
    tfrobust, with_store, served, url, monkeypatch
):
    for room in ("classifiers.identity", "evaluation.blocks.prepared"):
        monkeypatch.setattr(f"tfrobust.{room}.SHOWN", 4)  # else all are asked with the first block
    run = ("evaluate", url, *SQUARE, *FAST, "--block-size", "4", "--out", "run")
    cut = tfrobust(*run, "--max-queries", "18")
    one_line_of_several(cut, 4, "4 images could not be computed", "18 queries is spent")
    assert served.images == 18
    tfrobust(*run, "--max-queries", "900")
    fresh = tfrobust(*run[:-1], "fresh")
    assert fresh.code == 0, fresh.err
    assert figures(results(with_store / "run")) == figures(results(with_store / "fresh"))


def one_line_of_several(result, code, *words):
    assert result.code == code, result.err
    last = result.err.strip().splitlines()[-1]
    for word in words:
        assert word in last, last


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--max-queries", "0"), 2, ["max-queries", "1"]),
        (("--max-queries", "1"), 1, ["budget of 1 queries is spent", "--max-queries"]),
        (("--max-queries", "12"), 1, ["no block could be computed", "12 queries"]),
        (("--attack", "pgd"), 2, ["pgd needs gradients", "--crafted-on NAME", "square"]),
        (("--scenario", "circles"), 1, ["images: expected"]),
        (("--signature", "nosuch"), 1, ["no signature 'nosuch'", "serving_default"]),
        (("--output", "nosuch"), 1, ["no output 'nosuch'", "logits"]),
        (("--auth", "opensesame"), 2, ["env:VARIABLE or file:PATH"]),
        (("--auth", "env:NO_SUCH"), 2, ["env:NO_SUCH is empty or not set"]),
        (("--ca-file", "nowhere.pem"), 2, ["nowhere.pem", "no such file"]),
        (("--to-logits",), 2, ["are about files"]),
        (("--timeout", "0"), 2, ["timeout", "above 0"]),
    ],
)
def test_a_mistake_about_an_endpoint_costs_one_line_and_leaves_nothing(
    tfrobust, with_store, served, url, arguments, code, words
):
    result = tfrobust("evaluate", url, "--attack", "square", *FAST, "--out", "run", *arguments)
    errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert (result.code, len(errors)) == (code, 1), result.err
    assert all(word in errors[0] for word in words), errors
    assert "opensesame" not in result.err
    left = {path.name for path in (with_store / "run").glob("[!.]*")}
    paid = {"queries.sqlite", "queries.sqlite-wal", "queries.sqlite-shm"} if served.images else ()
    assert left <= set(paid)  # what was spent must not be forgotten


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("http://127.0.0.1:9/v1/models/m", 1, ["no server answers", "start it"]),
        ("http://models.example/v1/models/m", 2, ["only what is yours", "--i-own-this models.ex"]),
        ("http://h/v1/model/m", 2, ["expected http(s)://HOST:PORT/v1/models/NAME"]),
        ("http://me:opensesame@127.0.0.1/v1/models/m", 2, ["a password in an address"]),
    ],
)
def test_a_wrong_address_costs_one_line_and_leaves_nothing(
    tfrobust, with_store, address, code, words
):
    result = tfrobust("evaluate", address, "--clean-only", *FAST, "--out", "run")
    one_line(result, code, *words)
    assert "opensesame" not in result.err
    assert not (with_store / "run").exists()


def test_another_model_name_is_refused_with_those_that_are_served(tfrobust, with_store, url):
    other = url.replace(NAME, "digit")
    result = tfrobust("evaluate", other, "--clean-only", *FAST, "--out", "run")
    one_line(result, 1, "there is no model 'digit'", f"it serves: {NAME}")
    assert not (with_store / "run").exists()


def test_an_endpoint_is_not_exported_and_not_timed_and_shows_what_it_takes(
    tfrobust, with_store, url
):
    planned = tfrobust("plan", "evaluate", url, "--attack", "square", "--limit", "8")
    one_line_of_several(planned, 2, "what an endpoint takes cannot be tried")
    exported = tfrobust("export", url, "served")
    one_line_of_several(exported, 2, "an endpoint has no files; name a stored classifier")
    assert not (with_store / "served").exists()
    result = tfrobust("summary", url)
    assert result.code == 0, result.err
    assert "8×8×1" in result.out


@pytest.mark.slow
def test_images_are_crafted_on_an_endpoint_and_transferred_to_it(tfrobust, with_store, served, url):
    result = tfrobust("attack", url, "--attack", "square", "-p", "eps=0.2", "-p", "queries=20",
                      "--limit", "8", "--out", "images")  # fmt: skip
    assert result.code == 0, result.err
    assert (with_store / "images" / "adversarial" / "images.npy").exists()
    before = served.images
    result = tfrobust("evaluate", url, "--attack", "pgd", "--eps", "0.2", "--crafted-on", "d1",
                      *FAST, "--out", "transfer")  # fmt: skip
    assert result.code == 0, result.err
    assert served.images - before <= 10 + 2 * 8
    white = tfrobust("evaluate", "d1", "--attack", "pgd", "--eps", "0.2", *FAST, "--out", "white")
    assert white.code == 0
    moved, own = (results(with_store / name)["attacks"][0] for name in ("transfer", "white"))
    assert moved["accuracy"] == own["accuracy"]


@pytest.mark.slow
def test_the_checks_that_need_no_gradient_are_made_on_an_endpoint(tfrobust, with_store, url):
    result = tfrobust("diagnose", url, "--eps", "0.2", "--images", "20", "--out", "diagnosis",
                      "--max-queries", "50000")  # fmt: skip
    assert result.code == 0, result.err
    record = json.loads((with_store / "diagnosis" / "diagnosis.json").read_text())
    verdicts = {finding["check"]: finding["verdict"] for finding in record["findings"]}
    assert verdicts["gradients"] == "not applicable"
    assert verdicts["randomness"] == "fine"


@pytest.mark.slow
def test_a_surrogate_of_an_endpoint_serves_transfer_and_its_card_names_what_it_imitates(
    tfrobust, with_store, served, url
):
    distil = ("train", "linear", "--distil", url, "--name", "copy", "--epochs", "2",
              "--distil-images", "30", "--distil-rounds", "1",
              "--distil-held-out", "10")  # fmt: skip
    spent = tfrobust(*distil, "--max-queries", "20")
    one_line_of_several(spent, 1, "budget does not cover", "--resume")
    assert served.images == 20
    result = tfrobust(*distil, "--max-queries", "60", "--resume")
    assert result.code == 0, result.err
    assert "attack only what is yours" in result.err
    assert f"agrees with {url} on" in result.out
    assert served.images == 60
    card = json.loads(
        next((with_store / "saved_models" / "copy" / "1").rglob("tfrobust.json")).read_text()
    )
    assert (card["imitates"]["of"], card["imitates"]["queries"]) == (url, 60)
    assert "imitates" in tfrobust("summary", "copy").out
    moved = tfrobust("evaluate", url, "copy", "--attack", "fgsm", "--eps", "0.2",
                     "--crafted-on", "copy", *FAST, "--out", "transfer")  # fmt: skip
    assert moved.code == 0, moved.err
    evaluations = json.loads((with_store / "transfer" / "results.json").read_text())["evaluations"]
    assert [one["classifier"]["imitates"] for one in evaluations] == [None, url]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--max-queries", "9"), ["for --distil alone"]),
        (("--distil-rounds", "2"), ["give --distil CLASSIFIER"]),
        (("--distil", "d1", "--defense", "pgd_training"), ["leave out --defense"]),
        (("--distil", "d1", "--distil-step", "0"), ["step", "greater than 0"]),
        (("--distil", "http://models.example/v1/models/m"), ["--i-own-this models.example"]),
        (("--distil", "nosuch"), ["nosuch"]),
    ],
)
def test_a_mistake_about_a_surrogate_costs_one_line_and_leaves_nothing(
    tfrobust, with_store, arguments, words
):
    one_line_of_several(tfrobust("train", "linear", "--name", "copy", *arguments), 2, *words)
    assert not (with_store / "saved_models" / "copy").exists()

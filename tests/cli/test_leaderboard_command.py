"""`tfrobust leaderboard`: what it prints and writes, and one line for a mistake."""

import json


def test_runs_are_ranked_printed_and_written(tfrobust, with_store):
    tfrobust("evaluate", "d1", "--attack", "fgsm", "--eps", 0.1, "--limit", 20, "--out", "runs/a")

    told = tfrobust("leaderboard", "runs/a", "--out", "board")
    refused = tfrobust("leaderboard", "runs/a", "--out", "board")
    again = tfrobust("leaderboard", "runs/a", "--out", "board", "--force", "--json")

    assert told.code == 0, told.err
    assert "d1 keeps" in told.out
    assert (refused.code, "is not empty" in refused.err) == (1, True)
    written = json.loads((with_store / "board/leaderboard.json").read_text())
    assert json.loads(again.out) == written
    assert (with_store / "board/leaderboard.html").exists()


def test_a_folder_without_results_costs_one_line(tfrobust, with_store):
    told = tfrobust("leaderboard", "saved_models", "--out", "board")

    assert told.code == 2
    assert told.err.count("\n") == 1
    assert "saved_models: holds no results" in told.err
    assert not (with_store / "board").exists()

"""A small study of two perceptrons, and results of it that no run has computed."""

from helpers.study_runs import StudyFile
from tfrobust.study.cells.cell import Cell, cells_of
from tfrobust.study.cells.result_file import Result, write_cell
from tfrobust.study.results.lookup import Lookup

SMALL = StudyFile(
    "small-study",
    """
title = "A <small> study"
source = "Nobody"
about = "Two perceptrons."
choices = ["Everything."]
[scales.tiny]
scenario = "digits"
images = 30
train = { epochs = 1, validation = 0.0 }
options = { fgsm = { eps = 0.2 } }
minutes = 1
[scales.twice]
scenario = "digits"
images = 30
seeds = [0, 1]
train = { epochs = 1, validation = 0.0 }
networks = ["small"]
minutes = 1
[networks.small]
title = "4 units"
model = "fully_connected"
options = { units = 4 }
[networks.large]
title = "32 units"
model = "fully_connected"
options = { units = 32 }
[views.plain]
title = "plain"
[views.averaged]
title = "-M"
defenses = [{ name = "mc_dropout", options = { samples = 8, rate = 0.2 } }]
[conditions.clean]
title = "clean"
judged = ["plain"]
[conditions.fgsm]
title = "FGSM"
attack = { name = "fgsm", options = { eps = 0.3 } }
crafted_on = "plain"
judged = ["plain", "averaged"]
detected = "averaged"
detectors = [{ name = "variance_threshold" }, { name = "variance_logistic" }]
histogram = { detector = "variance_threshold", low = 0.0, high = 0.05, count = 10 }
[[tables]]
title = "Table 1"
[[tables.columns]]
title = "Clean"
condition = "clean"
figure = "plain.clean"
[[tables.columns]]
title = "FGSM"
condition = "fgsm"
figure = "averaged.accuracy"
[[tables.columns]]
title = "μ"
condition = "fgsm"
figure = "averaged.variance_threshold.clean_mean"
unit = "number"
[tables.paper]
small = [0.5, 0.25, 2e-3]
[[claims]]
text = "Larger is better."
[[claims.checks]]
kind = "rising"
networks = ["small", "large"]
value = { condition = "clean", figure = "plain.clean" }
[[claims]]
text = "Averages gain."
[[claims.checks]]
kind = "above"
networks = ["small"]
bound = -1.0
[claims.checks.value]
condition = "fgsm"
figure = "averaged.accuracy"
less = { condition = "fgsm", figure = "plain.accuracy" }
[[masked]]
title = "At 0.2"
naive = { condition = "clean", figure = "plain.clean" }
adaptive = [{ condition = "fgsm", figure = "plain.accuracy" }]
looks_robust = 0.5
falls = 0.1
[[histograms]]
title = "Figure 1"
condition = "fgsm"
networks = ["small", "large"]
xlabel = "uncertainty"
""",
)

# The same with an attack at several values of an option, drawn as a curve.
SWEPT = SMALL.text.replace(
    '[conditions.clean]\ntitle = "clean"\njudged = ["plain"]',
    """[conditions.clean]
title = "clean"
judged = ["plain"]
[conditions.noise]
title = "noise"
attack = { name = "white_to_black" }
sweep = { option = "count", values = [0, 5, 20], averaged = [5, 20] }
within = { norm = "l0", distance = 5 }
judged = ["plain"]
images = 20
[[curves]]
title = "Figure 2"
panels = [{ title = "White to black", condition = "noise" }]
figure = "plain.accuracy"
networks = ["small", "large"]
xlabel = "generations"
[[tables]]
title = "Noise"
columns = [
    { title = "5", condition = "noise", figure = "plain.accuracy@5" },
    { title = "20", condition = "noise", figure = "plain.accuracy@20" },
]
paper = { small = [0.6, 0.2] }""",
)


def finished_by_hand(study, scale, folder, figures):
    """Write results by hand: `(network, condition) → figures`, the same for every seed."""
    for cell in cells_of(study, scale):
        if (by_hand := figures.get((cell.network_name, cell.condition_name))) is not None:
            values = by_hand[cell.seed] if isinstance(by_hand, list) else by_hand
            write_cell(result(cell, values), cell.file(folder))
    return Lookup(cells_of(study, scale), folder)


def result(cell: Cell, figures, **more):
    return Result(
        study=cell.study.name,
        scale=cell.scale_name,
        network=cell.network_name,
        condition=cell.condition_name,
        seed=cell.seed,
        key=cell.key,
        figures=figures,
        seconds=1.0,
        command="by hand",
        versions={"tfrobust": "0"},
        **more,
    )

"""A defended network attacked naively and by somebody who knows the defence."""

from tfrobust.evaluation.evaluator import evaluate
from tfrobust.registry import create


def naive_and_knowing(classifier, eps, *, norm="linf", limit=100, steps=40):
    """Return the accuracy of a network of digits under PGD, and that which adaptive attacks leave.

    Both start at the network's own accuracy, the third number.
    """
    attack = create("attacks", "pgd", eps=eps, norm=norm, steps=steps)
    scenario = create("scenarios", "digits")
    evaluated = evaluate(
        {"c": classifier}, scenario, [attack], baselines=(), adaptive=(), limit=limit
    )
    [evaluation] = evaluated.results.evaluations
    knowing = min(run.accuracy for run in evaluation.adaptive)
    return evaluation.attacks[0].accuracy, knowing, evaluation.clean.accuracy

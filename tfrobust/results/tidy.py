"""Results as tidy tables: one row a classifier, attack and budget; one row an image of these."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tfrobust.errors import UsageError
from tfrobust.results.attack_records import NORMS, AttackResult
from tfrobust.results.kinds import kind_of
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation, Results

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 3  # names of classifiers in a line
_IN_HTML = {
    "classifier": "classifier",
    "attack": "attack",
    "kind": "kind",
    "norm": "norm",
    "eps": "ε",
    "accuracy": "accuracy",
    "low": "from",
    "high": "to",
}


def rows_of(results: Results) -> Iterator[dict[str, Any]]:
    """Yield a row for each classifier, attack and budget.

    Args:
        results: of an evaluation.

    Returns:
        Rows of `classifier`, `defenses` (innermost first, joined by `+`),
        `scenario`, `split`, `images`; `attack`, `kind` (`white box`, `black box`, `transfer`,
        `adaptive` or `noise`; `clean`: of a classifier under no attack, without the keys of
        attacks), `norm`, `eps`, `targeted`, `crafted_on`, `options` (JSON); `clean_accuracy`,
        `accuracy` with its 95 % Wilson interval `low` to `high`, `success_rate`, `fooling_ratio`;
        `mean_l0` to `median_linf`: distances of the images that were broken;
        `gradients_per_image`, `queries_per_image`; `median_queries`, `accuracy_area` and
        `distance_area`: see `query_curve.QueryCurve`; `violations`, `seconds`. What is not known is
        `None`.
    """
    for evaluation in results.evaluations:
        if not (evaluation.attacks or evaluation.adaptive):
            yield _about(evaluation) | _unattacked(evaluation)
        for attack in (*evaluation.attacks, *evaluation.adaptive, *evaluation.baselines):
            yield _about(evaluation) | _found(evaluation, attack)


def _about(evaluation: Evaluation) -> dict[str, Any]:
    classifier, scenario = evaluation.classifier, evaluation.scenario
    return {
        "classifier": classifier.name,
        "defenses": "+".join(defense.name for defense in classifier.defenses),
        "scenario": scenario.name + (f"+{scenario.shift}" if scenario.shift else ""),
        "split": scenario.split,
        "images": scenario.images,
    }


def _unattacked(evaluation: Evaluation) -> dict[str, Any]:
    """Return the row of a classifier under no attack: its clean accuracy."""
    low, high = evaluation.clean.interval
    share = evaluation.clean.accuracy
    return {"kind": "clean", "clean_accuracy": share, "accuracy": share, "low": low, "high": high}


def _found(evaluation: Evaluation, attack: AttackResult) -> dict[str, Any]:
    distances = {
        f"{what}_{norm}": getattr(attack.distance[norm], what)
        for norm in NORMS
        for what in ("mean", "median")
    }
    return {
        "attack": attack.name,
        "kind": kind_of(attack, evaluation.classifier.name),
        "norm": attack.threat.norm,
        "eps": attack.params.get("eps"),
        "targeted": attack.threat.targeted,
        "crafted_on": attack.crafted_on,
        "options": json.dumps(attack.params, sort_keys=True),
        "clean_accuracy": evaluation.clean.accuracy,
        "accuracy": attack.accuracy,
        "low": attack.interval[0],
        "high": attack.interval[1],
        "success_rate": attack.success_rate,
        "fooling_ratio": attack.fooling_ratio,
        **distances,
        "gradients_per_image": attack.gradients_per_image,
        "queries_per_image": attack.queries_per_image,
        "median_queries": attack.by_queries and attack.by_queries.median,
        "accuracy_area": attack.by_queries and attack.by_queries.accuracy_area,
        "distance_area": attack.by_queries and attack.by_queries.distance_area,
        "violations": attack.violations,
        "seconds": attack.seconds,
    }


def query_rows_of(results: Results) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of queries of each black-box attack on each classifier.

    Args:
        results: of an evaluation.

    Returns:
        Rows of `classifier`, `attack`, `kind`, `norm`, `eps` and `options` as in `rows_of`, the
        number of `queries` an image, and the `accuracy` that is left and the median `distance`
        that is reached by then; `None`: not known, or not reached.
    """
    for evaluation in results.evaluations:
        for attack in (*evaluation.attacks, *evaluation.adaptive):
            curve = attack.by_queries
            for k, queries in enumerate(curve.queries if curve else ()):
                yield {
                    "classifier": evaluation.classifier.name,
                    "attack": attack.name,
                    "kind": kind_of(attack, evaluation.classifier.name),
                    "norm": attack.threat.norm,
                    "eps": attack.params.get("eps"),
                    "options": json.dumps(attack.params, sort_keys=True),
                    "queries": queries,
                    "accuracy": curve.accuracy[k] if curve and curve.accuracy else None,
                    "distance": curve.distance[k] if curve and curve.distance else None,
                }


def frame_of(results: Results) -> pd.DataFrame:
    """Return `rows_of` as a frame of pandas; see `Results.to_pandas`."""
    import pandas as pd

    return pd.DataFrame(list(rows_of(results)))


def fates_of(results: Results, outcomes: Outcomes) -> pd.DataFrame:
    """Return the fate of every image; see `Outcomes.to_pandas`.

    Raises:
        UsageError: they are not of one run.
    """
    import pandas as pd

    if (results.run or "") != outcomes.run and outcomes.run:
        raise UsageError("to_pandas: expected results and outcomes of the same run")
    labels = outcomes.column("label")
    frames = []
    for number, evaluation in enumerate(results.evaluations):
        clean = outcomes.column(f"e{number}_clean")
        for key, attack in _keyed(evaluation):
            columns = {
                "image": np.arange(len(labels)),
                "label": labels,
                "classifier": evaluation.classifier.name,
                "attack": attack.name,
                "norm": attack.threat.norm,
                "eps": attack.params.get("eps"),
                "kind": kind_of(attack, evaluation.classifier.name),
                "options": json.dumps(attack.params, sort_keys=True),
                "clean": clean,
                "prediction": outcomes.column(f"e{number}_{key}_prediction"),
                "success": outcomes.column(f"e{number}_{key}_success"),
            }
            columns |= {norm: outcomes.column(f"e{number}_{key}_{norm}") for norm in NORMS}
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _keyed(evaluation: Evaluation) -> Iterator[tuple[str, AttackResult]]:
    """Yield each attack with its key in the names of columns."""
    for letter, attacks in (("a", evaluation.attacks), ("x", evaluation.adaptive)):
        yield from ((f"{letter}{k}", attack) for k, attack in enumerate(attacks))


def lines_of(results: Results) -> tuple[str, str, str]:
    """Return what results say in three lines: of what, before any attack, after all of them."""
    evaluations = results.unshifted
    names = [evaluation.classifier.name for evaluation in evaluations]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN))
    about = _about(evaluations[0])
    attacks = max(len(e.attacks) + len(e.adaptive) for e in evaluations)
    worst = ", ".join(f"{e.worst_case.accuracy:.1%}" for e in evaluations[:_SHOWN])
    clean = ", ".join(f"{e.clean.accuracy:.1%}" for e in evaluations[:_SHOWN])
    return (
        f"Results of {shown} on {about['images']:,} images of {about['scenario']} "
        f"({about['split']})",
        f"clean {clean}",
        f"worst case of {attacks} attack{'s' * (attacks != 1)} {worst}"
        if attacks
        else "no attacks",
    )


def html_of(results: Results) -> str:
    """Return the rows as a table of HTML for a notebook; everything in it is escaped."""
    head = "".join(f"<th>{title}</th>" for title in _IN_HTML.values())
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row.get(name))}</td>" for name in _IN_HTML) + "</tr>"
        for row in rows_of(results)
    )
    said = "<br>".join(html.escape(line) for line in lines_of(results))
    return f"<p>{said}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))

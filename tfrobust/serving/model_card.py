"""The card of an exported model for people, in the format of Hugging Face's hub.

Mitchell et al., "Model cards for model reporting" (2019).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tfrobust.classifier import AppliedDefense
from tfrobust.errors import UsageError, did_you_mean
from tfrobust.report.formats import markdown_table
from tfrobust.report.tables import accuracy_table, attack_title
from tfrobust.results.records import Evaluation, Results
from tfrobust.results.run_files import read_run
from tfrobust.store.cards import Card

README = "README.md"
_SHOWN = 20  # classes


def evaluation_in(run: Path | str, name: str, card: Card) -> Evaluation:
    """Return a run's evaluation of a classifier.

    Args:
        run: a folder of `tfrobust evaluate`.
        name: of the classifier; a run of one classifier may call it otherwise.
        card: of the classifier.

    Raises:
        StoreError: the run cannot be read.
        UsageError: it has no evaluation of this classifier, or is of another one.
    """
    evaluations = read_run(Path(run))[0].unshifted
    named = [e for e in evaluations if e.classifier.name == name]
    if not named and len(evaluations) > 1:
        names = [e.classifier.name for e in evaluations]
        raise UsageError(
            f"evaluated: {run} has no classifier {name!r}, only {', '.join(names)}"
            f"{did_you_mean(name, names)}"
        )
    evaluation = (named or evaluations)[0]
    if differing := list(_differences(evaluation, card)):
        raise UsageError(
            f"evaluated: {run} is of another classifier: {'; '.join(differing)}; evaluate the one "
            "that is exported"
        )
    return evaluation


def model_card(card: Card, name: str, evaluation: Evaluation | None = None) -> str:
    """Return a model card in Markdown, with metadata that Hugging Face's hub reads.

    Args:
        card: of the classifier.
        name: by which it is served.
        evaluation: of this classifier; `None`: the card says that nothing is known.

    Example:
        >>> print(model_card(card, "d1", evaluation).splitlines()[1])
        library_name: tensorflow
    """
    parts = [_front_matter(card, name, evaluation), _what_it_is(card, name)]
    parts += [_robustness(evaluation, name), _use(card)]
    return "\n".join(parts)


def _differences(evaluation: Evaluation, card: Card) -> Iterator[str]:
    """Yield in what the classifier of a run differs from that of a card."""
    record = evaluation.classifier
    if record.image_shape != card.image_shape:
        yield f"it takes {_shape(record.image_shape)}, this one {_shape(card.image_shape)}"
    if record.num_classes != len(card.class_names):
        yield f"it has {record.num_classes} classes, this one {len(card.class_names)}"
    theirs, ours = _applied(record.defenses), _applied(card.defenses)
    if theirs != ours:
        yield f"its defences are {theirs or 'none'}, those of this one {ours or 'none'}"


def _applied(defenses: list[AppliedDefense] | tuple[AppliedDefense, ...]) -> str:
    return ", ".join(f"{d.name} {json.dumps(d.params, sort_keys=True)}" for d in defenses)


def _front_matter(card: Card, name: str, evaluation: Evaluation | None) -> str:
    """Return the metadata, as YAML; scalars are JSON, which YAML contains."""
    lines = ["---", "library_name: tensorflow", "pipeline_tag: image-classification", "tags:"]
    lines += [f"- {tag}" for tag in ("tensorflow", "adversarial-robustness", "tfrobust")]
    dataset = card.scenario.partition("+")[0] if card.scenario else None
    if dataset:
        lines += ["datasets:", f"- {json.dumps(dataset)}"]
    metrics = list(_metrics(card, evaluation))
    tested = evaluation.scenario.name if evaluation else dataset
    if metrics and tested:
        lines += ["model-index:", f"- name: {json.dumps(name)}", "  results:", "  - task:"]
        lines += ["      type: image-classification", "    dataset:"]
        lines += [f"      name: {json.dumps(tested)}", f"      type: {json.dumps(tested)}"]
        lines += [f"      split: {json.dumps(evaluation.scenario.split)}"] if evaluation else []
        lines += ["    metrics:"]
        for title, value in metrics:
            lines += [
                "    - type: accuracy",
                f"      name: {json.dumps(title, ensure_ascii=False)}",
            ]
            lines += [f"      value: {value:.4f}"]
    return "\n".join([*lines, "---", ""])


def _metrics(card: Card, evaluation: Evaluation | None) -> Iterator[tuple[str, float]]:
    """Yield the title and value of each figure."""
    if evaluation is None:
        if card.clean_accuracy is not None:
            yield "accuracy", card.clean_accuracy
        return
    yield "accuracy", evaluation.clean.accuracy
    adversarial = [attack for attack in evaluation.attacks if not attack.corrective]
    for attack in adversarial:
        yield f"robust accuracy under {' '.join(attack_title(attack).split())}", attack.accuracy
    if adversarial:
        yield "robust accuracy under all attacks", evaluation.worst_case.accuracy


def _what_it_is(card: Card, name: str) -> str:
    """Return what was trained on what, what it takes and what it answers."""
    model = (card.model or {}).get("name")
    trained = f", trained on `{card.scenario}`" if card.scenario else ""
    lines = [f"# {_plain(name)}", "", f"An image classifier{_of(model)}{trained}.", ""]
    for defense in card.defenses:
        given = ", ".join(f"{key} = {value}" for key, value in defense.params.items())
        lines.append(f"- defence `{defense.name}`: {_plain(given) or 'without options'}")
    lines += ["- no defence"] if not card.defenses else []
    names = [_plain(label) for label in card.class_names[:_SHOWN]]
    more = f" and {len(card.class_names) - _SHOWN} more" if len(card.class_names) > _SHOWN else ""
    lines.append(f"- images: {_shape(card.image_shape)}, float32 from 0 to 1")
    lines.append(f"- {len(card.class_names)} classes: {', '.join(names)}{more}")
    lines.append(f"- answers: `{card.serves}`")
    if card.imitates is not None:
        copied = card.imitates
        lines.append(
            f"- imitates {_plain(copied.of)}: the same class for {copied.agreement[-1]:.1%} of "
            f"{copied.held_out} held-out images, after {copied.queries:,} queries for "
            f"{copied.answers}"
        )
    if card.stochastic:
        lines.append(f"- it answers at random; an answer averages {card.passes} passes")
    if card.batch_dependent:
        lines.append("- its answers depend on the other images of the batch")
    return "\n".join([*lines, ""])


def _of(model: object) -> str:
    return f" (`{model}`)" if isinstance(model, str) else ""


def _robustness(evaluation: Evaluation | None, name: str) -> str:
    """Return the section on robustness: the table, what to think of it, and what it is not."""
    lines = ["## Robustness", ""]
    if evaluation is None:
        command = f"tfrobust evaluate {name} --suite standard --out runs/{name}"
        return "\n".join([*lines, f"Nothing is known of it. Measure it: `{command}`.", ""])
    alone = Results(evaluations=[evaluation], environment={})
    lines += [markdown_table(accuracy_table(alone)).strip(), ""]
    lines += [f"- {_plain(warning)}" for warning in evaluation.warnings]
    if evaluation.signs is not None:
        lines.append(f"- signs of masked gradients: {_plain(evaluation.signs.line)}")
    lines.append("- accuracy under attacks is an upper bound: a stronger attack may leave less")
    lines.append("- it holds for these images and budgets, and for no others")
    return "\n".join([*lines, ""])


def _use(card: Card) -> str:
    """Return ten lines that load the model and ask it."""
    height, width, channels = card.image_shape
    return "\n".join(
        [
            "## Use",
            "",
            "```python",
            "import tensorflow as tf",
            "",
            'model = tf.saved_model.load("PATH/TO/THIS/FOLDER")',
            f"images = tf.zeros((1, {height}, {width}, {channels}))  # pixels from 0 to 1",
            f'answers = model.signatures["serving_default"](images=images)["{card.serves}"]',
            "```",
            "",
            "Made by tfrobust; `assets.extra/tfrobust.json` has all that is known of it.",
            "",
        ]
    )


def _shape(shape: tuple[int, int, int]) -> str:
    return " × ".join(map(str, shape))


def _plain(text: str) -> str:
    """Return a text from a file on one line, without what Markdown or HTML would read."""
    for special in "\\|*_`<>![]#":
        text = text.replace(special, f"\\{special}")
    return " ".join(text.split())

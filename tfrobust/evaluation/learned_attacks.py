"""What a run does with attacks that learn: checks and describes their files, keeps new ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.data.spooled import spooled
from tfrobust.engine.learned_files import Origin, spelt
from tfrobust.engine.learning import Learned, LearningAttack, learned, read_learned
from tfrobust.errors import UsageError
from tfrobust.registry import name_of
from tfrobust.scenario import Scenario


def learned_from(
    attack: LearningAttack, classifier: Classifier, scenario: Scenario, *, seed: int = 0
) -> Learned:
    """Return the attack as an evaluation of this seed has it ready.

    See `learned`; what there is to learn from is the scenario's training split.
    """
    if attack.file is not None and attack.file.exists():
        return read_learned(attack)
    images, labels = spooled(scenario, "train", attack.training_images)
    return learned(attack, classifier, images, labels, seed=seed)


def keep_learned(
    attacks: Sequence[Attack],
    classifiers: Mapping[str, Classifier],
    scenario: Scenario,
    folder: Path,
    *,
    seed: int,
) -> None:
    """Keep what attacks that name no file learned on each classifier, as `ATTACK-CLASSIFIER.npz`.

    Args:
        attacks: of one evaluation; where one has several budgets, the file names them too.
        classifiers: name → the attacked classifier.
        scenario: they learned from its training split. What is not `remembering` what it learned
            learns it again.
        folder: of the files.
        seed: of the evaluation.

    Raises:
        StoreError: the disk refuses.
    """
    learning = [
        attack for attack in attacks if isinstance(attack, LearningAttack) and attack.file is None
    ]
    times = Counter(map(name_of, learning))
    for attack in learning:
        attack_name = name_of(attack)
        if times[attack_name] > 1 and attack.budget is not None:
            attack_name += f"-{attack.budget:g}"
        for name, classifier in classifiers.items():
            file = re.sub(r"[^\w.-]+", "-", f"{attack_name}-{name}")
            learned_from(attack, classifier, scenario, seed=seed).save(folder / f"{file}.npz")


def check_files(attacks: Iterable[Attack], classifiers: Sequence[Classifier]) -> None:
    """Refuse files that do not fit, or that would be learned for several, before anything runs.

    Args:
        attacks: of one evaluation.
        classifiers: the classifiers to fool.

    Raises:
        UsageError: what a file holds was learned for other images or options; or a file is not
            there, and several classifiers or budgets would share what the first of them learns.
        StoreError: a file cannot be read.
    """
    missing: set[Path] = set()
    for attack in attacks:
        if not isinstance(attack, LearningAttack) or attack.file is None:
            continue
        if attack.file.exists():
            ready = read_learned(attack)
            for classifier in classifiers:
                ready.check(classifier)
        elif len(classifiers) > 1 or attack.file in missing:
            raise UsageError(
                f"{name_of(attack)}: file: {attack.file} is not there yet, and several classifiers "
                "or budgets would share what the first of them learns; learn one at a time"
            )
        else:
            missing.add(attack.file)


def check_learns_anew(attacks: Iterable[Attack]) -> None:
    """Refuse attacks that would not learn again on another classifier.

    Args:
        attacks: of an evaluation that attacks a classifier again after it was trained on them.

    Raises:
        UsageError: one applies what its file holds, which is the same each time.
    """
    for attack in attacks:
        if isinstance(attack, LearningAttack) and attack.file is not None:
            raise UsageError(
                f"reattack: {name_of(attack)}: file: a file shows every classifier the same; leave "
                "it out: it is learned on each, and kept beside the results"
            )


def file_notes(attacks: Iterable[Attack], classifiers: Mapping[str, Classifier]) -> list[str]:
    """Return a line for each file: what it was learned on and what differs now, or that it is new.

    Args:
        attacks: of one evaluation.
        classifiers: name → the classifier to attack.

    Raises:
        UsageError: a file was learned for other images or options.
        StoreError: it cannot be read.

    Example:
        >>> file_notes([create("attacks", "gap", file="runs/gap.npz")], {"d2": classifier})
        ['gap: read from runs/gap.npz, learned on saved_models/d1/1: another classifier than d2']
    """
    lines = []
    for attack in attacks:
        if not isinstance(attack, LearningAttack) or attack.file is None:
            continue
        if not attack.file.exists():
            lines.append(
                f"{name_of(attack)}: {attack.file} is not there: it is learned on "
                f"{', '.join(classifiers)}, and written to it"
            )
        else:
            ready = read_learned(attack)
            for classifier in classifiers.values():
                ready.check(classifier)
            if ready.origin is not None:
                lines.append(_note(attack, ready.origin, classifiers))
    return lines


def _note(attack: LearningAttack, origin: Origin, classifiers: Mapping[str, Classifier]) -> str:
    others = [name for name, other in classifiers.items() if not origin.is_of(other)]
    line = f"{name_of(attack)}: read from {attack.file}, learned on "
    line += origin.classifier or "a classifier that was not loaded from a file"
    line += f": another classifier than {', '.join(others)}" if others else ""
    differing = [
        f"{name}={spelt(then)} (here: {spelt(now)})"
        for name, (then, now) in origin.others_than(attack).items()
        if name not in attack.binding
    ]
    return line + (f"; with {', '.join(differing)}" if differing else "")

"""Certificates beside attacks: the accuracy of a classifier lies between the two.

A certificate bounds accuracy under any attack from below, an attack bounds it from above. An image
that is broken within the radius that a certifier has proven shows that one of the two is wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tfrobust.attack import Attack
from tfrobust.certification.measuring import Measured, Part, measure
from tfrobust.certification.settings import Progress, check_certifiable
from tfrobust.certification.summaries import contradicted, counted, figures
from tfrobust.certifier import Certifier
from tfrobust.classifier import Classifier
from tfrobust.errors import UsageError
from tfrobust.execution.executor import Executor
from tfrobust.files.finished_work import FinishedWork
from tfrobust.norms.distances import within_budget
from tfrobust.registry import name_of
from tfrobust.results.certificates import CertificateBesideAttacks
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.proportions import Proportion
from tfrobust.results.records import Evaluation
from tfrobust.results.run_files import Evaluated, identified
from tfrobust.scenario import Scenario
from tfrobust.types import Flags, PerImage


@dataclasses.dataclass(frozen=True)
class Broken:
    """The images that an attack leaves answered wrongly.

    Attributes:
        attack: its name; `clean images`: no attack was needed.
        distance: float64 `(n,)`: of the images that were answered, in the certifier's norm.
        wrong: bool `(n,)`: those that are answered wrongly.
    """

    attack: str
    distance: PerImage
    wrong: Flags


def check_beside(
    certifiers: Sequence[Certifier],
    classifiers: Mapping[str, Classifier],
    attacks: Sequence[Attack],
    *,
    adaptive: bool,
) -> None:
    """Refuse certifiers that say nothing of what is attacked, before anything is attacked.

    Args:
        certifiers: with their options.
        classifiers: name → what is attacked.
        attacks: on all of them.
        adaptive: whether other attacks, which the defences declare, are run too.

    Raises:
        UsageError: a certifier cannot certify a classifier, or certifies another one than is
            attacked, or in a norm in which nothing is attacked.
    """
    for certifier in certifiers:
        label, norm = name_of(certifier), certifier.norm
        norms = list(dict.fromkeys(attack.threat.norm for attack in attacks))
        if not adaptive and norm not in norms:
            attacked = ", ".join(str(norm) for norm in norms if norm) or "no norm"
            raise UsageError(
                f"{label}: its radii are in {norm}, and the attacks work in {attacked}; give "
                f"-p {label}.norm=… or an attack in {norm}"
            )
        for name, classifier in classifiers.items():
            check_certifiable(certifier, name, classifier)
            if not certifier.certifies_answers(classifier):
                raise UsageError(
                    f"{name}: {label} would certify it with other noise than it answers by, and "
                    "the attacks say nothing of that; train it with --defense "
                    "randomized_smoothing, or ask `tfrobust certify`"
                )


def with_certificates(
    evaluated: Evaluated,
    certifiers: Sequence[Certifier],
    classifiers: Mapping[str, Classifier],
    scenario: Scenario,
    *,
    finished: FinishedWork | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Evaluated:
    """Return an evaluation with what certifiers prove at the budgets of its attacks.

    Args:
        evaluated: what the attacks left.
        certifiers: accepted by `check_beside`.
        classifiers: those that were evaluated, by name.
        scenario: where the images come from.
        finished: keeps certificates, so that an interrupted run goes on where it stopped.
        progress: receives how many certificates there are.
        executor: computes the certificates; `None`: this process.

    Raises:
        DataError: images or labels break the contract.
        PluginError: a certifier fails, or breaks its contract.
        WorkerError: workers die; the certificates that there are, are kept.
    """
    if not certifiers:
        return evaluated
    results, outcomes = evaluated.results, evaluated.outcomes
    computed = _computed(evaluated)
    of = results.evaluations[0].scenario
    part = Part(scenario, of.split, len(computed), of.seed)
    asked = [
        sorted({eps for one in results.evaluations for eps in budgets_in(certifier.norm, one)})
        for certifier in certifiers
    ]
    every = measure(
        classifiers, certifiers, part,
        eps=asked, finished=finished, progress=progress, executor=executor,
    )  # fmt: skip
    evaluations = []
    for number, (evaluation, measured) in enumerate(zip(results.evaluations, every, strict=True)):
        attacked = _Attacked(
            number, evaluation, outcomes, classifiers[evaluation.classifier.name].stochastic
        )
        lines = [
            attacked.beside(certifier, one.of(computed))
            for certifier, one in zip(certifiers, measured.by, strict=True)
        ]
        evaluations.append(evaluation.model_copy(update={"certificates": lines}))
    results = results.model_copy(update={"evaluations": evaluations})
    return dataclasses.replace(evaluated, results=identified(results, outcomes))


def _computed(evaluated: Evaluated) -> Flags:
    """Return which images of the split were attacked, bool `(all,)`."""
    missing = evaluated.results.incomplete
    count = len(evaluated.outcomes) + sum(part.stop - part.start for part in missing)
    computed = np.ones(count, bool)
    for part in missing:
        computed[part.start : part.stop] = False
    return computed


def budgets_in(norm: str, evaluation: Evaluation) -> list[float]:
    """Return the budgets of an evaluation's attacks in a norm, in ascending order."""
    attacks = (*evaluation.attacks, *evaluation.adaptive)
    given = {attack.params.get("eps") for attack in attacks if attack.threat.norm == norm}
    return sorted(float(eps) for eps in given if eps)


@dataclasses.dataclass(frozen=True)
class _Attacked:
    """A classifier under all attacks of a run.

    Attributes:
        number: of its evaluation.
        evaluation: what is known of it.
        outcomes: of all images.
        stochastic: whether it answers at random.
    """

    number: int
    evaluation: Evaluation
    outcomes: Outcomes
    stochastic: bool

    def beside(self, certifier: Certifier, measured: Measured) -> CertificateBesideAttacks:
        """Return what a certifier proves, between it and the attacks."""
        budgets = budgets_in(certifier.norm, self.evaluation)
        right = self._column("clean") == self.outcomes.column("label")
        left = {eps: right.copy() for eps in budgets}
        against, names = np.zeros(len(right), bool), list[str]()
        for broken in self._broken(certifier.norm):
            for eps in budgets:
                left[eps] &= ~(broken.wrong & within_budget(broken.distance, eps))
            excluded = contradicted(measured.radii, broken.distance, broken.wrong)
            if excluded.any():
                names.append(broken.attack)
            against |= excluded
        judged = counted(certifier, against, stochastic=self.stochastic)
        return CertificateBesideAttacks(
            **figures(certifier, measured, budgets),
            **judged,
            attacked=[Proportion.of(alive) for alive in left.values()],
            contradicted_by=list(dict.fromkeys(names)),
        )

    def _broken(self, norm: str) -> Iterator[Broken]:
        """Yield what is answered wrongly: clean images, then those of each attack."""
        labels = self.outcomes.column("label")
        wrong_before = self._column("clean") != labels
        yield Broken("clean images", np.zeros(len(labels)), wrong_before)
        kinds = (("a", self.evaluation.attacks), ("x", self.evaluation.adaptive))
        for key, attack in ((f"{kind}{k}", a) for kind, of in kinds for k, a in enumerate(of)):
            if attack.corrective:
                continue
            wrong = self._column(f"{key}_prediction") != labels
            # Beyond its budget an image counts as unbroken; its distance is known all the same.
            if attack.minimum_norm and not attack.threat.targeted:
                wrong |= self._column(f"{key}_reached")
            yield Broken(attack.name, self._column(f"{key}_{norm}"), wrong & ~wrong_before)

    def _column(self, name: str) -> np.ndarray:
        return self.outcomes.column(f"e{self.number}_{name}")

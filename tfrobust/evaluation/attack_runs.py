"""Runs the attacks of an evaluation on one block: what several judgements share is crafted once."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.random_state import reseed
from tfrobust.engine.learning import Learned
from tfrobust.engine.run import Crafted, run_attack
from tfrobust.engine.staged import GrowingAttack, grown_together, run_stages
from tfrobust.evaluation.attack_groups import grouped
from tfrobust.evaluation.blocks.block import BlockImages
from tfrobust.evaluation.blocks.prepared import Prepared, without_budget
from tfrobust.evaluation.blocks.rows import AttackRows, ClassifierRows, Cost, DetectorRows
from tfrobust.evaluation.curves.warm_starts import Part, Rung
from tfrobust.evaluation.judging import Subject, audited_rows
from tfrobust.evaluation.resuming import BlockFiles
from tfrobust.evaluation.sent_images import as_sent
from tfrobust.evaluation.settings import EvaluationSettings, Progress, reporter
from tfrobust.evaluation.spending import LiveSpending, unpaid_by
from tfrobust.registry import name_of, signature
from tfrobust.types import Labels


class AttackRuns:
    """Attacks one block of images, each attack once, and judges what comes back.

    Args:
        settings: of the evaluation; `baselines` are given.
        block: its images.
        prepared: what all blocks need.
        files: keeps finished attacks on disk, or `None`.
        progress: receives how far each attack is, of `total` images.
        total: how many images are evaluated.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        block: BlockImages,
        prepared: Prepared,
        *,
        files: BlockFiles | None = None,
        progress: Progress | None = None,
        total: int | None = None,
    ) -> None:
        self._settings, self._block, self._prepared = settings, block, prepared
        self._files, self._progress = files, progress
        self._total = len(block.block) if total is None else total
        # The key of growing noise has no classifier: it asks none.
        self._crafted: dict[tuple[Classifier | None, Attack], Crafted] = {}

    def judge_all(self, known: Mapping[str, Labels]) -> tuple[ClassifierRows, ...]:
        """Attack every classifier of the settings and judge it.

        All classifiers are judged on one group of attacks before the next group is crafted: what
        they share, such as what is crafted on one other classifier, is held for one group alone.

        Args:
            known: what classifiers are known to predict for the clean images, by name.
        """
        settings, baselines = self._settings, self._settings.baselines or ()
        subjects = []
        for name, classifier in settings.classifiers.items():
            clean = known[name] if name in known else self._clean(name, classifier)
            subjects.append(Subject(name, classifier, clean))
        attacked: dict[tuple[str, Attack], AttackRows] = {}
        noise: dict[tuple[str, Attack], AttackRows] = {}
        for group in grouped([*settings.attacks, *baselines], warm_start=settings.warm_start):
            hostile = [attack for attack in dict.fromkeys(group) if attack in settings.attacks]
            beside = [attack for attack in dict.fromkeys(group) if attack in baselines]
            for subject in subjects:
                watched = settings.watches(subject.name)
                rows = self.attack_all(subject, hostile, watched=watched)
                for attack, row in zip(hostile, rows, strict=True):
                    attacked[subject.name, attack] = row
                for attack, row in zip(beside, self.attack_all(subject, beside), strict=True):
                    noise[subject.name, attack] = row
            self._crafted.clear()
        return tuple(
            ClassifierRows(
                clean=subject.clean,
                attacked=tuple(attacked[subject.name, attack] for attack in settings.attacks),
                baselines=tuple(noise[subject.name, attack] for attack in baselines),
            )
            for subject in subjects
        )

    def attack_all(
        self, subject: Subject, attacks: Sequence[Attack], *, watched: bool = False
    ) -> list[AttackRows]:
        """Run the attacks on one classifier and audit what they made.

        A minimum-norm attack at several budgets runs once. So does noise at several counts, and an
        attack that is crafted on one other classifier for all.

        Args:
            subject: the classifier.
            attacks: with their options.
            watched: whether detectors look at it.
        """
        rows = [self._kept(subject, attack, watched) for attack in attacks]
        missing = [attack for attack, kept in zip(attacks, rows, strict=True) if kept is None]
        for stages in grown_together(missing):
            self._grow(subject, stages)
        wanted = Counter(map(without_budget, missing))
        for number, attack in enumerate(attacks):
            if rows[number] is not None:
                continue
            bare = without_budget(attack)
            rows[number] = self._judged(subject, attack, self._craft(subject, bare), watched)
            wanted[bare] -= 1
            if not (wanted[bare] or self._settings.crafted_on):
                self._crafted.pop((subject.classifier, bare), None)  # not needed again
        return [row for row in rows if row is not None]

    def _clean(self, name: str, classifier: Classifier) -> Labels:
        kept = self._files.load_clean(self._settings, classifier) if self._files else None
        if kept is not None:
            return kept
        self._reseed(classifier, "clean")
        images, batch_size = self._block.images, self._settings.batch_size
        clean = clean_predictions(classifier, images, name, batch_size)
        if self._files:
            self._files.save_clean(self._settings, classifier, clean)
        return clean

    def _kept(self, subject: Subject, attack: Attack, watched: bool) -> AttackRows | None:
        if self._files is None:
            return None
        return self._files.load(self._settings, subject.classifier, attack, watched=watched)

    def _judged(
        self,
        subject: Subject,
        attack: Attack,
        crafted: Crafted,
        watched: bool,
        after: Rung | None = None,
    ) -> AttackRows:
        settings, attacked = self._settings, self._settings.attacked_by(subject.classifier)
        crafted = as_sent(crafted, subject.classifier, attack, self._block.images)
        unpaid = unpaid_by(subject.classifier)
        self._reseed(subject.classifier, "audit", signature(attack))
        rows = audited_rows(
            self._block, subject, attack, crafted, settings.batch_size, keep=settings.keep_images
        )
        rows = rows if after is None else after.kept(rows)
        ready = self._prepared.ready(without_budget(attack), attacked)
        learning = None
        if isinstance(ready, Learned):
            learning = Cost(ready.gradients, ready.queries, 0.0, ready.first)
        rows = dataclasses.replace(
            rows,
            cost=Cost.of(crafted, learning),
            learning=learning,
            detectors=self._scores(subject, attack, crafted) if watched else (),
        )
        whole = not crafted.unpaid and unpaid_by(subject.classifier) == unpaid
        if self._files and whole:  # a larger budget would change the others
            self._files.save(settings, subject.classifier, attack, rows, watched=watched)
        return rows

    def _scores(
        self, subject: Subject, attack: Attack, crafted: Crafted
    ) -> tuple[DetectorRows, ...]:
        settings, block, protected = self._settings, self._block, subject.classifier
        attacked, bare = settings.attacked_by(protected), without_budget(attack)
        ready = self._prepared.detectors(attack, bare, attacked, protected, settings)
        place = settings.seed, block.block.start, signature(attack)
        return tuple(
            fitted.rows(
                block.images, crafted.images, settings.batch_size, *place, signature(detector)
            )
            for detector, fitted in zip(settings.detectors, ready, strict=True)
        )

    def _craft(self, subject: Subject, attack: Attack) -> Crafted:
        attacked = self._settings.attacked_by(subject.classifier)
        key = None if isinstance(attack, GrowingAttack) else attacked, attack
        if key not in self._crafted:
            crafted = self._run(subject, attacked, attack)
            if not (attack.minimum_norm or self._settings.crafted_on):
                return crafted
            self._crafted[key] = crafted
        return self._crafted[key]

    def _grow(self, subject: Subject, stages: Sequence[GrowingAttack]) -> None:
        """Make all stages of one noise, once for all classifiers."""
        settings, block = self._settings, self._block
        if all((None, stage) in self._crafted for stage in stages):
            return
        grown = run_stages(
            stages,
            settings.attacked_by(subject.classifier),
            block.images,
            block.labels,
            seed=settings.seed,
            on_progress=self._reporter(name_of(stages[-1])),
        )
        self._crafted |= {
            (None, stage): crafted for stage, crafted in zip(stages, grown, strict=True)
        }

    def _run(
        self, subject: Subject, attacked: Classifier, attack: Attack, part: Part | None = None
    ) -> Crafted:
        """Run an attack; with `part`, on some images from points to begin at."""
        settings, block = self._settings, self._block
        rows = slice(None) if part is None else part.rows
        targets = None
        if attack.threat.targeted and attack.target_class is None:
            targets = self._prepared.targets(attack, attacked, block)[rows]
        ready = self._prepared.ready(attack, attacked)
        self._reseed(attacked, "crafts", signature(attack))
        live = LiveSpending(self._progress, attacked)
        with live.shown():
            return run_attack(
                ready,
                attacked,
                block.images[rows],
                block.labels[rows],
                targets=targets,
                known_classes=settings.scenario.num_classes,
                starts=None if part is None else part.starts,
                boxes=None if block.boxes is None else block.boxes[rows],
                seed=settings.seed,
                batch_size=settings.batch_size,
                record=attacked is subject.classifier and part is None,
                on_progress=reporter(
                    live.progress, _title(subject, attack), self._total, self._block.block.start
                ),
            )

    def _reseed(self, classifier: Classifier, *what: object) -> None:
        """Let a stochastic classifier draw what it draws whoever computes this block, and when."""
        reseed(classifier, self._settings.seed, self._block.block.start, *what)

    def _reporter(self, what: str) -> Callable[[int], None] | None:
        return reporter(self._progress, what, self._total, self._block.block.start)


def _title(subject: Subject, attack: Attack) -> str:
    budget = "" if attack.budget is None or attack.minimum_norm else f" ε={attack.budget:g}"
    return f"{subject.name} · {name_of(attack)}{budget}"

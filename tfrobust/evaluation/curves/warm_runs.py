"""Runs the attacks of an evaluation on one block, with warm-started curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tfrobust.attack import Attack
from tfrobust.evaluation.attack_runs import AttackRuns
from tfrobust.evaluation.blocks.rows import AttackRows
from tfrobust.evaluation.curves.warm_starts import Rung, curves
from tfrobust.evaluation.judging import Subject


class WarmRuns(AttackRuns):
    """Climbs each curve from its smallest budget; other attacks run as in `AttackRuns`."""

    def attack_all(
        self, subject: Subject, attacks: Sequence[Attack], *, watched: bool = False
    ) -> list[AttackRows]:
        """Run the attacks on one classifier; see `AttackRuns`.

        Of a curve that was interrupted all budgets are run again: their images are gone.
        """
        done: dict[Attack, AttackRows] = {}
        for curve in curves(attacks):
            kept = [self._kept(subject, attack, watched) for attack in curve]
            whole = [rows for rows in kept if rows is not None]
            if len(whole) < len(curve):
                whole = list(self._climb(subject, curve, watched))
            done |= dict(zip(curve, whole, strict=True))
        rest = [attack for attack in attacks if attack not in done]
        done |= dict(zip(rest, super().attack_all(subject, rest, watched=watched), strict=True))
        return [done[attack] for attack in attacks]

    def _climb(
        self, subject: Subject, curve: Sequence[Attack], watched: bool
    ) -> Iterator[AttackRows]:
        """Yield the rows at one budget after the other."""
        attacked = self._settings.attacked_by(subject.classifier)
        rung: Rung | None = None
        for attack in curve:
            eps = attack.eps or 0.0
            if rung is None:
                crafted = self._run(subject, attacked, attack)
            elif rung.broken.all():
                crafted = rung.idle()
            else:
                part = rung.left(self._block.images, eps, whole=attacked.batch_dependent)
                crafted = rung.joined(self._run(subject, attacked, attack, part), part.rows)
            rung = Rung(eps, crafted, self._judged(subject, attack, crafted, watched, rung))
            yield rung.rows

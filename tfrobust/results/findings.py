"""What a check of a diagnosis found."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import pydantic

from tfrobust.files.record_types import AttackParams, Finite, Share, Text


class Verdict(enum.StrEnum):
    """What a check says of an accuracy under attack."""

    FINE = "fine"  # nothing speaks against it
    SUSPECT = "suspect"  # something does; it may be harmless
    MASKED = "masked"  # the attack fails for a reason that is not robustness
    NOT_APPLICABLE = "not applicable"  # the check asks for what is not there


class Remedy(pydantic.BaseModel):
    """The attack that a finding calls for, and what it left.

    Attributes:
        attack: its name.
        params: its options.
        follows: what its gradients are of, if not of the classifier itself.
        before: accuracy under the attack that was diagnosed.
        after: accuracy under both attacks, an image counting as right only if neither breaks it.
    """

    attack: Text
    params: AttackParams
    follows: Text | None = None
    before: Share
    after: Share


class Finding(pydantic.BaseModel):
    """What one check found.

    Attributes:
        check: its name.
        verdict: see `Verdict`.
        cause: in a few words; nothing where the verdict is fine.
        says: a sentence with the figure.
        figure: what was measured; `None`: nothing could be.
        threshold: the value of the figure at which the verdict changes.
        source: the paper that the check is from.
        remedy: what was done about it.
    """

    check: Text
    verdict: Verdict
    cause: Text | None = None
    says: Text
    figure: Finite | None = None
    threshold: Finite | None = None
    source: Text
    remedy: Remedy | None = None


class Signs(pydantic.BaseModel):
    """What a few passes tell of a classifier, beside an evaluation: no attack was run for it.

    Attributes:
        findings: one a check.
    """

    findings: list[Finding]

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict of all checks; not applicable where none could be made."""
        return gravest(self.findings)

    @property
    def line(self) -> str:
        """A sentence for a person in a hurry.

        Example:
            >>> Signs(findings=[]).line
            'no check could be made'
        """
        grave = [f for f in self.findings if f.verdict in (Verdict.MASKED, Verdict.SUSPECT)]
        if not grave:
            made = [f for f in self.findings if f.verdict is Verdict.FINE]
            if not made:
                return "no check could be made"
            return f"nothing suspicious found by {len(made)} checks"
        return "; ".join(f"{finding.verdict}: {finding.says}" for finding in grave)


def gravest(findings: Iterable[Finding]) -> Verdict:
    """Return the gravest verdict; not applicable where no check could be made.

    Example:
        >>> gravest([])
        <Verdict.NOT_APPLICABLE: 'not applicable'>
    """
    verdicts = {finding.verdict for finding in findings}
    order = (Verdict.MASKED, Verdict.SUSPECT, Verdict.FINE)
    return next((one for one in order if one in verdicts), Verdict.NOT_APPLICABLE)

"""Which networks look robust, and fall to an attack that knows the defence."""

from __future__ import annotations

import dataclasses

from tfrobust.study.results.lookup import Lookup
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.outputs import Masked
from tfrobust.study.schema.study import Study


@dataclasses.dataclass(frozen=True)
class MaskedVerdict:
    """Whether a network's robustness is real.

    Attributes:
        network: its title.
        naive: accuracy under the attack that does not know the defence.
        naive_range: its 95 % interval, as text.
        strongest: accuracy under the strongest attack that knows the defence.
        strongest_range: its 95 % interval, as text.
        by: the title of that attack.
        masked: whether it looks robust and falls.
    """

    network: str
    naive: float
    naive_range: str
    strongest: float
    strongest_range: str
    by: str
    masked: bool


def masked_verdicts(study: Study, lookup: Lookup) -> list[tuple[Masked, list[MaskedVerdict]]]:
    """Return each rule with the networks' verdicts; those not yet known are left out."""
    verdicts = []
    for rule in study.masked:
        by_network = [_verdict(study, rule, network, lookup) for network in study.networks]
        verdicts.append((rule, [verdict for verdict in by_network if verdict is not None]))
    return verdicts


def _verdict(study: Study, rule: Masked, network: str, lookup: Lookup) -> MaskedVerdict | None:
    """Return a network's verdict; `None` until every attack that is declared for it is known."""
    expected = [m for m in rule.adaptive if lookup.expects(network, m.condition)]
    values = [(lookup.value(network, measured), measured) for measured in expected]
    known = [(value, measured) for value, measured in values if value is not None]
    naive = lookup.value(network, rule.naive)
    if naive is None or not known or len(known) < len(values):
        return None
    strongest, by = min(known, key=lambda pair: pair[0])
    return MaskedVerdict(
        network=study.networks[network].title,
        naive=naive,
        naive_range=_range(lookup, network, rule.naive),
        strongest=strongest,
        strongest_range=_range(lookup, network, by),
        by=study.conditions[by.condition].title,
        masked=naive >= rule.looks_robust and strongest <= rule.falls,
    )


def _range(lookup: Lookup, network: str, measured: Measured) -> str:
    """Return a share's 95 % interval as text; with several seeds, none."""
    name, at, value = measured.figure.partition("@")  # in a sweep, the value comes last
    ends = [
        lookup.values(
            network, Measured(condition=measured.condition, figure=f"{name}_{end}{at}{value}")
        )
        for end in ("low", "high")
    ]
    if any(len(values) != 1 for values in ends):
        return ""
    return f" [{', '.join(f'{100 * values[0]:.1f}' for values in ends)}]"

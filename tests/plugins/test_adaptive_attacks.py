"""Every bundled defence names the attacks of somebody who knows it."""

import pytest

from tfrobust.registry import create, entries

PROMISES_NOTHING = {"fine_tuning"}
REQUIRED = {"contextual_fusion": {"background": "scenes"}}
NAMES = [entry.name for entry in entries("defenses")]


@pytest.mark.parametrize("name", NAMES)
def test_a_defence_names_attacks_that_can_be_run(name):
    defense = create("defenses", name, **REQUIRED.get(name, {}))
    assert bool(defense.adaptive) == (name not in PROMISES_NOTHING)
    for declared in defense.adaptive:
        assert declared.why
        assert declared.source
        own = create("attacks", declared.attack, **declared.options, eps=0.1)
        assert own.threat.norm
        for norm in declared.norms:
            attack = create(
                "attacks", declared.attack, **declared.options | {"norm": norm}, eps=0.1
            )
            assert attack.threat.norm == norm

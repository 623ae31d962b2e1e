"""Names of an earlier release are refused or warned about, with the name to write now."""

import importlib
import sys

import pytest

from tfrobust.attack import Attack
from tfrobust.defense import Defense
from tfrobust.engine.ensemble import Ensemble
from tfrobust.errors import PluginError
from tfrobust.options import option, plugin


@pytest.mark.parametrize(
    ("base", "name", "value", "instead"),
    [
        (Defense, "trains", True, "`stage = Stage.TRAINING` (`from tfrobust import Stage`)"),
        (Defense, "tunes", True, "`stage = Stage.FINE_TUNING` (`from tfrobust import Stage`)"),
        (Defense, "learns", True, "`stage = Stage.AUXILIARY` (`from tfrobust import Stage`)"),
        (Defense, "adapts", property(lambda self: True), "`changes_classes = True`"),
        (Attack, "helps", True, "`corrective = True`"),
        (Attack, "replaces", True, "`ignores_input = True`"),
        (Attack, "aim", property(lambda self: 3), "the property `target_class`"),
        (Ensemble, "aim", 3, "the property `target_class`"),
        (Ensemble, "parts", lambda self: [], "`def attacks(self)`"),
    ],
)
def test_a_former_name_is_refused_in_a_line_that_says_what_to_write(base, name, value, instead):
    with pytest.raises(PluginError) as refused:
        type("Old", (base,), {name: value})
    assert str(refused.value).startswith(f"Old: {name}: ")
    assert str(refused.value).endswith(f"; write {instead}")


def test_a_plugins_own_options_and_methods_may_have_former_names():
    @plugin
    class Aiming(Attack):
        aim: int = option("its own", default=3)

        def replaces(self):
            return self.aim

        threat = None

        def __call__(self, classifier, images, labels, *, seed):
            return images

    assert Aiming(aim=4).replaces() == 4


@pytest.mark.parametrize(
    ("old", "new", "name", "now"),
    [
        ("loop", "loop", "iterate", "iterate"),
        ("losses", "losses", "is_adversarial", "is_adversarial"),
        ("losses", "gradients", "pulled_back", "pulled_back"),
        ("losses", "gradients", "ascend", "loss_gradient"),
        ("growing", "staged", "GrowingAttack", "GrowingAttack"),
        ("regions", "regions", "confined", "confined"),
        ("ensemble", "ensemble", "Ensemble", "Ensemble"),
        ("learning", "learning", "LearningAttack", "LearningAttack"),
    ],
)
def test_the_old_name_of_a_module_still_works_and_warns(monkeypatch, old, new, name, now):
    monkeypatch.delitem(sys.modules, f"tfrobust.{old}", raising=False)
    with pytest.warns(DeprecationWarning, match=rf"tfrobust\.{old} .* tfrobust\.engine\.{new}"):
        module = importlib.import_module(f"tfrobust.{old}")
    home = importlib.import_module(f"tfrobust.engine.{new}")
    assert getattr(module, name) is getattr(home, now)

"""Plugins are listed without being imported; the broken ones never take the tool down."""

import importlib.metadata
import sys
import types

import pytest

from helpers.support import python
from tfrobust import registry
from tfrobust.attack import Attack, Threat
from tfrobust.errors import PluginError, UnavailableError, UsageError
from tfrobust.options import plugin


@plugin
class Nothing(Attack):
    """Returns the images."""

    @property
    def threat(self):
        return Threat("none", None)

    def __call__(self, classifier, images, labels, *, seed):
        return images


@pytest.fixture(autouse=True)
def _uncached(monkeypatch):
    """Plugins are looked up again at each call: they change without a folder that changes."""
    monkeypatch.setattr(registry, "_installed", lambda: (object(),))


@pytest.fixture
def installed(monkeypatch):
    """Pretend that packages registered these attacks: `installed(name="module:Class", …)`."""
    module = types.ModuleType("a_strangers_package")
    module.Nothing, module.NUMBER, module.Plain = Nothing, 7, type("Plain", (), {})
    module.Half = type("Half", (Attack,), {})
    module.Bare = type("Bare", (Attack,), {"threat": None, "__call__": lambda *_: None})
    monkeypatch.setitem(sys.modules, "a_strangers_package", module)

    def pretend(*registered):
        points = []
        for number, (name, target) in enumerate(registered):
            point = importlib.metadata.EntryPoint(name, target, "tfrobust.attacks")
            vars(point)["dist"] = types.SimpleNamespace(name=f"package{number}", version="1.2")
            points.append(point)

        def entry_points(*, group):
            return importlib.metadata.EntryPoints(p for p in points if p.group == group)

        monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)

    return pretend


def test_a_third_party_plugin_is_listed_with_its_distribution_and_built(installed):
    installed(("nothing", "a_strangers_package:Nothing"))
    (entry,) = registry.entries("attacks")
    assert (entry.name, entry.distribution, entry.problem) == ("nothing", "package0 1.2", None)
    assert registry.create("attacks", "nothing") == Nothing()


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("no_such_package:Attack", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("a_strangers_package:Missing", "AttributeError: .*Missing"),
        ("a_strangers_package:NUMBER", "the entry point names no class"),
        ("a_strangers_package:Plain", "its class is no tfrobust.attack.Attack"),
        ("a_strangers_package:Bare", "not decorated with @tfrobust.plugin"),
        ("a_strangers_package:Half", "its class does not define __call__, threat"),
        ("a_package_that_raises:Attack", "RuntimeError: my licence has expired"),
        ("a_package_that_exits:Attack", "SystemExit"),
    ],
)
def test_a_broken_plugin_is_named_with_distribution_entry_point_and_cause(
    installed, target, cause, tmp_path, monkeypatch
):
    (tmp_path / "a_package_that_raises.py").write_text(
        "raise RuntimeError('my licence has expired\\nhere is a page about it')"
    )
    (tmp_path / "a_package_that_exits.py").write_text("import sys\nsys.exit('no GPU')")
    monkeypatch.syspath_prepend(tmp_path)
    installed(("bad", target), ("nothing", "a_strangers_package:Nothing"))
    assert [entry.name for entry in registry.entries("attacks")] == ["bad", "nothing"]
    blame = rf"plugin attacks/bad is broken \(package0 1.2, entry point {target}\): .*{cause}"
    with pytest.raises(PluginError, match=blame) as refusal:
        registry.create("attacks", "bad")
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 1
    assert registry.create("attacks", "nothing") == Nothing()


def test_a_name_that_is_taken_twice_is_refused_for_both(installed):
    installed(
        ("same", "a_strangers_package:Nothing"),
        ("same", "elsewhere:Nothing"),
        ("nothing", "a_strangers_package:Nothing"),
    )
    problems = {entry.name: entry.problem for entry in registry.entries("attacks")}
    assert "registered 2 times, by package0 1.2 and package1 1.2" in problems["same"]
    assert problems["nothing"] is None
    with pytest.raises(PluginError, match=r"attacks/same is broken.*uninstall one"):
        registry.create("attacks", "same")


def test_a_plugin_that_is_installed_meanwhile_is_listed(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    before = registry.entries("attacks")
    info = tmp_path / "late-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[tfrobust.attacks]\nlate = late:Late\n")
    after = registry.entries("attacks")
    assert [entry for entry in after if entry not in before] == [
        registry.Entry("attacks", "late", "late:Late", "late 2.0")
    ]


def test_the_same_distribution_seen_twice_on_the_path_is_one_plugin(installed, monkeypatch):
    installed(("nothing", "a_strangers_package:Nothing"))
    points = importlib.metadata.entry_points(group="tfrobust.attacks")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: [*points, *points])
    assert [entry.problem for entry in registry.entries("attacks")] == [None]


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UsageError, match=r"no plugin attacks/pdg; did you mean 'pgd'") as refusal:
        registry.create("attacks", "pdg")
    assert refusal.value.exit_code == 2
    with pytest.raises(UsageError, match=r"no plugin kind 'atacks'; did you mean 'attacks'"):
        registry.entries("atacks")
    with pytest.raises(UsageError, match=r"no plugin attacks/zzzzzz \(`tfrobust plugins attacks`"):
        registry.find("attacks", "zzzzzz")
    with pytest.raises(
        UsageError, match=r"no plugin detectors/zzzzzz \(there are: .*mahalanobis.*\)"
    ):
        registry.find("detectors", "zzzzzz")


def test_a_built_plugin_is_recorded_by_its_registered_name_and_options():
    pgd = registry.create("attacks", "pgd", eps=0.25)
    signature = registry.signature(pgd)
    assert signature["name"] == "pgd"
    assert signature["params"]["eps"] == 0.25
    assert registry.create("attacks", signature["name"], **signature["params"]) == pgd
    assert registry.name_of(Nothing()) == "nothing"


def test_the_basic_plugins_are_all_registered():
    names = {kind: {e.name for e in registry.entries(kind)} for kind in registry.KINDS}
    assert names["models"] >= {"lenet", "fully_connected", "resnet"}
    assert names["scenarios"] >= {
        "digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "images", "arrays",
    }  # fmt: skip
    assert names["attacks"] >= {
        "fgsm", "pgd", "cleverhans_fgsm", "cleverhans_bim", "cleverhans_pgd", "cleverhans_mim",
        "cleverhans_cw_l2", "cleverhans_spsa", "cleverhans_madry",
    }  # fmt: skip
    assert names["defenses"] >= {"pgd_training"}
    assert all(entry.problem is None for entry in registry.entries())


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda e: f"{e.kind}-{e.name}")
def test_every_bundled_plugin_loads_and_says_what_it_is(entry):
    try:
        cls = entry.load()
    except UnavailableError as error:
        pytest.skip(str(error))
    assert cls.__doc__
    assert cls.__doc__.splitlines()[0].endswith(".")


def test_listing_plugins_and_describing_options_imports_no_tensorflow():
    code = (
        "import sys, tfrobust; from tfrobust import registry; "
        "assert len(registry.entries()) > 20; "
        "heavy = {'tensorflow', 'keras', 'tf_keras', 'numpy', 'sklearn'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_importing_tfrobust_chooses_keras_2_for_tensorflow_by_default(monkeypatch):
    code = "import os, tfrobust; print(os.environ['TF_USE_LEGACY_KERAS'])"
    assert python(code, TF_USE_LEGACY_KERAS="0").stdout.strip() == "0"
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    assert python(code).stdout.strip() == "1"


def test_importing_tfrobust_asks_for_the_kernels_of_onednn_by_default(monkeypatch):
    code = "import os, tfrobust; print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'))"
    assert python(code, TF_ENABLE_ONEDNN_OPTS="0").stdout.strip() == "0"
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    assert python(code).stdout.strip() == "1"
    first = "import sys; sys.modules['tensorflow'] = None\n"  # it has read the variable by then
    assert python(first + code).stdout.strip() == "None"


def test_the_public_names_are_all_there():
    import tfrobust

    assert all(getattr(tfrobust, name) for name in tfrobust.__all__)
    assert dir(tfrobust) == tfrobust.__all__
    with pytest.raises(AttributeError, match=r"no attribute 'atack'"):
        _ = tfrobust.atack


@pytest.mark.parametrize(
    ("module", "command"),
    [("larq.layers", "pip install 'strange[quantised]'"), ("another", None)],
)
def test_a_plugin_whose_package_an_extra_installs_is_unavailable_and_not_broken(
    tmp_path, monkeypatch, module, command
):
    (tmp_path / "lacking_plugin.py").write_text(f"import {module}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("larq", "larq.layers", "another"):
        monkeypatch.setitem(sys.modules, name, None)
    needed = ["numpy", "larq>=0.1; extra == 'quantised'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needed)
    entry = registry.Entry("attacks", "strange", "lacking_plugin:Attack", "strange 1.0")
    found = registry.checked(entry)
    assert found.installs == command
    with pytest.raises(UnavailableError if command else PluginError) as raised:
        entry.load()
    wanted = f"is unavailable: it needs {module}; {command}" if command else "is broken"
    assert wanted in str(raised.value)

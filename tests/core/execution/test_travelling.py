"""Classifiers, plugins and scenarios are in a worker what they are here."""

import dataclasses
import pickle
import shutil

import keras
import numpy as np
import pytest

from helpers.rounding import Shadowing
from tfrobust.certification.pieces import CertificationJob
from tfrobust.classifier import Wrapped
from tfrobust.classifiers.identity import answers_of
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.data.names import open_scenario, scenario_record
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.evaluation.adaptive.passes import adaptive_passes
from tfrobust.evaluation.blocks.block import Block
from tfrobust.evaluation.blocks.job import BlockWork, EvaluationJob
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.execution import travelling
from tfrobust.execution.travelling import StorePacker
from tfrobust.files.output_folders import PARTIAL
from tfrobust.pipeline.build import defended
from tfrobust.pipeline.stored_networks import StoredNetworks
from tfrobust.registry import create
from tfrobust.store.models import export, load
from tfrobust.testing import LinearClassifier
from tfrobust.training.trainer import Trainer


def sent(parcel):
    return pickle.loads(pickle.dumps(parcel))  # noqa: S301 (our own, as Ray does it)


def by_path(*_):
    return True


def by_bytes(*_):
    return False


@pytest.fixture(scope="module")
def exported(tmp_path_factory, trained):
    root = tmp_path_factory.mktemp("exported")
    trained.model.save(root / "d1.keras")
    export(trained, root / "d1" / "1")
    return root


@pytest.fixture
def stored(tmp_path, exported):
    """A SavedModel and a `.keras` file of the same network."""
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    return {"keras": tmp_path / "d1.keras", "saved": tmp_path / "d1" / "1"}


@pytest.mark.parametrize("form", ["keras", "saved"])
@pytest.mark.parametrize("sees", [by_path, by_bytes])
def test_a_stored_classifier_arrives_as_it_was(stored, form, sees):
    classifier = load(stored[form])
    parcel = sent(StorePacker(sees).classifier("d1", classifier))
    if sees is by_bytes:  # another machine
        path = stored[form]
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    arrived = parcel.opened()

    np.testing.assert_allclose(answers_of(arrived), answers_of(classifier), rtol=1e-5)
    assert arrived.source == classifier.source
    assert arrived.class_names == classifier.class_names


def test_a_file_that_has_changed_on_the_way_is_refused(stored, trained):
    parcel = StorePacker(by_path).classifier("d1", load(stored["keras"]))
    other = keras.models.clone_model(trained.model)
    other.save(stored["keras"])

    with pytest.raises(ClassifierError, match="missing or another file on this worker"):
        parcel.opened()


def test_a_classifier_that_was_changed_after_it_was_loaded_is_refused(stored):
    classifier = load(stored["keras"])
    classifier.model.set_weights([2 * w for w in classifier.model.get_weights()])
    parcel = StorePacker(by_path).classifier("d1", classifier)

    with pytest.raises(ClassifierError, match=r"is no longer what .* holds"):
        parcel.opened()


@pytest.mark.parametrize("build", [LinearClassifier, lambda: Wrapped(LinearClassifier())])
def test_a_classifier_of_no_file_is_told_to_be_exported(build):
    with pytest.raises(UsageError, match=r"cannot travel to workers.*export it"):
        StorePacker(by_path).classifier("live", build())


def test_a_defended_classifier_does_not_travel_as_the_one_inside(stored):
    with pytest.raises(UsageError, match="cannot travel to workers"):
        StorePacker(by_path).classifier("live", Wrapped(load(stored["keras"])))


@pytest.fixture
def networks(stored, tmp_path, monkeypatch):
    """Networks that a command opens by name, which works in the folder of the store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFROBUST_MODELS", ".")
    return StoredNetworks.named(["d1", "d1.keras"], LoadOptions())


def test_a_network_is_opened_with_its_layers_by_a_worker_in_another_folder(
    networks, tmp_path_factory, monkeypatch
):
    opened = {name: networks.open(name) for name in networks.given}
    packer = StorePacker(by_path, networks)
    parcels = {name: sent(packer.classifier(name, one)) for name, one in opened.items()}
    monkeypatch.chdir(tmp_path_factory.mktemp("worker"))
    arrived = {name: parcel.opened() for name, parcel in parcels.items()}

    assert list(arrived) == ["d1", "d1.keras"]
    assert arrived["d1.keras"].model.layers
    for name, classifier in opened.items():
        np.testing.assert_array_equal(answers_of(arrived[name]), answers_of(classifier))


def test_a_network_whose_files_a_worker_does_not_see_is_refused(networks, tmp_path):
    network = networks.open("d1")
    with pytest.raises(UsageError, match=r"put .* into a folder that all machines share"):
        StorePacker(by_bytes, networks).classifier("d1", network)
    parcel = StorePacker(by_path, networks).classifier("d1", network)
    (tmp_path / "d1" / "1" / "more").write_text("")
    with pytest.raises(ClassifierError, match="missing or another file on this worker"):
        parcel.opened()


def test_a_certification_arrives_as_it_was(networks):
    job = CertificationJob(
        {"d1": networks.open("d1")}, [create("certifiers", "smoothing", sigma=0.5)], [(0.1,)], 3
    )
    arrived = sent(job.packed(StorePacker(by_path, networks)))

    assert [plugin.built() for plugin in arrived.certifiers] == job.certifiers
    assert (arrived.names, arrived.eps, arrived.seed) == (("d1",), ((0.1,),), 3)


def test_a_file_that_is_too_large_is_not_sent(stored, monkeypatch):
    monkeypatch.setattr(travelling, "MOST_BYTES", 10)
    classifier = load(stored["keras"])

    with pytest.raises(UsageError, match="too much to be sent"):
        StorePacker(by_bytes).classifier("d1", classifier)
    assert StorePacker(by_path).classifier("d1", classifier).content is None


def test_plugins_and_scenarios_arrive_as_they_were():
    packer = StorePacker(by_path)
    attack = create("attacks", "pgd", eps=0.1, steps=3)
    scenario = open_scenario("digits+fog.3", {"digits": {"size": 16}}, seed=4)

    assert sent(packer.plugin("attacks", attack)).built() == attack
    arrived = sent(packer.scenario(scenario)).opened()
    assert scenario_record(arrived) == scenario_record(scenario)


def test_a_scenario_that_is_not_registered_is_refused():
    from helpers.support import InMemory

    with pytest.raises(UsageError, match="cannot travel to workers, which build plugins"):
        StorePacker(by_path).scenario(InMemory())


def test_an_evaluation_arrives_as_it_was(stored, tmp_path):
    classifier = load(stored["keras"])
    settings = EvaluationSettings(
        classifiers={"d1": classifier, "again": classifier},
        scenario=create("scenarios", "digits"),
        attacks=[create("attacks", "fgsm", eps=0.1)],
        crafted_on=("d1", classifier),
        baselines=(),
        seed=3,
    )
    job = EvaluationJob((settings,), images=5, out=tmp_path)
    packed = sent(job.packed(StorePacker(by_path)))
    opened = [parcel.opened() for parcel in packed.parcels]
    arrived = packed.passes[0].unpacked(opened)

    assert len(opened) == 1, "a classifier with two names is loaded once"
    assert list(arrived.classifiers) == ["d1", "again"]
    assert arrived.crafted_on == ("d1", opened[0])
    assert list(arrived.attacks) == list(settings.attacks)
    assert (arrived.seed, list(arrived.baselines)) == (3, [])
    assert isinstance(opened[0], KerasClassifier)


def test_workers_follow_the_surrogate_that_was_exported_with_a_classifier(tmp_path):
    digits = create("scenarios", "digits")
    shadowed = defended(LinearClassifier((8, 8, 1), 10), [Shadowing()], digits, Trainer())
    classifier = load(export(shadowed, tmp_path / "m" / "1"))
    settings = EvaluationSettings(
        classifiers={"m": classifier}, scenario=digits, baselines=(), adaptive=(0.2,)
    )
    [adaptive] = adaptive_passes(settings)
    job = EvaluationJob((adaptive.settings,), images=60)
    rows = []
    for here in (job, sent(job.packed(StorePacker(by_path)))):
        rows.append(here.start()(Block(0, 60)).passes[0][0].attacked[0])
    assert np.array_equal(rows[0].prediction, rows[1].prediction)
    assert np.allclose(rows[0].distance["linf"], rows[1].distance["linf"])
    naive = EvaluationJob((dataclasses.replace(adaptive.settings, follows_surrogate=False),), 60)
    alone = naive.start()(Block(0, 60)).passes[0][0].attacked[0]
    assert alone.success.sum() < rows[0].success.sum()


def test_what_an_attack_learned_arrives_at_workers_and_gives_the_same_rows(stored, tmp_path):
    uap = create("attacks", "uap", eps=0.2, passes=1, training_images=20)
    settings = EvaluationSettings(
        classifiers={"d1": load(stored["keras"])},
        scenario=create("scenarios", "digits"),
        attacks=[uap],
        baselines=(),
    )
    job = EvaluationJob((settings,), images=9, out=tmp_path)
    job = BlockWork(job).with_learned(tmp_path / PARTIAL)
    (file,) = job.learned.values()
    packed = sent(job.packed(StorePacker(by_path)))
    assert packed.learned == {(0, 0, "d1"): file.absolute()}
    here = dataclasses.replace(job, out=None).start()(Block(0, 9)).passes[0][0].attacked[0]
    there = packed.start()(Block(0, 9)).passes[0][0].attacked[0]
    assert there.learning == here.learning is not None
    np.testing.assert_array_equal(there.prediction, here.prediction)
    for norm, distances in here.distance.items():
        np.testing.assert_array_equal(there.distance[norm], distances)

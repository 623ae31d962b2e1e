"""Certification: figures, files, what is refused, and certifiers that lie or fail."""

import json
import shutil

import numpy as np
import pytest
from scipy import stats

from helpers.lying import Lying, LyingByChance
from helpers.support import InMemory, refused, small_classifier
from tfrobust import Certificates, Certifier, certify, create, plugin
from tfrobust.certification import CertificationSettings, certifying, run
from tfrobust.certification.certifying import certify_settings
from tfrobust.certification.summaries import certified_within, contradicted, counted
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.data.reading import arrays
from tfrobust.errors import ClassifierError, PluginError, StoreError, UsageError, WorkerError
from tfrobust.execution.executor import Failed
from tfrobust.report.certification import (
    certified_headline,
    certified_table,
    contradiction_lines,
    radius_table,
    render_certification,
    trust_lines,
)
from tfrobust.report.charts.certified import _line, certified_panels
from tfrobust.report.tables import percent
from tfrobust.results.certification import Certifications, read_certifications
from tfrobust.results.metrics import wilson

SCENARIO = InMemory(images=60)


@plugin
class Rising(Certifier):
    """Certifies image i of a call to i / 100, and finds a wrong one twice as far."""

    @property
    def norm(self):
        return "l2"

    @property
    def images_at_once(self):
        return 25

    def certify(self, classifier, images, labels, *, seed):
        radii = np.arange(len(images)) / 100
        abstained = np.arange(len(images)) == 0
        least = np.where(np.arange(len(images)) < 20, 2 * radii, np.inf)
        return Certificates(radii=radii, abstained=abstained, least=least, complete=least < 9)


def certified(*certifiers, classifiers=None, eps=(0.05, 0.1), **options):
    classifiers = classifiers or {"one": small_classifier()}
    return certify(classifiers, SCENARIO, list(certifiers), eps, **options)


def test_figures_are_those_of_the_radii_of_all_images_however_many_are_asked_about_at_once():
    shown = certified(Rising())
    [one] = shown.results.certifications
    [result] = one.certificates
    radii = np.concatenate([np.arange(25), np.arange(25), np.arange(10)]) / 100
    assert np.allclose(shown.radii["c0_k0_radius"], radii)
    for within, eps in zip(result.within, (0.05, 0.1), strict=True):
        count = int((radii >= eps - 1e-9).sum())
        assert (within.eps, within.accuracy) == (eps, count / 60)
        assert within.interval == pytest.approx(wilson(count, 60))
    assert result.certified == pytest.approx(57 / 60)
    assert result.abstained == pytest.approx(3 / 60)
    assert result.average_radius == pytest.approx(radii.mean())
    assert result.radius.median == pytest.approx(np.median(radii[radii > 0]))
    assert result.complete == pytest.approx(50 / 60)
    assert result.least.mean == pytest.approx(2 * radii[shown.radii["c0_k0_complete"]].mean())
    images, labels = arrays(SCENARIO, "test")
    right = clean_predictions(small_classifier(), images) == labels
    assert one.clean.accuracy == pytest.approx(right.mean())
    assert np.array_equal(shown.radii["label"], labels)


@plugin
class Interrupted(Rising):
    """It is interrupted at its third call, once."""

    def certify(self, classifier, images, labels, *, seed):
        CALLS.append(len(images))
        if len(CALLS) == 3:
            raise KeyboardInterrupt
        return super().certify(classifier, images, labels, seed=seed)


CALLS: list[int] = []


@plugin
class Counting(Rising):
    """Keeps how many images it was asked about."""

    def certify(self, classifier, images, labels, *, seed):
        CALLS.append(len(images))
        return super().certify(classifier, images, labels, seed=seed)


def test_an_interrupted_run_goes_on_from_the_certificates_that_there_are(tmp_path, monkeypatch):
    def settings(seed):
        return CertificationSettings(
            classifiers={"one": small_classifier()},
            scenario=SCENARIO,
            certifiers=[Interrupted()],
            eps=[0.1],
            seed=seed,
        )

    CALLS.clear()
    with pytest.raises(KeyboardInterrupt):
        run(settings(0), tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    whole = certified(Rising(), eps=[0.1]).results.certifications[0].certificates[0]

    [one] = run(settings(0), tmp_path / "run").certifications[0].certificates

    assert CALLS == [25, 25, 10, 10]
    assert one.within == whole.within
    assert {file.name for file in (tmp_path / "run").iterdir()} == {
        "certificates.json",
        "radii.npz",
        "report.html",
    }
    damaged = sorted((tmp_path / "other").glob(".*/*.npz"))[0]
    damaged.write_bytes(damaged.read_bytes()[:40])
    run(settings(0), tmp_path / "other")
    assert CALLS[4:] == [25, 10]  # what is damaged is proven again
    run(settings(1), tmp_path / "run", force=True)
    assert CALLS[6:] == [25, 25, 10]


class Backwards:
    """An executor that computes the last piece first, and some not at all."""

    def __init__(self, failing=()):
        self.failing = failing

    def map(self, job, pieces):
        compute = job.start()
        for piece in reversed(list(pieces)):
            yield piece, Failed("3 died") if piece.start in self.failing else compute(piece)


def test_certificates_are_put_in_order_and_kept_however_workers_return_them(tmp_path):
    settings = CertificationSettings(
        classifiers={"one": small_classifier(), "two": small_classifier()},
        scenario=SCENARIO,
        certifiers=[Rising(), Counting()],
        eps=[0.1],
    )
    whole = certify_settings(settings)

    with pytest.raises(WorkerError, match=r"two: images 25 to 49: 3 died; the same command goes"):
        run(settings, tmp_path / "run", executor=Backwards(failing=[25]))
    CALLS.clear()
    run(settings, tmp_path / "run", executor=Backwards())

    assert CALLS == [25, 25]  # of the second certifier: what failed, of two classifiers
    with np.load(tmp_path / "run" / "radii.npz") as radii:
        assert set(radii) == set(whole.radii)
        for name, array in radii.items():
            np.testing.assert_array_equal(array, whole.radii[name])


def test_a_radius_that_float32_rounds_down_still_counts_at_its_own_value():
    typed = np.linspace(0.01, 2, 400)
    assert certified_within(typed.astype(np.float32), 0.0).all()
    assert all(certified_within(np.float32([eps]), eps)[0] for eps in typed)
    assert not certified_within(np.float32([0.0999]), 0.1)[0]


@plugin
class Stepping(Rising):
    """Finds radii by steps of 0.01, and knows of a single radius whether it is half a step more."""

    def verify(self, classifier, images, labels, eps, *, seed):
        asked.append((len(images), eps))
        return np.full(len(images), eps < 0.205)


asked: list[tuple[int, float]] = []


def test_a_radius_that_steps_ended_just_below_is_asked_about_by_itself():
    asked.clear()
    shown = certified(Stepping(), eps=[0.202, 0.206], limit=25)
    radii = shown.radii["c0_k0_radius"]
    assert asked == [(1, 0.202), (1, 0.206)]
    assert radii[20] == np.float32(0.202)
    assert radii[19] == np.float32(0.19)
    within = [one.accuracy for one in shown.results.certifications[0].certificates[0].within]
    assert within == pytest.approx([5 / 25, 4 / 25])


def test_one_seed_certifies_alike_whatever_images_come_beside():
    smoothing = create("certifiers", "smoothing", sigma=0.3, n=200)
    one = {"one": small_classifier()}
    whole, again, few, other = (
        certified(smoothing, classifiers=one, seed=seed, limit=limit)
        for seed, limit in ((4, 60), (4, 60), (4, 7), (5, 60))
    )
    key = "c0_k0_radius"
    assert np.array_equal(whole.radii[key], again.radii[key])
    assert np.array_equal(whole.radii[key][:7], few.radii[key])
    assert not np.array_equal(whole.radii[key], other.radii[key])


def test_a_proven_radius_around_a_wrong_answer_is_a_contradiction_and_so_are_many_likely_ones():
    shown = certified(Lying(), LyingByChance())  # at confidence 0.99
    [one] = shown.results.certifications
    wrong = round(60 * (1 - one.clean.accuracy))
    assert wrong > 5
    lying, beyond = one.certificates
    assert (lying.contradictions, lying.by_chance) == (wrong, 0)
    assert (beyond.contradictions, beyond.by_chance) == (wrong, 0)
    line, other = contradiction_lines(shown.results)
    assert "one answers wrongly, more than its confidence of 99 % allows for" in other
    assert f"CONTRADICTION: lying certifies {wrong} images that one answers wrongly" in line
    assert line in render_certification(shown.results, shown.radii)


def test_wrong_radii_are_chance_as_long_as_their_number_is_likely_at_the_confidence():
    certifier = LyingByChance()
    for images, most in ((60, 4), (1000, 21)):
        assert stats.binom.sf(most - 1, images, 0.01) >= 1e-3 > stats.binom.sf(most, images, 0.01)
        for count, kind in ((0, "by_chance"), (most, "by_chance"), (most + 1, "contradictions")):
            against = np.arange(images) < count
            assert counted(certifier, against, stochastic=False) == {kind: count}
            assert counted(certifier, against, stochastic=True) == {"by_chance": count}
            assert counted(Lying(), against, stochastic=False) == {"contradictions": count}


def test_what_is_certified_of_another_classifier_contradicts_nothing():
    smoothing = create("certifiers", "smoothing", sigma=1e-4, n=200)
    [one] = certified(smoothing).results.certifications
    assert one.certificates[0].certified > 0.2
    assert one.certificates[0].by_chance == 0


def test_a_network_without_noise_is_certified_as_that_network_with_noise_and_named_so():
    smoothing = create("certifiers", "smoothing", sigma=0.25, n=200)
    shown = certified(smoothing, Rising())
    [one] = shown.results.certifications
    noisy, bare = one.certificates
    assert (noisy.variant, bare.variant, bare.clean) == ("+ noise σ=0.25", None, None)
    right = shown.radii["c0_k0_answer"] == shown.radii["label"]
    assert noisy.clean.accuracy == pytest.approx(right.mean())
    table = certified_table(shown.results)
    assert [row[0] for row in table.sections[0]] == ["one + noise σ=0.25", "one"]
    assert [row[2] for row in table.sections[0]] == [percent(noisy.clean), percent(one.clean)]
    assert "“one + noise σ=0.25” says nothing of one as it is" in table.caption
    assert certified_table(certified(Rising()).results).caption.endswith(": no attack leaves less")
    assert (
        "of the classifier + noise σ=0.25, not of the classifier" in trust_lines(shown.results)[0]
    )
    page = render_certification(shown.results, shown.radii)
    assert page.count("<td>one + noise σ=0.25</td>") == 2
    assert Certifications.model_validate_json(shown.results.to_json()) == shown.results


def test_a_certifier_proves_what_it_certifies_unless_it_says_otherwise():
    certifier = Rising()
    assert (certifier.confidence, certifier.passes) == (None, None)
    assert certifier.certifies_answers(small_classifier())
    assert Lying().images_at_once == 64


def test_only_what_lies_inside_the_radius_contradicts_it():
    radii, distance = np.array([0.5, 0.5, 0.5, 0.0]), np.array([0.49, 0.5, 0.51, 0.0])
    wrong = np.ones(4, bool)
    assert contradicted(radii, distance, wrong).tolist() == [True, False, False, False]
    assert not contradicted(radii, distance, ~wrong).any()


def test_a_certification_is_written_whole_and_read_again(tmp_path):
    settings = CertificationSettings(
        classifiers={"a<b": small_classifier(), "two": small_classifier()},
        scenario=SCENARIO,
        certifiers=[Rising(), create("certifiers", "smoothing", sigma=0.2, n=100)],
        eps=[0.1, 0.05, 0.1],
        limit=30,
    )
    calls = []
    results = run(settings, tmp_path / "run", progress=lambda *told: calls.append(told))
    assert read_certifications(tmp_path / "run") == results
    assert settings.eps == (0.05, 0.1)
    assert calls[0] == ("certificates", 0, 120)
    assert calls[-1] == ("certificates", 120, 120)
    with np.load(tmp_path / "run" / "radii.npz") as radii:
        assert radii["c1_k1_radius"].dtype == np.float32
        assert len(radii["c1_k1_radius"]) == 30
    page = (tmp_path / "run" / "report.html").read_text()
    assert "a&lt;b" in page
    assert page.count("<svg") == 2  # a panel a classifier: both certify in L2
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.name[0] != ".") == [
        "certificates.json", "radii.npz", "report.html",
    ]  # fmt: skip
    refused(StoreError, lambda: run(settings, tmp_path / "run"), "is not empty")
    run(settings, tmp_path / "run", force=True)


def test_ctrl_c_leaves_what_was_there_as_it_was(tmp_path, monkeypatch):
    settings = CertificationSettings(
        classifiers={"one": small_classifier()}, scenario=SCENARIO, certifiers=[Rising()], eps=[1.0]
    )
    run(settings, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(certifying, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(settings, tmp_path, force=True)
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}


def test_tables_name_every_radius_and_what_is_not_known():
    results = certified(Rising(), create("certifiers", "smoothing", sigma=0.2, n=100)).results
    table = certified_table(results)
    assert table.columns == ("classifier", "certifier", "clean", "ε = 0.05", "ε = 0.1")
    assert [row[1] for row in table.sections[0]] == ["rising, L2", "smoothing, L2"]
    reach = radius_table(results)
    assert all(len(row) == len(reach.columns) for row in reach.sections[0])
    assert [row[-2] for row in reach.sections[0]] == ["–", "200"]


def test_a_curve_of_certificates_is_never_above_what_is_certified():
    shown = certified(Rising())
    [(norm, [panel])] = certified_panels(shown.results, shown.radii)
    assert (norm, panel.title) == ("l2", "one")
    [within, _] = shown.results.certifications[0].certificates[0].within
    [curve] = panel.curves
    assert f"radius {within.eps:g}: {100 * within.accuracy:.1f} %" in curve.marks[1].says
    for radii in (np.linspace(0, 1, 40), np.linspace(0, 1, 4000)):  # every step, and fewer
        line = _line("x", "c0", radii, [0.5])
        for before, after, share in zip(
            line.values, line.values[1:], line.shares[1:], strict=False
        ):
            for radius in np.linspace(before, after, 5)[1:]:
                assert share <= np.mean(radii >= radius) + 1e-12
        assert line.shares[line.marked[1]] == np.mean(radii >= 0.5)


def test_a_certification_opens_with_what_is_certified_and_whether_that_can_be_believed():
    sure, wrong = certified(Rising()).results, certified(Lying()).results
    sure.certifications[0].certificates[0].contradictions = 0
    found = certified_headline(sure)
    assert (found.light, found.word, found.trust) == ("good", "proven", "")
    shares = [within.accuracy for within in sure.certifications[0].certificates[0].within]
    nearest = min(shares, key=lambda share: abs(share - 0.5))
    assert found.says.startswith(f"{100 * nearest:.1f} % of 60 images")
    assert certified_headline(wrong).light == "bad"
    assert "CONTRADICTION" in certified_headline(wrong).trust


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"norm": "l7"}, "norm"),
        ({"within": [{"eps": 0.0, "accuracy": 0.1, "interval": [0, 1]}]}, "eps"),
        ({"certified": 1.5}, "certified"),
        ({"average_radius": -1.0}, "average_radius"),
        ({"confidence": 1.0}, "confidence"),
        ({"name": "red \u001b[31m"}, "name"),
    ],
)
def test_a_file_that_no_certification_writes_is_refused(tmp_path, change, words):
    content = json.loads(certified(Rising()).results.to_json())
    content["certifications"][0]["certificates"][0] |= change
    (tmp_path / "certificates.json").write_text(json.dumps(content))
    refused(StoreError, lambda: read_certifications(tmp_path), "not a certification", words)


def test_classifiers_must_have_been_asked_alike(tmp_path):
    content = json.loads(certified(Rising()).results.to_json())
    content["certifications"] *= 2
    Certifications.model_validate(content)
    content["certifications"][1] = json.loads(json.dumps(content["certifications"][1]))
    content["certifications"][1]["certificates"][0]["name"] = "other"
    with pytest.raises(ValueError, match="the same certifiers"):
        Certifications.model_validate(content)


@plugin
class Failing(Rising):
    def certify(self, classifier, images, labels, *, seed):
        return 1 / 0


@plugin
class Short(Rising):
    def certify(self, classifier, images, labels, *, seed):
        return Certificates(radii=np.zeros(3))


@plugin
class Refusing(Rising):
    def check(self, classifier):
        raise UsageError("refusing: knows no such layer")


def test_bad_input_costs_one_line():
    refused(PluginError, lambda: certified(Failing()), "certifier failing failed", "division")
    refused(PluginError, lambda: certified(Short()), "short broke its contract", "25 images")
    unknown = Lying(measured_in="l7")
    refused(PluginError, lambda: certified(unknown), "lying broke its contract", "'l7'")
    refused(UsageError, lambda: certified(Refusing()), "one: refusing: knows no such layer")
    for eps in (0.0, -1.0, float("nan")):
        refused(UsageError, lambda eps=eps: certified(Rising(), eps=[eps]), "radius above 0")
    refused(UsageError, lambda: certified(Rising(), eps=[9.0]), "rising: eps: no two images")
    refused(UsageError, lambda: certified(Rising(), eps=[]), "eps: expected one or more")
    refused(UsageError, certified, "certifiers: expected one or more")
    refused(UsageError, lambda: certified(Rising(), split="none"), "split: expected one of")
    wide = {"wide": small_classifier((5, 4, 1))}
    refused(ClassifierError, lambda: certified(Rising(), classifiers=wide), "wide does not fit")

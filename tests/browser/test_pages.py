"""The pages in a real browser: Chromium, driven by Playwright, where both are installed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.small_study import SMALL, SWEPT, finished_by_hand
from helpers.support import InMemory, small_classifier
from tfrobust.evaluation.corruptions.errors import corruption_errors
from tfrobust.evaluation.runs import run
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.leaderboard import run as rank
from tfrobust.registry import create
from tfrobust.report.certification import render_certification
from tfrobust.report.comparison import compare, render_comparison
from tfrobust.report.diagnosis import render_diagnosis
from tfrobust.report.page import render
from tfrobust.results.certificates import CertificateResult
from tfrobust.results.certification import Certification, Certifications
from tfrobust.results.diagnosis import Diagnosis
from tfrobust.results.findings import Finding, Remedy, Verdict
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation, Results
from tfrobust.study.results.overview import _overviewed, write_overview
from tfrobust.study.results.report import write_study

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
BUDGETS = (0.05, 0.1, 0.2)
CLASSIFIER = {
    "name": "one", "path": "", "num_classes": 2, "image_shape": (8, 8, 1), "defenses": []
}  # fmt: skip
SCENARIO = {"name": "digits", "shift": None, "split": "test", "images": 30, "seed": 0}
NAMES = (
    "report", "leaderboard", "comparison", "diagnosis", "certificates", "corruptions", "study",
    "studies",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    """Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: `apt-get install chromium`")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages of two runs, their comparison and their leaderboard, by name."""
    folder = tmp_path_factory.mktemp("pages")
    attacks = [create("attacks", "fgsm", eps=eps) for eps in BUDGETS]
    attacks += [create("attacks", "pgd", eps=eps, steps=5) for eps in BUDGETS]
    attacks += [create("attacks", "cw_l2", eps=0.5, steps=20)]
    for name in ("one", "other"):
        settings = EvaluationSettings(
            classifiers={name: small_classifier((8, 8, 3), 3)},
            scenario=InMemory(images=24, shape=(8, 8, 3)), attacks=attacks, diagnosis=True,
        )  # fmt: skip
        run(settings, folder / name)
    rank([folder / "one", folder / "other"], folder / "board")
    comparison = folder / "comparison.html"
    comparison.write_text(render_comparison(compare(folder / "one", folder / "other")))
    return {
        "report": folder / "one" / "report.html",
        "leaderboard": folder / "board" / "leaderboard.html",
        "comparison": comparison,
        **by_hand(folder),
    }


def by_hand(folder):
    """The pages of a diagnosis, certificates, corruptions and a study; the figures are made up."""
    texts = {
        "diagnosis": render_diagnosis(made_diagnosis()),
        "certificates": render_certification(*made_certificates()),
        "corruptions": render(*made_corruptions()),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text)
    study = SMALL.written(folder, SWEPT)
    swept = {f"plain.accuracy@{value}": 0.9 - value / 25 for value in (0, 5, 20)}
    clean = {("small", "clean"): {"plain.clean": 0.5}, ("large", "clean"): {"plain.clean": 0.75}}
    figures = clean | {("small", "noise"): swept, ("large", "noise"): swept}
    lookup = finished_by_hand(study, "tiny", folder, figures)
    write_study(study, "tiny", lookup, folder)
    shown = _overviewed(study, "tiny", lookup, folder)
    paths = {name: folder / f"{name}.html" for name in texts}
    return paths | {"study": folder / "report.html", "studies": write_overview([shown], folder)}


def share(accuracy):
    return {"accuracy": accuracy, "interval": (max(0, accuracy - 0.1), min(1, accuracy + 0.1))}


def made_diagnosis():
    found = {"says": "half of the gradients vanish", "source": "Carlini et al. 2019"}
    remedy = Remedy(attack="square", params={}, before=0.8, after=0.1)
    findings = [Finding(check=f"check {k}", verdict=Verdict.FINE, **found) for k in range(8)]
    findings += [
        Finding(check="gone", verdict=Verdict.MASKED, cause="gone", remedy=remedy, **found),
        Finding(check="odd", verdict=Verdict.NOT_APPLICABLE, **found),
    ]
    return Diagnosis(
        classifier="one", scenario="digits", split="test", images=50, seed=0, norm="linf", eps=0.1,
        attack="pgd", params={"eps": 0.1}, thorough=False, clean=share(0.95), attacked=share(0.8),
        lowest=share(0.1), findings=findings, gradients_per_image=1, queries_per_image=1, seconds=1,
    )  # fmt: skip


def made_certificates():
    radii = np.linspace(0, 0.2, 30)
    certificates = [
        CertificateResult(
            name=name, params={}, norm="l2", certified=1, abstained=0, average_radius=0.1,
            radius={"mean": 0.1, "median": 0.1}, seconds=1,
            within=[{"eps": eps, **share((radii >= eps).mean())} for eps in (0.05, 0.1)],
        )
        for name in ("ibp", "crown")
    ]  # fmt: skip
    one = Certification(
        classifier=CLASSIFIER, scenario=SCENARIO, clean=share(0.9), certificates=certificates
    )
    arrays = {"c0_k0_radius": radii, "c0_k1_radius": radii**2}
    return Certifications(certifications=[one], environment={}), arrays


def made_corruptions():
    shifts = [None, *(f"{name}.{k}" for name in ("fog", "snow") for k in (1, 2, 3, 4, 5))]
    label, images = np.arange(4) % 2, np.full((1, 8, 8, 1), 0.5)
    wrong = [int(k) % 3 for k in range(len(shifts))]
    evaluations = [
        Evaluation(
            classifier=CLASSIFIER, scenario=SCENARIO | {"shift": shift, "images": 4}, attacks=[],
            clean=share(1 - k / 4), worst_case=share(1 - k / 4),
        )
        for shift, k in zip(shifts, wrong, strict=True)
    ]  # fmt: skip
    columns = {
        f"e{number}_clean": np.where(np.arange(4) < k, 1 - label, label)
        for number, k in enumerate(wrong)
    }
    results = Results(
        evaluations=evaluations, environment={}, corruptions=corruption_errors(evaluations)
    )
    examples = {"example_index": np.zeros(1, int), "example_images": images}
    examples["example_corrupted"] = np.repeat(images, 2, axis=0)
    return results, Outcomes.of({"label": label} | columns, examples)


@pytest.fixture
def opened(browser):
    """Open a page; at the end, whether it asked for anything or complained."""
    heard, contexts = [], []

    def open_(path: Path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url))
        page.goto(path.as_uri())
        assert heard.pop(0) == path.as_uri()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert [one for one in heard if not one.startswith("data:")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_everybody_can_read_the_page(opened, pages, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(pages[name], color_scheme=scheme)
    found = axe.Axe().run(page)
    assert [v["id"] for v in found.response["violations"]] == [], found.generate_report()


@pytest.mark.parametrize("name", NAMES)
def test_a_phone_does_not_scroll_sideways(opened, pages, name):
    page = opened(pages[name], viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_dark_is_dark(opened, pages):
    def brightness(scheme):
        page = opened(pages["report"], color_scheme=scheme)
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert (brightness("light"), brightness("dark")) == ("rgb(255, 255, 255)", "rgb(18, 22, 29)")


def test_a_table_sorts_and_filters(opened, pages):
    page = opened(pages["report"])
    rows = page.locator("table.accuracy tbody").nth(1).locator("tr")
    before = rows.all_inner_texts()
    page.locator("table.accuracy th button").nth(1).click()
    shares = [float(text.split("\t")[1].split("%")[0]) for text in rows.all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert sorted(rows.all_inner_texts()) == sorted(before)
    assert page.locator("table.accuracy th").nth(1).get_attribute("aria-sort") == "descending"
    page.locator(".filter input").first.fill("pgd")
    assert page.locator("table.accuracy tbody tr:visible").count() == 3


def test_a_curve_tells_its_figures_and_stands_alone(opened, pages):
    page = opened(pages["report"])
    chart = page.locator("[data-chart]").first
    mark = chart.locator(".curve.worst circle").nth(1)
    mark.hover(force=True)
    assert chart.locator(".readout").inner_text() == mark.locator("title").text_content()
    chart.locator("button.key", has_text="pgd").click()
    assert chart.locator(".curve.chosen").count() == 1
    assert chart.locator(".curve.dim").count() == chart.locator(".curve").count() - 1
    chart.locator("button.key", has_text="pgd").press("Enter")
    assert chart.locator(".curve.dim").count() == 0


def test_a_curve_is_read_between_its_marks_too(opened, pages):
    page = opened(pages["report"])
    chart = page.locator("[data-chart]", has=page.locator("svg[data-label*=L2]")).first
    svg = chart.locator("svg").first
    svg.scroll_into_view_if_needed()
    area = [float(number) for number in chart.get_attribute("data-area").split()]
    low, high = (float(number) for number in svg.get_attribute("data-scale").split()[:2])
    points = svg.locator(".curve.worst path").get_attribute("d")[1:].split("L")
    x, y = (float(number) for number in points[len(points) // 2].split())
    box, scale = svg.bounding_box(), svg.bounding_box()["width"] / 340
    page.mouse.move(box["x"] + scale * x, box["y"] + scale * y)
    said = chart.locator(".readout").inner_text()
    assert ": ≈ " in said
    value, share = said.rpartition(" %")[0].rpartition(")")[2].split(": ≈ ")
    expected = low + (x - area[0]) / (area[1] - area[0]) * (high - low)
    assert float(value) == pytest.approx(expected, rel=0.15)
    assert float(share) == pytest.approx(100 * (area[3] - y) / (area[3] - area[2]), abs=6)


def test_an_image_opens_large_by_the_keyboard(opened, pages):
    page = opened(pages["report"])
    page.locator(".grid img").first.press("Enter")
    dialog = page.locator("dialog[open]")
    assert dialog.locator("img").count() == 3
    before = dialog.locator(".verdict").inner_text()
    assert dialog.locator(".answers li:visible").count() >= 2
    page.keyboard.press("ArrowRight")
    assert dialog.locator("img").nth(0).get_attribute("src") == (
        page.locator(".grid img").nth(1).get_attribute("src")
    )
    page.keyboard.press("ArrowLeft")
    assert dialog.locator(".verdict").inner_text() == before
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_a_page_is_whole_without_its_script(opened, pages):
    page = opened(pages["report"], java_script_enabled=False)
    assert page.locator("table.accuracy tbody tr:visible").count() >= 12
    assert page.locator(".curve").count() >= 4
    assert page.locator(".key").count() >= 4
    assert page.locator("button").count() == 0


@pytest.mark.parametrize("name", ["certificates", "corruptions", "study"])
def test_the_curves_of_every_page_tell_and_stand_alone(opened, pages, name):
    page = opened(pages[name])
    chart = page.locator("[data-chart]").first
    mark = chart.locator("circle").last
    mark.hover(force=True)
    assert chart.locator(".readout").inner_text() == mark.locator("title").text_content()
    chart.locator("button.key").first.click()
    assert chart.locator(".curve.chosen").count() == 1
    assert chart.locator(".curve.dim").count() == chart.locator(".curve").count() - 1


@pytest.mark.parametrize("name", ["diagnosis", "certificates", "corruptions", "study", "studies"])
def test_the_tables_of_every_page_sort_and_its_headline_needs_no_script(opened, pages, name):
    page = opened(pages[name])
    head = page.locator("table.sortable").first.locator("th button").nth(1)
    head.click()
    assert page.locator("th[aria-sort=descending]").count() == 1
    bare = opened(pages[name], java_script_enabled=False)
    assert bare.locator(".headline").count() == 1
    assert bare.locator("button").count() == 0


def test_the_gravest_checks_of_a_diagnosis_come_first_when_asked(opened, pages):
    page = opened(pages["diagnosis"])
    assert "✖ masked — gone; 8 of 9 checks are fine." in page.locator(".headline").inner_text()
    page.locator(".findings th button").nth(1).click()
    assert page.locator(".findings tbody tr").first.inner_text().startswith("gone")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_cut_on_paper_and_it_is_white_where_the_screen_is_dark(opened, pages, name):
    inside = {"width": 688, "height": 1000}  # an A4 sheet's 182 mm between its margins
    page = opened(pages[name], viewport=inside, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") == 688
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    light = "getComputedStyle(document.documentElement).getPropertyValue('--good').trim()"
    assert page.evaluate(light) == "#067647"


def test_a_page_prints_on_a4(opened, pages, tmp_path):
    page = opened(pages["report"])
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")

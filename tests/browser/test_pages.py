"""The pages in a real browser: Chromium, driven by Playwright, where both are installed."""

import shutil
from pathlib import Path

import pytest

from helpers.support import InMemory, small_classifier
from tfrobust.evaluation.runs import run
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.leaderboard import run as rank
from tfrobust.registry import create
from tfrobust.report.comparison import compare, render_comparison

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
BUDGETS = (0.05, 0.1, 0.2)


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
    }


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
@pytest.mark.parametrize("name", ["report", "leaderboard", "comparison"])
def test_everybody_can_read_the_page(opened, pages, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(pages[name], color_scheme=scheme)
    found = axe.Axe().run(page)
    assert [v["id"] for v in found.response["violations"]] == [], found.generate_report()


@pytest.mark.parametrize("name", ["report", "leaderboard", "comparison"])
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


def test_an_image_opens_large_by_the_keyboard(opened, pages):
    page = opened(pages["report"])
    page.locator(".grid img").first.press("Enter")
    assert page.locator("dialog[open] img").count() == 3
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_a_page_is_whole_without_its_script(opened, pages):
    page = opened(pages["report"], java_script_enabled=False)
    assert page.locator("table.accuracy tbody tr:visible").count() >= 12
    assert page.locator(".curve").count() >= 4
    assert page.locator(".key").count() >= 4
    assert page.locator("button").count() == 0


def test_a_page_prints_on_a4(opened, pages, tmp_path):
    page = opened(pages["report"])
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")

"""The screenshots of README and docs: pages of a small run, in a headless Chromium.

    python docs/site/screenshots.py     # `make screenshots`: writes docs/images/*.webp

The run lies in build/screenshots and is made once: the demo, a diagnosis, certificates and a
leaderboard, from fixed seeds. Where it is there, only the screenshots are made anew. Chromium is
that of the system (`apt-get install chromium`); the pages ask for nothing else.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
WORK, IMAGES = ROOT / "build" / "screenshots", ROOT / "docs" / "images"
QUALITY = 82  # of WebP: text stays sharp, and a page takes some 40 kB
COMMANDS = {  # page → the command that writes it
    "demo/report.html": ("demo", "--out", "demo"),
    "diagnosis/diagnosis.html": ("diagnose", "demo-robust", "--eps", "0.2", "--out", "diagnosis"),
    "certificates/report.html": (
        "certify", "demo-plain", "demo-robust", "--certifier", "smoothing", "-p", "n=1000",
        "-p", "sigma=0.12", "--eps", "0.1", "--eps", "0.25", "--limit", "60",
        "--out", "certificates",
    ),
    "board/leaderboard.html": ("leaderboard", "demo", "diagnosis", "--out", "board"),
}  # fmt: skip
AGAIN = (("report", "demo"), ("leaderboard", "demo", "diagnosis", "--out", "board", "--force"))


@dataclasses.dataclass(frozen=True)
class Shot:
    """One screenshot.

    Attributes:
        name: of the file.
        page: of the run.
        size: width and height of the window, in pixels.
        dark: whether the system is.
        heading: the heading that stands at the top; none: the page's own.
        before: what is done first.
    """

    name: str
    page: str
    size: tuple[int, int] = (1100, 760)
    dark: bool = False
    heading: str = ""
    before: Callable[[Page], None] = lambda _: None


def enlarge(page: Page) -> None:
    """Open an image that an attack broke."""
    broken = page.locator(".grid").nth(1).locator(".verdict")
    states = [broken.nth(k).get_attribute("class") or "" for k in range(broken.count())]
    column = next((k for k, state in enumerate(states) if "broken" in state), 0)
    page.locator(".grid").nth(1).locator("img").nth(column).press("Enter")


def choose(page: Page) -> None:
    """Let one attack's curve stand alone, and read a figure of it."""
    chart = page.locator("[data-chart]").first
    chart.locator("button.key", has_text="fgsm").click()
    chart.locator(".curve.chosen circle").nth(2).hover(force=True)


SHOTS = (
    Shot("report", "demo/report.html", (1100, 900)),
    Shot("curves", "demo/report.html", (1100, 560), True, "Accuracy against the budget", choose),
    Shot("image", "demo/report.html", (1100, 520), before=enlarge),
    Shot("phone", "demo/report.html", (390, 760), True),
    Shot("diagnosis", "diagnosis/diagnosis.html"),
    Shot("certificates", "certificates/report.html"),
    Shot("leaderboard", "board/leaderboard.html"),
)


def main() -> None:
    """Make the run where it is missing, and all screenshots."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("error: Chromium is not installed; apt-get install chromium")
    WORK.mkdir(parents=True, exist_ok=True)
    for page, command in COMMANDS.items():
        if not (WORK / page).is_file():
            tfrobust(*command)
    for command in AGAIN:  # from the same figures, by the templates of today
        tfrobust(*command)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for path in taken(browser):
            print(path.relative_to(ROOT), f"{path.stat().st_size / 1000:.0f} kB")
        browser.close()


def tfrobust(*command: str) -> None:
    """Run a command of this file in the folder of the run."""
    print("tfrobust", *command, flush=True)
    program = [sys.executable, "-m", "tfrobust_cli", *command]
    subprocess.run(program, cwd=WORK, check=True)  # noqa: S603


def taken(browser: Browser) -> Iterator[Path]:
    """Make each screenshot and yield its file."""
    for shot in SHOTS:
        width, height = shot.size
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if shot.dark else "light",
        )
        page.goto((WORK / shot.page).as_uri())
        if shot.heading:
            heading = page.get_by_role("heading", name=shot.heading, exact=True)
            heading.evaluate("heading => scrollTo(0, heading.offsetTop - 24)")
        shot.before(page)
        picture = Image.open(io.BytesIO(page.screenshot()))
        page.close()
        path = IMAGES / f"{shot.name}.webp"
        picture.convert("RGB").save(path, "WEBP", quality=QUALITY, method=6)
        yield path


if __name__ == "__main__":
    main()

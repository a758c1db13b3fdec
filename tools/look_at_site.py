"""Opens a built site in Chromium: light, dark, on a phone, by mouse and keys.

    python tools/look_at_site.py site --pictures build/look

An accessibility checker (axe, WCAG 2.1 A and AA) looks at each page, and at some
of each kind in the dark as well. All fit a phone of 390 pixels and ask no other
host. Search, copy buttons, the switch of the theme and the way from the
keyboard are used. Screenshots of some pages are left for a person to look at.
"""

import argparse
import contextlib
import functools
import http.server
import shutil
import sys
import threading
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
SHOWN = (
    "index",
    "guides/choose",
    "guides/caption_images",
    "gallery/index",
    "papers/bahdanau_2015",
    "migrate/tfa_seq2seq",
    "api/layers/additive_attention",
    "api/layers/index",
    "support",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--pictures", type=Path, default=Path("build/look"))
    options = parser.parse_args()
    site = options.site.resolve()
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        sys.exit(f"Install Chromium: none of {', '.join(BROWSERS)} is there.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        with served(site) as home:
            mistakes = look(browser, site, home, options.pictures)
            mistakes += use(browser, home)
        browser.close()
    print(*mistakes, sep="\n", end="\n" if mistakes else "")
    sys.exit(bool(mistakes))


def pages_of(site):
    paths = sorted(site.rglob("*.html"))
    return [x for x in paths if "_static" not in x.relative_to(site).parts]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served(site):
    """The address of a server of the site."""
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def opened(browser, home, mistakes, **options):
    """A page of a browser that reports errors and requests to other hosts."""
    page = browser.new_context(**options).new_page()
    page.on("pageerror", lambda e: mistakes.append(f"{page.url}: {e}"))

    def check(route):
        if route.request.url.startswith((home, "data:", "blob:")):
            route.continue_()
        else:
            mistakes.append(f"{page.url}: asks for {route.request.url}")
            route.abort()

    page.route("**/*", check)
    return page


def look(browser, site, home, pictures):
    """Every page on a desk and on a phone, some in the dark."""
    mistakes = []
    pictures.mkdir(parents=True, exist_ok=True)
    views = {
        "light": dict(viewport=DESK, color_scheme="light"),
        "dark": dict(viewport=DESK, color_scheme="dark"),
        "phone": dict(viewport=PHONE, color_scheme="light", has_touch=True),
    }
    for view, options in views.items():
        page = opened(browser, home, mistakes, **options)
        for path in pages_of(site):
            name = path.relative_to(site).with_suffix("").as_posix()
            if view == "dark" and name not in SHOWN:
                continue
            page.goto(f"{home}{name}.html")
            if view == "phone":
                width = page.evaluate("document.documentElement.scrollWidth")
                if width > PHONE["width"]:
                    mistakes.append(f"{name}: {width} pixels wide on a phone")
            else:
                mistakes += [f"{name}, {view}: {x}" for x in violations(page)]
            if name in SHOWN:
                page.screenshot(
                    path=pictures / f"{name.replace('/', '-')}-{view}.png"
                )
    return mistakes


def violations(page):
    """What the accessibility checker finds, one line for each rule."""
    for found in Axe().run(page, options=RULES).response["violations"]:
        nodes = found["nodes"]
        example = nodes[0]["html"][:160].replace("\n", " ")
        yield f"{found['id']} ({found['help']}), {len(nodes)} times: {example}"


def use(browser, home):
    """What a reader does: search, copy, switch to dark, go without a mouse."""
    mistakes = []
    page = opened(browser, home, mistakes, viewport=DESK)

    def expect(condition, what):
        if not condition:
            mistakes.append(f"{page.url}: {what}")

    page.goto(f"{home}index.html")
    page.keyboard.press("Tab")
    focus = "document.activeElement.textContent.trim()"
    expect("Skip to main" in page.evaluate(focus), "Tab skips to the text")
    page.keyboard.press("Control+k")
    page.keyboard.type("coverage fertility")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?**")
    first = page.locator("#search-results li a").first
    first.wait_for()
    expect("Coverage" in first.inner_text(), "search finds CoverageAttention")

    page.goto(f"{home}install.html")
    page.locator("div.highlight").first.hover()
    page.locator("button.copybtn").first.click()
    page.locator("button.copybtn.success").first.wait_for()

    page.locator("button.theme-switch-button:visible").click()
    page.locator(
        ".theme-switch-container button", has_text="Dark"
    ).first.click()
    theme = page.evaluate("document.documentElement.dataset.theme")
    expect(theme == "dark", "the theme switches to dark")
    return mistakes


if __name__ == "__main__":
    main()

"""The built site, in light, in the dark, on a phone, by mouse and by keys.

`make docs-look` runs these and leaves screenshots of some pages in
`build/look/`, for a person to look at.
"""

import functools
import http.server
import threading
from pathlib import Path

import pytest

from tests.browser.mouse import point

ROOT = Path(__file__).parents[2]
SITE, PICTURES = ROOT / "site", ROOT / "build" / "look"
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
VIEWS = {
    "light": dict(viewport=DESK),
    "dark": dict(viewport=DESK, color_scheme="dark"),
    "phone": dict(viewport=PHONE, has_touch=True),
}
SHOWN = (  # one of each kind
    "index",
    "guides/choose",
    "guides/caption_images",
    "gallery/index",
    "gallery/plot_alignments",
    "papers/bahdanau_2015",
    "migrate/tfa_seq2seq",
    "api/layers/index",
    "api/layers/additive_attention",
    "support",
)

pytestmark = [
    pytest.mark.one_backend,
    pytest.mark.skipif(not SITE.is_dir(), reason="needs `make docs`"),
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def home():
    """The address of a server of the site."""
    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def names():
    """The site's pages; the theme leaves a template among its own files."""
    paths = [path.relative_to(SITE) for path in sorted(SITE.rglob("*.html"))]
    return [
        x.with_suffix("").as_posix() for x in paths if "_static" not in x.parts
    ]


def violations(page):
    """What the accessibility checker finds, one line for each rule."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page, options=RULES).response["violations"]
    return [
        f"{x['id']} ({x['help']}), {len(x['nodes'])} times: "
        f"{x['nodes'][0]['html'][:160]}"
        for x in found
    ]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", SHOWN)
def test_a_page_of_each_kind_can_be_read(visit, home, name, view):
    page = visit(f"{home}{name}.html", **VIEWS[view])
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name.replace('/', '-')}-{view}.png")
    assert not violations(page)


def test_every_page_fits_a_phone(visit, home):
    page = visit(f"{home}index.html", **VIEWS["phone"])
    wide = {}
    for name in names():
        page.goto(f"{home}{name}.html")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            wide[name] = width
    assert not wide


def test_lines_of_code_fit_beside_the_sidebars(visit, home):
    small = {"width": 1200, "height": 800}
    page = visit(f"{home}guides/fine_tune_videos.html", viewport=small)
    starts = page.locator("#in-five-lines pre")
    assert starts.count() == 1
    assert starts.evaluate("pre => pre.scrollWidth - pre.clientWidth") == 0


@pytest.mark.slow
def test_every_page_passes_the_accessibility_checker(visit, home):
    page, found = visit(f"{home}index.html", **VIEWS["light"]), {}
    for name in names():
        page.goto(f"{home}{name}.html")
        if mistakes := violations(page):
            found[name] = mistakes
    assert not found


def test_the_keyboard_skips_to_the_text_and_searches(visit, home):
    page = visit(f"{home}index.html", **VIEWS["light"])
    page.keyboard.press("Tab")
    focus = page.evaluate("document.activeElement.textContent.trim()")
    assert focus == "Skip to main content"
    page.keyboard.press("Control+k")
    page.keyboard.type("coverage fertility")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?**")
    first = page.locator("#search-results li a").first
    first.wait_for()
    assert "Coverage" in first.inner_text()


def test_code_is_copied_by_a_button(visit, home):
    page = visit(f"{home}install.html", **VIEWS["light"])
    page.locator("div.highlight").first.hover()
    page.locator("button.copybtn").first.click()
    page.locator("button.copybtn.success").first.wait_for()


def test_a_reader_switches_to_the_dark(visit, home):
    page = visit(f"{home}install.html", **VIEWS["light"])
    page.locator("button.theme-switch-button:visible").click()
    switch = page.locator(".theme-switch-container button", has_text="Dark")
    switch.first.click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("view", VIEWS)
def test_the_explorer_of_a_gallery_page_follows_the_mouse(visit, home, view):
    page = visit(f"{home}gallery/plot_alignments.html", **VIEWS[view])
    frame = page.locator("iframe").first
    frame.scroll_into_view_if_needed()
    inside = page.frame_locator("iframe").first
    words = inside.locator("figure").first.locator(".query button")
    for word in words.all():
        point(page, word)
        said = inside.locator("output").first.inner_text()
        brightest = inside.locator("figure").first.locator(
            ".key button[style*='--lit: 100']"
        )
        read = brightest.first.inner_text()
        assert said.startswith(f"{word.inner_text()} reads {read} (0."), said
    page.screenshot(path=PICTURES / f"explorer-{view}.png")


def test_the_front_page_shows_what_there_is_in_one_screen(visit, home):
    page = visit(f"{home}index.html", **VIEWS["light"])
    for what in ("div.highlight-python", ".front-picture img", ".sd-card"):
        boxes = [x.bounding_box() for x in page.locator(what).all()]
        assert len(boxes) == (3 if what == ".sd-card" else 1)
        for box in boxes:
            assert box["y"] + box["height"] <= DESK["height"]

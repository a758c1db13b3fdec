"""A headless browser that may ask no other host."""

import shutil

import pytest

OURS = "file:", "data:", "about:", "blob:", "http://127.0.0.1:"
NAMES = "chromium", "chromium-browser", "google-chrome"


@pytest.fixture(scope="session")
def chromium():
    """A running Chromium, by playwright's synchronous API."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs the extra `browser`"
    )
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"needs one of {', '.join(NAMES)} on the PATH")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens pages: `visit(path or address, **options of a context)`.

    At the end of the test none may have asked for anything but files and this
    machine, or have met an error.
    """
    contexts, mistakes = [], []

    def open_page(target, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.on("request", lambda x: asked(x.url))
        page.goto(target if isinstance(target, str) else target.as_uri())
        return page

    def asked(url):
        if not url.startswith(OURS):
            mistakes.append(f"asks for {url}")

    yield open_page
    for context in contexts:
        context.close()
    assert not mistakes

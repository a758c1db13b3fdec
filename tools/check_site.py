"""Checks a built site: whole, and served without asking another host.

Links within it lead to pages and anchors that are there, and each picture has a
text in its place.

python tools/check_site.py site
"""

import argparse
import re
import sys
import zlib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

# Attributes that a browser follows without being asked to.
FETCHED = {"src", "srcset", "poster", "data", "action"}
FOREIGN = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)
CSS = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""")
# The license and source that a bundled script names in a comment are no
# requests: what a script asks for is in a call or an import.
SCRIPT = re.compile(
    r"""(?:fetch\(|import\(|from|importScripts\()\s*["'`]((?:https?:)?//[^"'`]+)"""
)


class Page(HTMLParser):
    """Collects what a browser fetches to show a page, and where it leads."""

    def __init__(self):
        super().__init__()
        self.fetched, self.katex_errors = [], 0
        self.links, self.anchors, self.unnamed = [], set(), []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        for name, value in attributes.items():
            link = tag == "link" and name == "href"
            if (name in FETCHED or link) and FOREIGN.match(value or ""):
                self.fetched.append(value)
            if name in ("href", "src") and not urlsplit(value or "").scheme:
                self.links.append(value or "")
            if name == "srcdoc":  # a page within the page
                self.feed_inner(value)
        self.katex_errors += "katex-error" in (attributes.get("class") or "")
        self.anchors.add(attributes.get("id"))
        if tag == "img" and not (attributes.get("alt") or "").strip():
            self.unnamed.append(attributes.get("src"))

    def feed_inner(self, text):
        inner = Page()
        inner.feed(text)
        self.fetched += inner.fetched
        self.unnamed += inner.unnamed


@cache
def read(path):
    page = Page()
    page.feed(path.read_text("utf-8"))
    return page


def check_requests(site):
    for path in sorted(site.rglob("*")):
        if path.suffix not in (".html", ".css", ".js"):
            continue
        text = path.read_text("utf-8")
        found = []
        if path.suffix == ".html":
            page = read(path)
            found = page.fetched + CSS.findall(text)
            if page.katex_errors:
                yield f"{path}: {page.katex_errors} formulas do not parse"
        elif path.suffix == ".css":
            found = CSS.findall(text)
        else:
            found = SCRIPT.findall(text)
        for address in found:
            yield f"{path}: asks for {address}"


def pages(site):
    """The site's pages; the theme leaves a template among its own files."""
    paths = sorted(site.rglob("*.html"))
    return [x for x in paths if "_static" not in x.relative_to(site).parts]


def check_links(site):
    for path in pages(site):
        for link in read(path).links:
            parts = urlsplit(link)
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            anchor = unquote(parts.fragment)
            if not target.is_file():
                yield f"{path}: links to {link}, which is not there"
                continue
            anchors = read(target).anchors if target.suffix == ".html" else ()
            if anchor and anchors and anchor not in anchors:
                yield f"{path}: links to {link}: no such place on it"


def check_pictures(site):
    for path in pages(site):
        for source in read(path).unnamed:
            yield f"{path}: {source} has no text in its place (alt)"


def inventory_names(site):
    """The Python names of a site's `objects.inv`."""
    content = (site / "objects.inv").read_bytes()
    # Four lines of text, then lines of "name domain:kind priority page title".
    *_, packed = content.split(b"\n", 4)
    lines = zlib.decompress(packed).decode().splitlines()
    return {line.split()[0] for line in lines if " py:" in line}


def check_names(site):
    from docs.names import public_names

    for name in sorted(public_names() - inventory_names(site)):
        yield f"objects.inv: {name} has no page"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    site = parser.parse_args().site.resolve()
    checks = (check_requests, check_links, check_pictures, check_names)
    mistakes = [mistake for check in checks for mistake in check(site)]
    print(*mistakes, sep="\n", end="\n" if mistakes else "")
    sys.exit(bool(mistakes))


if __name__ == "__main__":
    main()

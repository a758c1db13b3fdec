"""Ends each page of a name with where it is used: "Used in".

That is cards of the gallery's scripts, as sphinx-gallery knows them, and links
to the guides and the papers' pages that name it. Nothing where nothing does.
"""

import functools
import json
import re

from docs.names import AUTODOC, DOCS, documented_names

READ = ("guides", "papers")
BACKREFERENCES = "gallery/backreferences"


def setup(app):
    app.connect("source-read", add)
    return {"parallel_read_safe": True}


def add(app, page, source):
    if page.startswith("api/"):
        source[0] += used_in(source[0], gallery_names())


def gallery_names():
    """The dotted names that scripts of the gallery use."""
    path = DOCS / BACKREFERENCES / "backreferences_all.json"
    found = json.loads(path.read_text("utf-8"))
    return {name for name, scripts in found.items() if scripts}


def used_in(text, in_gallery):
    """What to add to the text of a page."""
    names = AUTODOC.findall(text)
    cards = sorted(in_gallery.intersection(names))
    pages = [page for page, words in read().items() if names_any(words, names)]
    if not cards and not pages:
        return ""
    lines = ["", "## Used in", ""]
    if cards:
        # The directive writes reStructuredText.
        gallery = f".. minigallery:: {' '.join(cards)}"
        lines += ["```{eval-rst}", gallery, "```", ""]
    lines += [f"- {{doc}}`/{page}`" for page in pages]
    return "\n".join([*lines, ""])


@functools.cache
def read():
    """The texts that are searched, by page."""
    return {
        str(path.relative_to(DOCS).with_suffix("")): path.read_text("utf-8")
        for folder in READ
        for path in sorted((DOCS / folder).glob("*.md"))
        if path.stem != "index"
    }


def names_any(text, names):
    """Whether a text names one of some dotted names of ours.

    By its module, `layers.LuongAttention`; as a call of what was imported,
    `LuongAttention(`; as code; or by a link to its page.
    """
    return any(re.search(_pattern(name), text) for name in names)


@functools.cache
def _links():
    """From each name to its page within `docs/api`."""
    return {
        name: str(page.relative_to(DOCS / "api").with_suffix(""))
        for name, page in documented_names().items()
    }


@functools.cache
def _pattern(dotted):
    *_, module, name = dotted.split(".")
    link = re.escape(_links()[dotted])
    return (
        # Not Keras's own of the same name.
        rf"(?<!\bkeras\.)\b{module}\.{name}\b"
        rf"|(?<![\w.]){name}\("
        rf"|`{name}`"
        rf"|[`(][./]*(?:api/)?{link}(?:\.md)?[`)]"
    )

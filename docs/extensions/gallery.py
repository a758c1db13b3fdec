"""The gallery: its order, and how its figures are kept.

Scripts of `docs/examples/` are run by sphinx-gallery. A cell shows a figure as
a notebook's does, by naming it last; the comment right above that line is what
the picture tells those who do not see it.
"""

import ast
import re
from pathlib import Path

from docs.extensions.figures import DOCS, STYLE

EXAMPLES = DOCS / "examples"
IMAGES = DOCS / "gallery" / "images"
THUMBNAIL = re.compile(r"^# sphinx_gallery_thumbnail_number = (\d)$", re.M)
CARD = re.compile(r"sphx_glr_(\w+)_thumb\.png$")
# As a reader goes through them: words, then places, then frames.
ORDER = (
    "plot_alignments.py",
    "plot_windows.py",
    "plot_caption.py",
    "plot_glimpses.py",
    "plot_channels.py",
    "plot_rollout.py",
    "plot_video.py",
)


def setup(app):
    app.setup_extension("sphinx_gallery.gen_gallery")
    app.connect("builder-inited", crop_thumbnails)  # after it has run
    app.connect("doctree-read", tell_cards)
    return {"parallel_read_safe": True}


def scripts():
    return sorted(EXAMPLES.glob("*.py"))


def by_hand(path):
    """Where a script stands; one that is not listed is an error."""
    return ORDER.index(Path(path).name)


def reset(gallery_conf, name):
    """Before each script: its figures look like the site's others."""
    import matplotlib

    matplotlib.rcParams.update(matplotlib.rcParamsDefault)
    matplotlib.rcParams.update(STYLE)


def scrape(block, block_vars, gallery_conf):
    """Saves the figure that a cell shows, and returns how it stands there.

    sphinx-gallery's own scraper keeps what pyplot holds, which these are not.
    """
    from matplotlib.figure import Figure
    from sphinx_gallery.scrapers import figure_rst

    shown = block_vars["example_globals"].get("___")
    if not isinstance(shown, Figure):
        return ""
    path = next(block_vars["image_path_iterator"])
    shown.savefig(path)
    return figure_rst([path], gallery_conf["src_dir"], described(block[1]))


def described(cell):
    """The comment right above the last line of a cell's code.

    Raises:
        ValueError: There is none.
    """
    lines = cell.splitlines()
    found = []
    for line in reversed(lines[: ast.parse(cell).body[-1].lineno - 1]):
        if not line.startswith("#"):
            break
        found.insert(0, line.removeprefix("#").strip())
    if not found:
        raise ValueError(
            "A comment must tell what a figure shows, right above the last "
            f"line of its cell. Received:\n{cell}"
        )
    return " ".join(found)


def told(script):
    """What the figures of a script show, in their order."""
    cells = script.read_text("utf-8").split("\n# %%\n")
    return [described(cell) for cell in cells if ends_with_figure(cell)]


def ends_with_figure(cell):
    """Whether a cell's last line is a name, or a call of a `plot_` function."""
    last = (ast.parse(cell).body or [None])[-1]
    value = last.value if isinstance(last, ast.Expr) else None
    function = getattr(getattr(value, "func", None), "attr", "")
    return isinstance(value, ast.Name) or function.startswith("plot_")


def on_card(script):
    """The number of the figure that a script's card shows, from 1."""
    chosen = THUMBNAIL.search(script.read_text("utf-8"))
    return int(chosen[1]) if chosen else 1


def crop_thumbnails(app):
    """Cuts each thumbnail from the top left of its figure.

    Whole figures are too small to show anything on a card.
    """
    from PIL import Image, ImageOps

    size = app.config.sphinx_gallery_conf["thumbnail_size"]
    for script in scripts():
        name = f"sphx_glr_{script.stem}"
        path = IMAGES / f"{name}_{on_card(script):03}.png"
        with Image.open(path) as figure:
            cut = ImageOps.fit(figure.convert("RGB"), size, centering=(0, 0))
        cut.save(IMAGES / "thumb" / f"{name}_thumb.png")


def tell_cards(app, doctree):
    """Gives the picture of each card the text of its figure."""
    from docutils import nodes

    for image in doctree.findall(nodes.image):
        found = CARD.search(image["uri"])
        if found:
            script = EXAMPLES / f"{found[1]}.py"
            image["alt"] = told(script)[on_card(script) - 1]

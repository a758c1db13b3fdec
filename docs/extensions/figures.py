"""Draws the figures of the pages before they are read.

Each script of `docs/figures/` has `draw()`, which returns a matplotlib Figure
of what a layer does with a small input, or an `Explorer`. All run in the
build's own process, so that Keras is imported once.
"""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[1]
SCRIPTS = DOCS / "figures"
IMAGES = DOCS / "images" / "api"
STYLE = {
    "figure.dpi": 144,
    "figure.facecolor": "white",
    "savefig.bbox": "tight",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlepad": 10,
}


def setup(app):
    app.connect("builder-inited", lambda app: draw_all())
    return {"parallel_read_safe": True}


def scripts():
    return sorted(SCRIPTS.glob("[a-z]*.py"))


def draw(script):
    """The figure of a script, in the site's style."""
    import keras
    import matplotlib

    spec = importlib.util.spec_from_file_location(
        f"docs_figure_{script.stem}", script
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    keras.utils.set_random_seed(0)
    with matplotlib.rc_context(STYLE):
        return module.draw()


def draw_all():
    import matplotlib

    from keras_attention.visualization import Explorer

    IMAGES.mkdir(parents=True, exist_ok=True)
    for script in scripts():
        drawn = draw(script)
        if isinstance(drawn, Explorer):
            page = drawn._repr_html_()
            (IMAGES / f"{script.stem}.html").write_text(page, "utf-8")
            continue
        with matplotlib.rc_context(STYLE):
            drawn.savefig(IMAGES / f"{script.stem}.png")

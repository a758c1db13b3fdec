"""How Sphinx builds the site: `make docs`."""

import logging
import os
import shutil
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, str(Path(__file__).parents[1]))

from sphinxcontrib.katex import KaTeXServer

import keras_attention
from docs.extensions.links import write_inventories

# Notes of libraries while figures and examples run, which are no warnings.
logging.getLogger("matplotlib").setLevel(logging.WARNING)
logging.getLogger("tensorflow").setLevel(logging.ERROR)

project = "keras_attention"
author = "The keras_attention authors"
project_copyright = author
release = version = keras_attention.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinxcontrib.katex",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_parser",
    "docs.extensions.docstrings",
    "docs.extensions.examples",
    "docs.extensions.figures",
    "docs.extensions.gallery",
    "docs.extensions.lines",
    "docs.extensions.measured",
    "docs.extensions.notebooks",
    "docs.extensions.pages",
    "docs.extensions.used_in",
]
exclude_patterns = ["_build", "examples"]

# === Pages ===
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# === Gallery ===
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("keras_attention",),
    "within_subsection_order": "docs.extensions.gallery.by_hand",
    "minigallery_sort_order": "docs.extensions.gallery.by_hand",
    "image_scrapers": ("docs.extensions.gallery.scrape",),
    "reset_modules": ("docs.extensions.gallery.reset",),
    "capture_repr": ("_repr_html_",),
    "first_notebook_cell": (
        '# pip install "keras-attention-layers[tensorflow]" matplotlib pillow\n'
        "%matplotlib inline"
    ),
    "min_reported_time": 3600,  # which no script takes: no time on its page
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

# === Docstrings ===
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_custom_sections = [
    ("Call arguments", "params_style"),
    ("Reference", "references"),
]
python_maximum_signature_line_length = 72
napoleon_use_rtype = False

# === Links ===
# Sites that offer no inventory, or one that an offline build cannot read.
intersphinx_mapping = write_inventories(
    Path(__file__).parents[1] / "build" / "inventories"
)

# An annotation's base class, which has no page.
nitpick_ignore = [("py:class", "keras_attention.layers.attention.Attention")]

# === Mathematics ===
# Rendered while building where Node.js is there, by the reader's browser
# where it is not; style and fonts are ours in both cases.
katex_prerender = shutil.which("node") is not None
katex_css_path = "katex/katex.min.css"

# === Look ===
MIGRATE = Path(__file__).parent.glob("migrate/*.md")
html_theme = "pydata_sphinx_theme"
html_title = "keras_attention"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_nav_level": 2,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    # Two columns of code, or many of a table, want the page's whole width.
    "secondary_sidebar_items": {
        "**": ["page-toc"],
        "index": [],
        "support": [],
    }
    | {f"migrate/{path.stem}": [] for path in MIGRATE},
}
html_sidebars = {"index": [], "install": [], "support": []}
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True


def setup(app):
    app.connect("builder-inited", start_katex)


def start_katex(app):
    """Starts the server that renders mathematics, before any page needs it.

    sphinxcontrib-katex connects once the server's socket exists, which may be
    before the server listens: then it is refused.
    """
    if not katex_prerender:
        return
    for _ in range(10):
        try:
            KaTeXServer.get()
            return
        except ConnectionRefusedError:
            time.sleep(0.1)

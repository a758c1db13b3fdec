"""Captions pictures with the model of a run folder.

python -m applications.captioning.caption runs/demo a.png b.png \
    --page captions.html --overlay a_words.png
"""

import argparse
import importlib
import sys
from pathlib import Path

from applications.captioning import runs
from applications.captioning.evaluate import check_pictures
from applications.common import command


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.captioning.caption",
        description="Captions pictures, one line of output for each.",
    )
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument(
        "--num-beams", type=command.positive, help="instead of the recipe's"
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="a page (.html) on which each word shows what it was read from",
    )
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="FILE",
        help="draw what each word of the first caption was read from, for "
        "example to words.png",
    )
    command.add_threads(parser)
    return parser


def check_options(options):
    """Refuses what can be known to fail before a model is read."""
    for path in options.pictures:
        if not path.is_file():
            raise ValueError(
                f"Pictures must be in files. Received: {path}, where there is "
                "none."
            )
    command.check_page(options.page)
    for name in ("page", "overlay"):
        path = getattr(options, name)
        if path is not None and not path.absolute().parent.is_dir():
            raise ValueError(
                f"--{name} must be in a folder that is there. Received: {path}."
                " Make the folder, or name another."
            )
    if options.overlay is not None:
        command.check_picture(options.overlay, "--overlay")


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        # Before the name of an overlay is checked, which imports a backend.
        command.limit_threads(options.threads)
        check_options(options)
        _, recipe = runs.read_finished(options.run_folder)
        check_pictures(recipe, options.run_folder)
        command.require("PIL")
        run = importlib.import_module("applications.captioning.experiment")
        model, *_ = run.read_run(options.run_folder)
        captions = model.caption(
            list(map(str, options.pictures)),
            num_beams=options.num_beams or recipe.num_beams,
            max_length=recipe.max_length,
        )
        for path, caption in zip(options.pictures, captions, strict=True):
            print(f"{path}: {caption.text}")
        show(model, options, captions)


def show(model, options, captions):
    """Writes the page and the overlay that are asked for."""
    if options.page is None and options.overlay is None:
        return
    pictures = importlib.import_module("applications.captioning.pictures")
    views = [
        pictures.caption_view(pictures.shown(model, str(path)), caption)
        for path, caption in zip(options.pictures, captions, strict=True)
    ]
    if options.page is not None:
        pictures.save_page(model, views, options.page)
    if options.overlay is not None:
        pictures.draw_overlay(model, views[0], options.overlay)


if __name__ == "__main__":
    sys.exit(main())

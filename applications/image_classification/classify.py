"""Tells what pictures show, by the model of a run folder.

python -m applications.image_classification.classify runs/flowers a.jpg b.png \
    --rollout seen.png --page seen.html
"""

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np

from applications.common import command
from applications.image_classification import runs
from applications.vision.answers import tell


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.image_classification.classify",
        description="Tells what pictures show.",
    )
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument(
        "--top", type=command.positive, default=3, help="classes told of each"
    )
    parser.add_argument(
        "--rollout", type=Path, metavar="FILE", help="draw what was read"
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="a page (.html) on which each patch shows what it read",
    )
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="FOLDER",
        help="of a segmentation: where masks go, a .png for each picture",
    )
    command.add_threads(parser)
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        command.check_page(options.page)
        command.limit_threads(options.threads)
        command.require("PIL")
        model, recipe, _, class_names = runs.read_run(options.run_folder)
        segments = recipe.task == "segmentation"
        if segments != (options.masks is not None) or (
            segments and (options.rollout or options.page)
        ):
            raise ValueError(
                "A segmentation writes --masks, a classification may draw its "
                "--rollout and its --page. Received: a run with "
                f"task={recipe.task}, --masks {options.masks}, --rollout "
                f"{options.rollout}, --page {options.page}."
            )
        if segments:
            write_masks(model, options.pictures, options.masks, class_names)
        else:
            images = model.image_processor(options.pictures)
            logits = model.predict_on_batch(images)
            tell(options.pictures, logits, class_names, options.top)
            if options.rollout is not None:
                visualization = importlib.import_module(
                    "keras_attention.visualization"
                )
                visualization.plot_rollout(model, images, options.rollout)
            if options.page is not None:
                write_page(model, images, options.pictures, options.page)


def write_page(model, images, paths, page):
    """Writes what patches read: in the last block, and through all of them."""
    visualization = importlib.import_module("keras_attention.visualization")
    *_, last = blocks = list(model.attention()(images).values())
    rollout = visualization.attention_rollout(blocks)
    tokens = ["class", "distillation"][: model.num_prefix_tokens]
    views = []
    for index, path in enumerate(paths):
        patches = visualization.Cells(images[index], model.grid_shape, tokens)
        scores = {"rollout": rollout[index], "last block": last[index]}
        view = visualization.AttentionView(patches, patches, scores, path.name)
        views.append(view)
    visualization.Explorer(views, "What each patch read").save(page)


def write_masks(model, paths, folder, class_names):
    """Writes the class of each pixel, and prints the share of each class."""
    image = importlib.import_module("PIL.Image")
    written = [folder / f"{path.stem}.png" for path in paths]
    there = [str(path) for path in written if path.exists()]
    if there or len(set(written)) < len(written):
        raise ValueError(
            "Each mask must have a file of its own, which is not there yet. "
            f"Received: --masks {folder} for {len(paths)} pictures; there is "
            f"{', '.join(there) or 'none, but names are alike'}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    masks = model.segment(paths)
    for path, name, mask in zip(paths, written, masks, strict=True):
        image.fromarray(np.asarray(mask, "uint8")).save(name)
        classes, counts = np.unique(mask, return_counts=True)
        told = ", ".join(
            f"{class_names[i]} {100 * n / mask.size:.1f} %"
            for i, n in zip(classes, counts, strict=True)
        )
        print(f"{path}: {told}; {name}")


if __name__ == "__main__":
    sys.exit(main())

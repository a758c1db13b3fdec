"""Scores the model of a run folder again: other videos, sizes or views.

python -m applications.video_classification.evaluate runs/sports --views 4 \
    --crops 3
"""

import dataclasses
import sys

from applications.common import command
from applications.video_classification.recipes import APPLICATION, check_recipe
from applications.vision import evaluate


def main(arguments=None):
    parser = evaluate.make_parser(APPLICATION)
    for name, about in (
        ("frames", "frames of a clip: positions are resampled"),
        ("stride", "frames of the video from one of a clip to the next"),
        ("views", "clips of each video, whose logits are averaged"),
        ("crops", "squares of each clip, 1 or 3"),
    ):
        parser.add_argument(f"--{name}", type=command.positive, help=about)
    evaluate.main(APPLICATION, parser, arguments, changed)


def changed(options, recipe, model):
    changes = {
        name: getattr(options, name)
        for name in ("stride", "views", "crops")
        if getattr(options, name) is not None
    }
    recipe = dataclasses.replace(recipe, **changes)
    check_recipe(recipe)
    frames, height, width, channels = model.video_shape
    if options.image_size is not None:
        height, width = (2 * options.image_size)[:2]
    shape = (options.frames or frames, height, width, channels)
    if shape != model.video_shape:
        model = model.resize(shape)
    return recipe, model


if __name__ == "__main__":
    sys.exit(main())

"""Scores the model of a run folder again, on other pictures or at another size.

python -m applications.image_classification.evaluate runs/flowers \
    --image-size 384
"""

import sys

from applications.image_classification.recipes import APPLICATION
from applications.vision import evaluate


def main(arguments=None):
    parser = evaluate.make_parser(APPLICATION)
    evaluate.main(APPLICATION, parser, arguments, changed)


def changed(options, recipe, model):
    if options.image_size is not None:
        height, width = (2 * options.image_size)[:2]
        model = model.resize((height, width, model.image_shape[-1]))
    return recipe, model


if __name__ == "__main__":
    sys.exit(main())

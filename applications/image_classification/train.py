"""Trains on pictures by a recipe, tests and leaves a run folder.

python -m applications.image_classification.train --recipe demo
python -m applications.image_classification.train --recipe fine_tune \
    --data flowers --weights hf://google/vit-base-patch16-224 \
    --output runs/flowers
"""

import sys

from applications.image_classification.recipes import APPLICATION
from applications.vision import train


def main(arguments=None):
    parser = train.make_parser(
        APPLICATION,
        data="a folder with a folder for each class, or with train/, "
        "validation/ and test/ that have such; for segmentation with images/ "
        "and masks/; or a .npz file with x_train, y_train, x_test, y_test; or "
        "tfds:NAME for a set of tensorflow-datasets",
        weights="a folder of `save_to_preset`, of Hugging Face's or of "
        "timm's, hf://user/repo, or a .npz file of Google's",
    )
    train.main(APPLICATION, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())

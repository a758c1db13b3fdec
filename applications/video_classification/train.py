"""Trains on videos by a recipe, tests and leaves a run folder.

python -m applications.video_classification.train --recipe demo
python -m applications.video_classification.train --recipe fine_tune \
    --data sports --image-weights hf://google/vit-base-patch16-224 \
    --output runs/sports
"""

import sys

from applications.video_classification.recipes import APPLICATION
from applications.vision import train


def main(arguments=None):
    parser = train.make_parser(
        APPLICATION,
        data="a folder with a folder for each class, or with train/, "
        "validation/ and test/ that have such; a list (.txt, .csv) with a "
        "file and its class on each line; a .npz file with x_train, y_train, "
        "x_test, y_test; or tfds:NAME for a set of tensorflow-datasets",
        weights="a folder of `save_to_preset` or of Hugging Face's, "
        "hf://user/repo, or a checkpoint of scenic's",
    )
    parser.add_argument(
        "--image-weights",
        help="weights of a ViT to begin with instead: what `--weights` of "
        "applications.image_classification.train may be",
    )
    train.main(APPLICATION, parser, arguments, ["image_weights"])


if __name__ == "__main__":
    sys.exit(main())

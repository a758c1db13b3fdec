"""Makes a set to train on of emoji and their names, tested on combinations.

A picture to test on has a role in a skin tone (or as a person) that training
never shows together, though it shows each of them in other company.

python -m applications.captioning.emoji emoji_captions --language de \
    --output data/emoji_de
python -m applications.captioning.train --recipe named_emoji \
    --karpathy data/emoji_de/dataset.json --images data/emoji_de/images
"""

import argparse
import json
import random
import sys
from collections import Counter
from pathlib import Path

from applications.common import command, folders

PEOPLE = ("man", "woman", "person", "men", "women", "people")
DATASET = "dataset.json"


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.captioning.emoji",
        description="Makes a set for --karpathy of emoji and their names.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        help="with images.npz, whose `images` are (n, height, width, 3), and "
        "captions.jsonl, a line for each: its names by language",
    )
    parser.add_argument("--language", default="en", help="of the captions")
    parser.add_argument(
        "--unseen",
        choices=("tone", "person"),
        default="tone",
        help="what a role is tested with and not trained with",
    )
    parser.add_argument(
        "--share",
        type=float,
        default=0.1,
        help="of the pictures that test, and of those that validate",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--output", type=Path, required=True, help="a new folder"
    )
    return parser


def read(folder, language):
    """The pictures, and the English and the other name of each."""
    import numpy as np

    try:
        with np.load(folder / "images.npz") as arrays:
            images = arrays["images"]
    except folders.ARCHIVE_ERRORS as error:
        raise ValueError(
            "Pictures must be the `images` of a file images.npz. Received: "
            f"{folder} ({error!r})."
        ) from None
    path = folder / "captions.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    if images.dtype != "uint8" or images.shape != (
        len(lines),
        *images.shape[1:3],
        3,
    ):
        raise ValueError(
            "There must be a picture (height, width, 3) of unsigned bytes for "
            f"each line of {path}. Received: {len(lines)} lines, images of "
            f"shape {images.shape} and dtype {images.dtype}."
        )
    return images, [
        names_of(line, language, f"{path}, line {i}")
        for i, line in enumerate(lines, 1)
    ]


def names_of(line, language, where):
    """The English and the other name on a line."""
    try:
        names = json.loads(line)
        found = [names[x] for x in ("en", language)]
        if all(isinstance(x, str) and x.strip() for x in found):
            return found
        problem = "a name that is empty or no text"
    except json.JSONDecodeError as error:
        problem = repr(error)
    except (KeyError, TypeError):
        problem = ", ".join(names) if isinstance(names, dict) else "no object"
    raise ValueError(
        f"Each line must have names in the languages en and {language}. "
        f"Received: {problem} ({where})."
    )


def attributes_of(name):
    """What an English name says of a person, a word or more of each.

    "woman firefighter: dark skin tone" is a `role`, a `person` and a `tone`;
    "man: bald" has `hair`. What is left is the role, as are names of things.
    """
    words, _, details = name.partition(": ")
    found = {x: [] for x in ("role", "person", "tone", "hair")}
    for part in words.split() + details.split(", "):
        if part in PEOPLE:
            found["person"].append(part)
        elif part.endswith(" skin tone"):
            found["tone"].append(part.removesuffix(" skin tone"))
        elif part.endswith(" hair") or part == "bald":
            found["hair"].append(part)
        elif part:
            found["role"].append(part)
    return {x: " ".join(parts) for x, parts in found.items()}


def split(names, unseen, share, seed):
    """Which part each picture is in.

    Args:
        names: The English name and the caption of each.
        unseen: The attribute that makes a combination with role and hair.
        share: Of the pictures to test on, and to validate with.
        seed: Of the order in which combinations are drawn.

    Returns:
        "train", "val" or "test" for each. Of combinations in `test` training
        has none, of those in `val` others. It has each attribute and each
        word of them: what else it has not seen, no captioner could say.
    """
    from keras_attention.data import split_words

    attributes = [attributes_of(english) for english, _ in names]
    combinations = [(x["role"], x["hair"], x[unseen]) for x in attributes]
    contents = [
        {*x.items(), *split_words(caption)}
        for x, (_, caption) in zip(attributes, names, strict=True)
    ]
    groups = {}
    for i, combination in enumerate(combinations):
        groups.setdefault(combination, []).append(i)
    parts = ["train"] * len(names)
    left = Counter(x for content in contents for x in content)
    left.update(combinations)
    number, rng = share * len(names), random.Random(seed)

    def take(candidates, part, more):
        rng.shuffle(candidates)
        for members in candidates:
            if parts.count(part) >= number:
                return
            used = Counter(x for i in members for x in (*contents[i], *more(i)))
            if all(left[x] > used[x] for x in used):
                left.subtract(used)
                for i in members:
                    parts[i] = part

    take(list(groups.values()), "test", lambda i: ())
    rest = [[i] for i, part in enumerate(parts) if part == "train"]
    take(rest, "val", lambda i: (combinations[i],))
    return parts


def write(folder, images, names, parts):
    """Writes pictures, and the file that `--karpathy` reads.

    Args:
        folder: To make.
        images: `(n, height, width, 3)` unsigned bytes.
        names: The English name and the caption of each.
        parts: As `split` returns them.
    """
    from PIL import Image

    pictures = folder / "images"
    pictures.mkdir(parents=True)
    records = []
    for i, (image, (english, caption), part) in enumerate(
        zip(images, names, parts, strict=True)
    ):
        name = f"{i:04}.png"
        Image.fromarray(image).save(pictures / name)
        records.append(
            {
                "filename": name,
                "split": part,
                "sentences": [{"raw": caption}],
                "attributes": attributes_of(english),
            }
        )
    folders.write_json(
        folder / DATASET, {"dataset": "emoji", "images": records}
    )


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        if not 0 < options.share < 0.5:
            raise ValueError(
                "--share must be more than 0 and less than a half. Received: "
                f"{options.share}."
            )
        if options.output.exists():
            raise ValueError(
                f"--output must be a new folder. Received: {options.output}, "
                "which is there."
            )
        command.require("PIL")
        images, names = read(options.folder, options.language)
        parts = split(names, options.unseen, options.share, options.seed)
        missing = {"train", "val", "test"} - set(parts)
        if missing:
            raise ValueError(
                "There must be pictures whose role comes with more than one "
                f"{options.unseen}. Received: {options.folder}, {len(names)} "
                f"pictures and none for {', '.join(sorted(missing))}. Name "
                "another folder, or a larger --share."
            )
        write(options.output, images, names, parts)
    counts = [f"{parts.count(x)} {x}" for x in ("train", "val", "test")]
    print(f"{', '.join(counts)}: {options.output / DATASET}")


if __name__ == "__main__":
    sys.exit(main())

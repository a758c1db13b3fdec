"""Which way, and how fast, is a film played? Real clips, told by motion alone.

python -m applications.video_classification.playback --videos FOLDER \
    --output runs/playback

Every video is cut in time: clips of its first part train, those of its last
part test, and no frame is in both. A clip is played forwards or backwards, at
the speed of the camera or at two or four times of it: six classes. Played
backwards, a clip holds the same frames, so that what does not read their order
cannot tell the direction. What is done already is read again.
"""

import argparse
import dataclasses
import importlib
import json
import sys
from pathlib import Path

from applications.common import command, folders
from applications.video_classification.recipes import (
    RECIPES,
    VARIANTS,
    make_recipe,
)
from applications.vision import runs

SPEEDS = 1, 2, 4  # frames of the video from one of a clip to the next
CLASS_NAMES = [
    f"{direction} x{speed}"
    for speed in SPEEDS
    for direction in ("forwards", "backwards")
]
TEST_SHARE = 0.3
CROPPED = 2  # height of a frame, and width at least, in those of its crops
BAG = "bag_of_frames"
# Choices that would do nothing here, or something else.
FIXED = (
    "dataset",
    "system",
    "variant",
    "stride",
    "views",
    "random_crop",
    "validation_share",
    "trainable",
    "freeze_blocks",
    "layer_decay",
    "inflation",
    "ema",
    "budget_minutes",
)


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.video_classification.playback",
        description="Tells in which direction and how fast films are played.",
    )
    parser.add_argument(
        "--videos", type=Path, required=True, help="a folder of video files"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/playback"))
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=(*VARIANTS, BAG),
        default=(*VARIANTS, BAG),
        help="variants of ViViT, or a bag of frames",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    command.add_changes(parser)
    command.add_threads(parser)
    return parser


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        recipe = make_recipe("playback", options.changes)
        check_recipe(recipe)
        listing = runs.sha256(options.videos, "videos")
        command.limit_threads(options.threads)
        command.require("PIL")
        run = importlib.import_module(
            "applications.video_classification.experiment"
        )
        train, test = cut(read_videos(options.videos, recipe), recipe.frames)
        options.output.mkdir(parents=True, exist_ok=True)
    print(f"{len(train)} clips to train on, {len(test)} to test on", flush=True)
    path = options.output / folders.METRICS_FILE
    about = json.loads(json.dumps(dataclasses.asdict(recipe)))
    about["videos"] = listing
    rows = []
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        rows = saved["rows"] if saved["about"] == about else []
    for seed in options.seeds:
        for variant in options.variants:
            key = {"variant": variant, "seed": seed}
            if any(key.items() <= row.items() for row in rows):
                continue
            changes = {"variant": variant}
            if variant == BAG:
                changes = {"system": BAG}
            chosen = dataclasses.replace(recipe, **changes)
            found = fit(run, chosen, train, test, seed)
            rows.append({**key, **found})
            print({**key, **found}, flush=True)
            folders.write_json(path, {"about": about, "rows": rows})
    asked = options.variants, options.seeds
    print(
        table(
            row
            for row in rows
            if row["variant"] in asked[0] and row["seed"] in asked[1]
        )
    )


def check_recipe(recipe):
    """Refuses choices that have no place here."""
    for field in FIXED:
        value, own = getattr(recipe, field), getattr(RECIPES["playback"], field)
        if value != own:
            raise ValueError(
                "Films are cut, trained on and told apart in one way. "
                f"Received: {field}={value}. Leave it at {own}."
            )
    for field in ("frames", "image_size"):
        if not isinstance(getattr(recipe, field), int):
            raise ValueError(
                f"`{field}` must be a number here. Received: "
                f"{field}={getattr(recipe, field)}."
            )


def read_videos(folder, recipe):
    """The frames of each video, as small as they are looked at."""
    np = importlib.import_module("numpy")
    data = importlib.import_module("keras_attention.data")
    readers = importlib.import_module("keras_attention.data.video_readers")
    paths = sorted(
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix.lower() in readers.EXTENSIONS
    )
    if not paths:
        raise ValueError(
            f"There must be videos in the folder. Received: {folder}, with "
            "none."
        )
    # Larger than the crops of clips, so that those are many.
    processor = data.ImageProcessor(CROPPED * recipe.image_size)
    videos = []
    for path in paths:
        file = data.VideoFile(path)
        frames = file.frames(range(file.num_frames))
        videos.append(np.stack([processor.pixels(frame) for frame in frames]))
    return videos


def cut(videos, frames):
    """Pairs of clips and labels to train and to test on.

    Args:
        videos: Arrays `(T, height, width, 3)`.
        frames: Frames of a clip.
    """
    parts = [], []
    for video in videos:
        end = round((1 - TEST_SHARE) * len(video))
        for pairs, part in zip(parts, (video[:end], video[end:]), strict=True):
            for index, speed in enumerate(SPEEDS):
                length = speed * (frames - 1) + 1
                if length > len(part):
                    raise ValueError(
                        "A part of a video must be as long as a clip at the "
                        f"highest speed, {length} frames. Received: "
                        f"{len(part)}. Take fewer `frames`."
                    )
                for offset in range(len(part) - length + 1):
                    clip = part[offset : offset + length : speed]
                    pairs.append((clip, 2 * index))
                    pairs.append((clip[::-1], 2 * index + 1))
    return parts


def fit(run, recipe, train, test, seed):
    """Trains on clips; how many of the others are told rightly."""
    np = importlib.import_module("numpy")
    run.keras.utils.set_random_seed(seed)
    number = len(CLASS_NAMES)
    steps = recipe.epochs * -(-len(train) // recipe.batch_size)
    model = run.make_model(recipe, number, steps=steps)
    # Frames are small already, and stay as large as they are.
    model.image_processor = run.ImageProcessor(
        crop_size=(recipe.image_size, recipe.image_size)
    )
    batches = run.make_training(recipe, model, train, number, seed)
    model.fit(batches, epochs=recipe.epochs, shuffle=False, verbose=0)
    found, labels = [], []
    tests = run.make_test(recipe, model, test, number)
    for logits, true in run.predictions(model, tests):
        found.append(logits.argmax(-1))
        labels.append(true)
    found, labels = np.concatenate(found), np.concatenate(labels)
    return {
        "accuracy": float((found == labels).mean()),
        "direction": float((found % 2 == labels % 2).mean()),
        "speed": float((found // 2 == labels // 2).mean()),
    }


def table(rows):
    """Markdown: means over seeds, and their range."""
    rows = list(rows)
    names = "accuracy", "direction", "speed"
    lines = [["", "direction and speed", "direction", "speed"], ["---"] * 4]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        line = [variant.replace("_", " ")]
        for name in names:
            found = [row[name] for row in rows if row["variant"] == variant]
            mean = sum(found) / len(found)
            line.append(
                f"{100 * mean:.1f} % ({100 * min(found):.1f} to "
                f"{100 * max(found):.1f})"
            )
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())

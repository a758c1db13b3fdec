"""Tells what runs on emoji name right: the role, the person, the tone, hair.

python -m applications.captioning.emoji_scores runs/emoji_en runs/emoji_de
"""

import argparse
import importlib
import json
import statistics
import sys
from pathlib import Path

from applications.captioning import runs
from applications.common import command

ATTRIBUTES = ("role", "person", "tone", "hair")
PARTS = {"seen": "validation", "unseen": "test"}


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.captioning.emoji_scores",
        description="Scores by attribute of runs on what "
        "applications.captioning.emoji has made.",
    )
    parser.add_argument("run_folders", type=Path, nargs="+")
    command.add_threads(parser)
    return parser


def attributes_by_picture(folder, about):
    """What each picture of a run shows, by its name."""
    path = "" if about["data"] is None else about["data"]["path"]
    try:
        records = json.loads(Path(path).read_text(encoding="utf-8"))
        return {
            x["filename"]: {name: x["attributes"][name] for name in ATTRIBUTES}
            for x in records["images"]
        }
    except (KeyError, TypeError, ValueError, IsADirectoryError):
        raise ValueError(
            "A run must have been trained on what "
            f"applications.captioning.emoji has made. Received: {folder}, "
            f"trained on {path or 'no captions that are named'}."
        ) from None


def words_of(name):
    """The words of a name as a captioner writes them, in lower case."""
    from keras_attention.data import split_words

    return tuple(split_words(name.lower()))


def score(examples, texts, named, attributes):
    """Shares of captions that are right, in all and by attribute.

    A caption says what the picture shows whose name it is; one that is no
    picture's name says nothing.

    Args:
        examples: Pictures with their names.
        texts: What was written of each.
        named: The attributes of what has a name, by the words of the name.
        attributes: Those of each picture, by its file.

    Returns:
        Numbers by name, of an attribute over the pictures that have it, of
        the tone over all: without one, skin is yellow.
    """
    found = {name: [] for name in ("exact", *ATTRIBUTES)}
    for example, text in zip(examples, texts, strict=True):
        shown = attributes[example.name]
        said = named.get(words_of(text), {})
        found["exact"].append(said == shown)
        for name in ATTRIBUTES:
            if shown[name] or name == "tone":
                found[name].append(said.get(name) == shown[name])
    return {
        name: statistics.mean(hits) if hits else None
        for name, hits in found.items()
    }


def score_run(run, sources, folder):
    """Scores of a run, by part."""
    about, _ = runs.read_finished(folder)
    attributes = attributes_by_picture(folder, about)
    runs.check_unchanged(about)
    model, recipe, _ = run.read_run(folder)
    parts = {
        part: sources.read_part(about["data"], part)[0]
        for part in ("train", *PARTS.values())
    }
    named = {
        words_of(x.captions[0]): attributes[x.name]
        for examples in parts.values()
        for x in examples
    }
    return {
        label: score(
            parts[part],
            model.generate(
                [x.image for x in parts[part]],
                num_beams=recipe.num_beams,
                max_length=recipe.max_length,
            ),
            named,
            attributes,
        )
        for label, part in PARTS.items()
    }


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        for folder in options.run_folders:
            attributes_by_picture(folder, runs.read_finished(folder)[0])
        command.limit_threads(options.threads)
        command.require("PIL")
        run, sources = (
            importlib.import_module(f"applications.captioning.{name}")
            for name in ("experiment", "sources")
        )
        results = {
            folder: score_run(run, sources, folder)
            for folder in options.run_folders
        }
    heads = ["run", "combinations", "exact", *ATTRIBUTES]
    rows = [heads, ["---"] * len(heads)]
    for folder, by_part in results.items():
        for label, scores in by_part.items():
            cells = ["" if x is None else f"{x:.3f}" for x in scores.values()]
            rows.append([f"`{folder.name}`", label, *cells])
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


if __name__ == "__main__":
    sys.exit(main())

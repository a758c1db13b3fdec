"""The arguments that name pictures with captions. Imports no backend."""

from pathlib import Path

from applications.vision.runs import known_path, sha256

KINDS = ("karpathy", "coco", "flickr", "tsv", "tfds")


def add_data(parser, purpose):
    """Adds the ways to name pictures with captions.

    Args:
        parser: Of the command.
        purpose: What they are for, such as "to train and test on".
    """
    for name, about in (
        ("karpathy", "dataset_*.json of Karpathy, whose splits it takes"),
        ("coco", "captions_*.json of COCO"),
        ("flickr", "Flickr8k.token.txt, or a file of its form"),
        ("tsv", "a UTF-8 file with `picture TAB caption` on each line"),
        ("tfds", "a set of tensorflow-datasets, such as coco_captions"),
    ):
        parser.add_argument(
            f"--{name}",
            metavar="NAME" if name == "tfds" else "FILE",
            help=f"captions {purpose}: {about}",
        )
    parser.add_argument(
        "--images",
        metavar="FOLDER",
        help="where the pictures are; of --tsv the folder of the file if left "
        "out",
    )
    parser.add_argument(
        "--names",
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="files with the names of the pictures of --flickr, one a line",
    )
    parser.add_argument(
        "--restval",
        action="store_true",
        help="train on the pictures that --karpathy calls restval, too",
    )
    parser.add_argument(
        "--skip-bad-files",
        action="store_true",
        help="leave out pictures and captions that cannot be used, and tell "
        "which",
    )


def data_of(options):
    """What the arguments name, as `recipe.json` holds it, or None.

    Args:
        options: Of the command.
    """
    given = {x: getattr(options, x) for x in KINDS}
    given = {x: value for x, value in given.items() if value is not None}
    if len(given) > 1:
        raise ValueError(
            "Captions are of one kind. Received: "
            f"{' and '.join(f'--{x}' for x in given)}. Leave one out."
        )
    if not given:
        for name in ("images", "names", "restval", "skip_bad_files"):
            if getattr(options, name):
                raise ValueError(
                    f"--{name.replace('_', '-')} goes with captions that are "
                    "named. Received: none of "
                    f"{', '.join(f'--{x}' for x in KINDS)}."
                )
        return None
    ((kind, path),) = given.items()
    check_companions(kind, options)
    return {
        "kind": kind,
        "path": known_path(path),
        "images": known_path(options.images),
        "names": [known_path(x) for x in options.names or ()],
        "restval": options.restval,
        "skip_bad_files": options.skip_bad_files,
    }


def check_companions(kind, options):
    """Refuses arguments that a kind of captions lacks or does not take."""
    if kind in ("karpathy", "coco", "flickr") and options.images is None:
        raise ValueError(
            f"--{kind} needs the folder of its pictures. Received: no "
            "--images. Add --images FOLDER."
        )
    for name, takers in (
        ("images", ("karpathy", "coco", "flickr", "tsv")),
        ("names", ("flickr",)),
        ("restval", ("karpathy",)),
    ):
        if getattr(options, name) and kind not in takers:
            raise ValueError(
                f"--{name} goes with {', '.join(f'--{x}' for x in takers)}. "
                f"Received: it, with --{kind}. Leave it out."
            )


def digest(data):
    """The hashes by which the files of captions are known again, or None."""
    if data is None or data["kind"] == "tfds":
        return None
    files = [data["path"], *data["names"]]
    missing = [x for x in files if not Path(x).is_file()]
    if missing:
        raise ValueError(
            f"Captions must be in a file. Received: {missing[0]}, where there "
            "is none."
        )
    return [sha256(x, "captions") for x in files]

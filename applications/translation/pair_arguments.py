"""The arguments that name sentence pairs. Imports no backend."""


def add_data(parser, purpose):
    """Adds the ways to name sentence pairs."""
    parser.add_argument(
        "--data",
        help=f"pairs {purpose}: a UTF-8 file with one `source TAB target` per "
        "line, tfds:NAME for a set of tensorflow-datasets, or "
        "tfds:NAME,SOURCE,TARGET to choose its languages",
    )
    for side in ("source", "target"):
        parser.add_argument(
            f"--{side}-file",
            metavar="FILE",
            help=f"the {side} side of line-aligned pairs, instead of --data",
        )
    parser.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="leave out rows that hold no pair, and tell which",
    )


def data_of(options):
    """The pairs that are named: a path, two paths, `tfds:...` or None."""
    sides = options.source_file, options.target_file
    if sides == (None, None):
        if options.data == "tfds:":
            raise ValueError(
                "A set of tensorflow-datasets must be named. Received: --data "
                "tfds:. Use for example tfds:ted_hrlr_translate/pt_to_en."
            )
        return options.data
    if None in sides or options.data is not None:
        given = [
            name
            for name, value in (
                ("--data", options.data),
                ("--source-file", sides[0]),
                ("--target-file", sides[1]),
            )
            if value is not None
        ]
        raise ValueError(
            "Pairs come from --data, or from --source-file together with "
            f"--target-file. Received: {' and '.join(given)}."
        )
    return sides


def data_arguments(data):
    """The arguments that name the pairs again."""
    if data is None:
        return []
    if isinstance(data, tuple):
        return ["--source-file", data[0], "--target-file", data[1]]
    return ["--data", data]

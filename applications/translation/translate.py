"""Translates sentences with the model of a run folder.

python -m applications.translation.translate runs/demo \
    "the small black cats sleep" --alignment cats.png
"""

import argparse
import importlib
import sys
from pathlib import Path

from applications.translation import command


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.translation.translate",
        description="Translates sentences, one line of output for each.",
    )
    parser.add_argument("run_folder", type=Path)
    parser.add_argument(
        "sentences",
        nargs="*",
        help="sentences; the lines of the standard input if there are none",
    )
    parser.add_argument("--num-beams", type=command.positive, default=1)
    parser.add_argument(
        "--alignment",
        type=Path,
        metavar="FILE",
        help="draw what each word was read from, for example to cats.png",
    )
    return parser


def read_lines(stream):
    """The lines of UTF-8 bytes, each ended by a line feed and no other sign."""
    lines = stream.read().split(b"\n")
    if not lines[-1]:
        lines.pop()
    sentences = []
    for number, line in enumerate(lines, 1):
        try:
            sentences.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(
                "The standard input must be UTF-8 text. Received: byte "
                f"0x{line[error.start]:02x} in line {number}. Convert it, for "
                "example with iconv."
            ) from None
    return sentences


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        run = importlib.import_module("applications.translation.experiment")
        model, _, _ = run.read_run(options.run_folder)
        if options.alignment is not None and not model.attends:
            raise ValueError(
                "`--alignment` draws what was read, which needs a model with "
                f"attention. Received: a {type(model).__name__}. Leave it out."
            )
        sentences = options.sentences or read_lines(sys.stdin.buffer)
        if not sentences:
            raise ValueError(
                "There must be a sentence to translate. Received: none as an "
                "argument, and an empty standard input."
            )
        translations = model.translate(sentences, num_beams=options.num_beams)
        for translation in translations:
            print(translation.text)
        if options.alignment is not None:
            visualization = importlib.import_module(
                "keras_attention.visualization"
            )
            visualization.plot_alignments(
                [
                    (x.scores, x.source_tokens, x.target_tokens)
                    for x in translations
                ],
                options.alignment,
            )


if __name__ == "__main__":
    sys.exit(main())

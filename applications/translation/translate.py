"""Translates sentences with the model of a run folder.

python -m applications.translation.translate runs/demo \
    "the small black cats sleep" --alignment cats.png --page cats.html
"""

import argparse
import importlib
import itertools
import sys
from pathlib import Path

from applications.common import command
from applications.translation import run_folder, text_files

# Sentences of a file whose scores are held at once.
AT_ONCE = 2048
TOLD = "alignment", "page", "pharaoh", "scores"  # files of what was read


def make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m applications.translation.translate",
        description="Translates sentences, one line of output for each; a "
        "line without words gives an empty one.",
    )
    parser.add_argument("run_folder", type=Path)
    parser.add_argument(
        "sentences",
        nargs="*",
        help="sentences; if there are none, the lines of --input or of the "
        "standard input, and at a terminal what is typed at a prompt",
    )
    parser.add_argument(
        "--num-beams",
        type=command.positive,
        help="hypotheses per sentence; as many as results if left out",
    )
    parser.add_argument(
        "--num-results",
        type=command.positive,
        metavar="N",
        help="write the N best of each sentence, as lines of `id ||| "
        "translation ||| score`, ids from 0",
    )
    parser.add_argument(
        "--replace-unknown",
        action="store_true",
        help="write the source word that was read for each unknown one",
    )
    for name, what in (
        ("input", "UTF-8 text to translate, line by line"),
        ("dictionary", "words to replace unknown ones by: `source TAB target`"),
        ("output", "write the translations to it"),
        ("pharaoh", "write the links `source-target` of each sentence's words"),
        ("scores", "write what each word read, a line of JSON per sentence"),
        ("alignment", "draw what each word read, for example to cats.png"),
        ("page", "a page (.html) on which each word shows what it read"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=what)
    return parser


def check_options(options):
    """Refuses what can be known to fail before anything is read."""
    if options.sentences and options.input is not None:
        raise ValueError(
            "Sentences are arguments or the lines of --input. Received: both. "
            "Leave one out."
        )
    if options.num_beams is None:
        options.num_beams = options.num_results or 1
    if (options.num_results or 1) > options.num_beams:
        raise ValueError(
            "There are at most as many results as beams. Received: "
            f"--num-results {options.num_results} --num-beams "
            f"{options.num_beams}. Use more beams."
        )
    seen = {}
    for name in ("input", "dictionary", "output", *TOLD):
        path = getattr(options, name)
        if path is None:
            continue
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            raise ValueError(
                "Each file has one use. Received: --"
                f"{other} {path} --{name} {path}. Name another."
            )
        if name not in ("input", "dictionary"):
            text_files.check_output(path)
    if options.alignment is not None:
        command.check_picture(options.alignment, "--alignment")
    command.check_page(options.page)


def check_attends(options, model):
    names = *TOLD, "replace_unknown", "dictionary"
    given = [f"--{x.replace('_', '-')}" for x in names if getattr(options, x)]
    if given and not model.attends:
        raise ValueError(
            f"{' and '.join(given)} tell what was read, which needs a model "
            f"with attention. Received: a {type(model).__name__}. Leave out "
            "what needs it."
        )


def read_sentences(options):
    if options.sentences:
        return options.sentences
    if options.input is None:
        sentences = text_files.read_lines(sys.stdin.buffer)
    else:
        with options.input.open("rb") as file:
            sentences = text_files.read_lines(file, options.input)
    if not sentences:
        raise ValueError(
            "There must be a sentence to translate. Received: none as an "
            f"argument, and an empty {options.input or 'standard input'}."
        )
    return sentences


def split(sentences, options):
    """All at once for one picture, else as many as memory has room for."""
    whole = options.alignment or options.page
    size = len(sentences) if whole else AT_ONCE
    return [sentences[i : i + size] for i in range(0, len(sentences), size)]


def ask():
    """Yields what is typed at a prompt, until an empty line or the end."""
    while True:
        # The prompt must not get into a file that the output goes to.
        if not sys.stdout.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        try:
            line = input("> " if sys.stdout.isatty() else "")
        except EOFError:
            print(file=sys.stderr)
            return
        if not line.strip():
            return
        yield [line]


def translate(model, sentences, options, replace_unknown):
    """The best hypotheses of each sentence; none of a line without words."""
    rows = model.source_tokenizer.tokenize(sentences)
    # An argument without words is a mistake, and refused by the model.
    kept = [bool(row or options.sentences) for row in rows]
    found = iter(
        model.hypotheses(
            list(itertools.compress(sentences, kept)),
            num_results=options.num_results or 1,
            num_beams=options.num_beams,
            replace_unknown=replace_unknown,
        )
    )
    return [next(found) if keep else [] for keep in kept]


def draw(translations, options):
    """Writes the picture and the page that are asked for."""
    visualization = importlib.import_module("keras_attention.visualization")
    examples = [
        (x.scores, x.source_tokens, x.target_tokens) for x in translations
    ]
    if examples and options.alignment is not None:
        visualization.plot_alignments(examples, options.alignment)
    if examples and options.page is not None:
        labels = "translation", "source"
        views = [
            visualization.AttentionView(target, source, scores, labels=labels)
            for scores, source, target in examples
        ]
        title = "What each word read"
        visualization.Explorer(views, title).save(options.page)


def make_writer(options, files):
    """What writes the hypotheses of the next sentence."""
    numbers = itertools.count()
    output = files.get("output", sys.stdout)

    def write(hypotheses):
        number, best = next(numbers), next(iter(hypotheses), None)
        if options.num_results is not None:
            lines = text_files.n_best(number, hypotheses)
        else:
            lines = ["" if best is None else text_files.one_line(best.text)]
        print(*lines, sep="\n", file=output, flush=True)
        if "pharaoh" in files:
            print(best.pharaoh() if best else "", file=files["pharaoh"])
        if "scores" in files:
            print(text_files.scores_line(best), file=files["scores"])

    return write


def main(arguments=None):
    parser = make_parser()
    options = parser.parse_args(arguments)
    with command.clean_errors(parser):
        check_options(options)
        run_folder.read_finished(options.run_folder)  # before much is typed
        named = options.sentences or options.input or options.output
        prompted = not named and sys.stdin.isatty()
        sentences = [] if prompted else read_sentences(options)
        paths = {
            name: getattr(options, name)
            for name in ("output", "pharaoh", "scores")
            if getattr(options, name) is not None
        }
        with text_files.whole_files(paths) as files:
            run = importlib.import_module("applications.translation.experiment")
            replace_unknown = options.replace_unknown
            if options.dictionary is not None:
                pairs, _ = run.data.read_tsv(options.dictionary)
                replace_unknown = dict(reversed(pairs))  # the first counts
            model, _, _ = run.read_run(options.run_folder)
            check_attends(options, model)
            write = make_writer(options, files)
            try:
                for batch in ask() if prompted else split(sentences, options):
                    found = translate(model, batch, options, replace_unknown)
                    for hypotheses in found:
                        write(hypotheses)
                    draw([x[0] for x in found if x], options)
            except KeyboardInterrupt:
                if not prompted:
                    raise
                print(file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

"""The lines that `translate` reads and writes. Imports no backend."""

import codecs
import contextlib
import json
import os
from pathlib import Path


def read_lines(stream, name="the standard input"):
    """The lines of UTF-8 bytes, each ended by a line feed and no other sign."""
    lines = stream.read().removeprefix(codecs.BOM_UTF8).split(b"\n")
    if not lines[-1]:
        lines.pop()
    sentences = []
    for number, line in enumerate(lines, 1):
        try:
            sentences.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"What is translated must be UTF-8 text. Received: {name}, "
                f"with byte 0x{line[error.start]:02x} in line {number}. "
                "Convert it, for example with iconv."
            ) from None
    return sentences


def check_output(path):
    """Makes sure that a file can be written, or written over."""
    if path.exists() and not path.is_file():
        raise ValueError(
            f"Results are written to files. Received: {path}, which is none."
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(
            "Results are written to a folder that is there, where one may "
            f"write. Received: {path}. Make the folder, or name another."
        )


@contextlib.contextmanager
def whole_files(paths):
    """Opens text files by name that get their paths once all are whole."""
    paths = {name: Path(os.path.realpath(x)) for name, x in paths.items()}
    new = {name: x.with_name(x.name + ".new") for name, x in paths.items()}
    with contextlib.ExitStack() as cleanup:
        files = {}
        for name, path in new.items():
            files[name] = path.open("w", encoding="utf-8", newline="\n")
            cleanup.callback(path.unlink, missing_ok=True)
            cleanup.callback(files[name].close)
        yield files
        for file in files.values():
            file.close()
        for name, path in paths.items():
            os.replace(new[name], path)


def one_line(text):
    """A text that some tokens, such as bytes, could spell a line break in."""
    return text.replace("\r", " ").replace("\n", " ")


def n_best(number, hypotheses):
    """The lines of a sentence in an n-best list, as Moses writes it."""
    results = [(one_line(x.text), x.hypothesis_score) for x in hypotheses] or [
        ("", 0.0)
    ]
    return [f"{number} ||| {text} ||| {score:.6f}" for text, score in results]


def scores_line(translation):
    """What a translation read, as a line of JSON; empty lists for None."""
    if translation is None:
        source_tokens, target_tokens, scores = [], [], []
    else:
        _, source_tokens, target_tokens, scores, *_ = translation
        scores = scores.astype("float64").round(6).tolist()
    content = {
        "source_tokens": source_tokens,
        "target_tokens": target_tokens,
        "scores": scores,
    }
    return json.dumps(content, ensure_ascii=False)

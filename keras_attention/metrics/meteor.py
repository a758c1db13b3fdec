"""METEOR of captions, by the Java program of its authors."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_attention.extras import require
from keras_attention.metrics.caption_score import CaptionScore, split_captions
from keras_attention.metrics.caption_words import caption_words


def meteor(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: Callable[[str], list[str]] = caption_words,
) -> CaptionScore:
    """Scores captions by METEOR 1.5, as the server of COCO does.

    Words match if they are equal, or have one stem, or one meaning, or are
    paraphrases of each other; the score weighs precision, recall and how far
    the order is kept (Denkowski and Lavie, 2014). The tables are
    English ones. They come, with the program, in `pycocoevalcap`, which the
    extra `coco` installs; it needs Java, 2 GB of memory, and half a minute to
    load: pass all captions in one call.

    Args:
        hypotheses: The captions, as plain text.
        references: The right captions of each image, one or more.
        tokenize: From a text to its words. `str.split` takes text as it is.

    Returns:
        The score, from 0 to 1, of the counts over all captions.

    Raises:
        ValueError: If there are no captions, or not a list of references for
            each.
        ImportError: If `pycocoevalcap` is not installed.
        FileNotFoundError: If there is no Java.
        RuntimeError: If the program ends before it has answered.

    Examples:
        >>> captions = ["a dog runs on grass"], [["a dog is running on grass"]]
        >>> round(meteor(*captions).score, 2)  # doctest: +SKIP
        0.37

    Reference:
        [Denkowski and Lavie, 2014](https://aclanthology.org/W14-3348)
    """
    return meteor_of_words(*split_captions(hypotheses, references, tokenize))


def meteor_of_words(hypotheses, references):
    """`meteor` of captions that are split already."""
    questions = [
        " ||| ".join(["SCORE", *map(_line, captions), _line(words)])
        for words, captions in zip(hypotheses, references, strict=True)
    ]
    # A file, not a pipe: nobody reads it while the program runs, and a full
    # pipe would stop the program for good.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
        process = subprocess.Popen(
            _command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            encoding="utf-8",
        )
        try:
            scores = _answers(process, questions)
        except (BrokenPipeError, ValueError) as error:
            complaints.seek(0)
            raise RuntimeError(
                "METEOR ended before it had scored all captions. It needs 2 "
                f"GB of memory. It said: {complaints.read()[-500:]!r}."
            ) from error
        finally:
            process.kill()
            process.communicate()
    return CaptionScore("METEOR", scores[-1], tuple(scores[:-1]))


def _line(words):
    return " ".join(words).replace("|||", "| | |")


def _command():
    module = require("pycocoevalcap.meteor.meteor", extra="coco")
    java = shutil.which("java")
    if java is None:
        raise FileNotFoundError(
            "METEOR needs Java. Received: no `java` on the PATH. Install a "
            "Java runtime, for example `apt install default-jre-headless`."
        )
    jar = Path(str(module.__file__)).with_name(module.METEOR_JAR)
    # Whatever the machine's language: letters in UTF-8, decimals with a point.
    language = ["-Dfile.encoding=UTF-8", "-Duser.language=en"]
    return [
        *(java, "-Xmx2G", *language, "-jar", str(jar)),
        *("-", "-", "-stdio", "-l", "en", "-norm"),
    ]


def _answers(process, questions):
    """Each caption's score and, last, that of all."""

    def say(line):
        process.stdin.write(f"{line}\n")
        process.stdin.flush()

    counts = []
    for question in questions:
        say(question)
        counts.append(process.stdout.readline().strip())
    say(" ||| ".join(["EVAL", *counts]))
    return [float(process.stdout.readline()) for _ in range(len(counts) + 1)]

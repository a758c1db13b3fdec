"""Scores of what a model itself writes, while it is trained."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_attention.metrics import bleu, caption_scores
from keras_attention.ops import checks


class ValidationScore(keras.callbacks.Callback):
    """Writes at epochs' ends, and adds scores of it to the logs.

    A subclass defines `scores(texts)`, a dict of logs, and `lines(index,
    text)`, what is printed of one text.

    Args:
        sources: What the model's `generate` takes.
        references: What it should write of each.
        every: Epochs from one score to the next.
        samples: How many texts are printed.
        options: Passed to `generate`.
    """

    def __init__(self, sources, references, every, samples, options):
        super().__init__()
        self.sources, self.references = sources, references
        self.every = checks.positive_int(every, "every")
        self.samples = checks.non_negative_int(samples, "samples")
        self.options = options

    def scores(self, texts: Sequence[str]) -> dict[str, float]:
        raise NotImplementedError("What is written is scored by a subclass.")

    def lines(self, index: int, text: str) -> list[str]:
        raise NotImplementedError("A text is shown by a subclass.")

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every or logs is None:
            return
        texts = self.model.generate(self.sources, **self.options)
        logs.update(self.scores(texts))
        if self.samples and (self.params or {}).get("verbose", 1):
            # Keras's progress bar has not ended its line yet.
            print("\n" + self.sample_lines(texts), flush=True)

    def sample_lines(self, texts: Sequence[str]) -> str:
        """Some of what was written, beside what should have been.

        Args:
            texts: One for each source.
        """
        number = min(self.samples, len(texts))
        rows = [i * len(texts) // number for i in range(number)]
        return "\n".join(line for i in rows for line in self.lines(i, texts[i]))


class ValidationBLEU(ValidationScore):
    """Adds `val_bleu` to the logs: BLEU of what the model itself writes.

    The validation loss reads the right words before each word; a translation
    has only its own. Put it before callbacks that monitor it, such as
    `BestWeights("val_bleu", mode="max", patience=3)`, which stops early.

    Some translations are printed as training goes on, each between its source
    and its reference, unless `fit` is silent (`verbose=0`).

    Args:
        sources: Sentences to translate.
        references: Their translations.
        every: Epochs from one score to the next.
        samples: How many translations are printed, spread over the
            sentences; 0 prints none.
        **options: Passed to the model's `generate`.

    Raises:
        ValueError: If there are no sentences, not as many references, or a
            number is too small.
    """

    def __init__(
        self,
        sources: Sequence[str],
        references: Sequence[str],
        every: int = 1,
        samples: int = 3,
        **options,
    ):
        super().__init__(
            list(sources), list(references), every, samples, options
        )
        if not 0 < len(self.sources) == len(self.references):
            raise ValueError(
                "There must be sentences to translate, and a reference for "
                f"each. Received: {len(self.sources)} sources, "
                f"{len(self.references)} references."
            )

    def scores(self, texts):
        score = bleu(texts, self.references, num_resamples=0)
        return {"val_bleu": score.score}

    def lines(self, index, text):
        return [
            f"source     {self.sources[index]}",
            f"translated {text}",
            f"reference  {self.references[index]}",
        ]


class ValidationCaptions(ValidationScore):
    """Adds scores of captions that the model itself writes to the logs.

    The validation loss reads the right words before each word, and knows one
    caption of an image at a time; papers choose an epoch by BLEU-4 or CIDEr-D
    of what is written freely (Xu et al., 2015, section 4.3). Put it before
    callbacks that monitor it, such as `BestWeights("val_cider_d", mode="max",
    patience=5)`, which stops early.

    Some captions are printed as training goes on, each with a reference,
    unless `fit` is silent (`verbose=0`).

    Args:
        images: What the model's `generate` takes: images, or features.
        references: The right captions of each image, one or more.
        metrics: Of `metrics.caption_scores`; `"cider_d"` becomes the log
            `val_cider_d`.
        every: Epochs from one score to the next.
        samples: How many captions are printed, spread over the images; 0
            prints none.
        **options: Passed to the model's `generate`, such as `num_beams`.

    Raises:
        ValueError: If there are no images, not as many lists of references, a
            metric is unknown, or a number is too small.

    Examples:
        >>> from keras_attention import callbacks
        >>> class Parrot:
        ...     def generate(self, images):
        ...         return ["a dog runs", "two cats"]
        >>> score = callbacks.ValidationCaptions(
        ...     ["1.jpg", "2.jpg"],
        ...     [["a dog runs", "the dog"], ["two cats"]],
        ...     metrics=["cider_d"],
        ...     samples=1,
        ... )
        >>> score.set_model(Parrot())
        >>> logs = {}
        >>> score.on_epoch_end(0, logs)
        <BLANKLINE>
        written    a dog runs
        reference  a dog runs
        >>> round(logs["val_cider_d"], 2)
        4.63

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), section 4.3
    """

    def __init__(
        self,
        images: Sequence[Any],
        references: Sequence[Sequence[str]],
        metrics: Sequence[str] = ("bleu_4", "cider_d"),
        every: int = 1,
        samples: int = 3,
        **options,
    ):
        super().__init__(images, references, every, samples, options)
        if not 0 < len(images) == len(references):
            raise ValueError(
                "There must be images to caption, and a list of references "
                f"for each. Received: {len(images)} images, "
                f"{len(references)} lists of references."
            )
        self.metrics = metrics
        # Now, rather than at the end of an epoch.
        self.scores([texts[0] for texts in references])

    def scores(self, texts):
        found = caption_scores(texts, self.references, self.metrics)
        return {f"val_{name}": x.score for name, x in found.items()}

    def lines(self, index, text):
        return [
            f"written    {text}",
            f"reference  {self.references[index][0]}",
        ]

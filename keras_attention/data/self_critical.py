"""Captions that a model itself writes, to train on by their rewards."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_attention.data.captioned_images import CaptionedImage
from keras_attention.data.epochs import EpochBatches
from keras_attention.ops import checks


class SelfCriticalBatches(EpochBatches):
    """Batches of captions that a model draws now, weighted by their reward.

    Self-critical sequence training (Rennie et al., 2017, section 3): what a
    caption w drawn from the model earns is compared with what the caption
    that it would write at test time earns, its greedy one. The gradient of
    the expected reward is that of a cross-entropy of the model's own
    captions, weighted by this advantage:

        dL/dtheta = - E[ (r(w) - r(greedy)) d log p(w) / dtheta ]

    so that plain `fit` trains on it. Each batch is `(inputs, targets,
    sample_weight)` as of `CaptionBatches`, with `sample_weight` the advantage
    on all words of a caption, below 0 where it is worse, and 0 on padding.
    All are drawn when this is made, with the weights that the model has then:
    make it anew for each `fit`, of a few images only. They are one batch, and
    so one step: of smaller batches all but the first train weights on what
    others drew, which soon undoes a captioner.

    Compile with a loss whose reduction is `"sum_over_batch_size"`, as Keras
    has it unless told otherwise: all batches have `max_length` words a row,
    so that this is the equation above divided by a constant. A mean over
    weights would divide by a sum that may be 0. The loss that is shown says
    nothing; watch `rewards`, or `callbacks.ValidationCaptions`. Begin with a
    model that was trained on captions, and with a lower learning rate.

    Captions are drawn without dropout, and without the padding and the start
    token, whose probability counts as 0.

    Args:
        model: A captioner with a tokenizer, compiled. What it attends with
            must not be trained by REINFORCE, whose rewards are others.
        examples: Captioned images to draw captions for.
        reward: `reward(captions, references)` returns a number for each
            caption, such as `metrics.CIDErD(...).score`.
        num_samples: Captions that are drawn of each image.
        batch_size: Captions per batch; None takes all at once, see above.
        max_length: Most tokens of a caption; all batches are as long.
        temperature: Of the draws; 1 is what the equation asks for.
        seed: Seed of draws and order: another for each `fit`.

    Raises:
        ValueError: There are no examples, rewards are not a finite number for
            each caption, an argument is not positive, or the model is trained
            by REINFORCE or compiled with a mean over weights.

    Examples:
        >>> import numpy as np
        >>> from keras_attention import data, losses, metrics, models
        >>> scenes = data.synthetic.grid_scenes(8, seed=1)
        >>> examples = [
        ...     data.CaptionedImage(image, (caption,))
        ...     for image, caption in zip(scenes.inputs, scenes.captions)
        ... ]
        >>> model = models.ShowAttendTell.from_preset(
        ...     "show_attend_tell_small",
        ...     feature_shape=(16, 32),
        ...     tokenizer=data.WordTokenizer.train(scenes.captions),
        ... )
        >>> loss = losses.SparseCategoricalCrossentropy(
        ...     reduction="sum_over_batch_size"
        ... )
        >>> model.compile("adam", loss)
        >>> reward = metrics.CIDErD(scenes.references).score
        >>> batches = data.SelfCriticalBatches(
        ...     model, examples, reward, num_samples=3, max_length=15
        ... )
        >>> batches.rewards.shape, batches.advantages.shape
        ((8, 3), (8, 3))
        >>> inputs, targets, weights = batches[0]
        >>> targets.shape
        (24, 15)
        >>> history = model.fit(batches, shuffle=False, verbose=0)

    Reference:
        [Rennie et al., 2017](https://arxiv.org/abs/1612.00563), section 3
    """

    def __init__(
        self,
        model,
        examples: Sequence[CaptionedImage],
        reward: Callable[[Sequence[str], Sequence[Any]], Any],
        num_samples: int = 5,
        batch_size: int | None = None,
        max_length: int = 20,
        temperature: float = 1.0,
        seed: int = 0,
    ):
        self.num_samples = checks.positive_int(num_samples, "num_samples")
        self.max_length = checks.positive_int(max_length, "max_length")
        check_model(model)
        self.model, self.examples = model, list(examples)
        if not self.examples:
            raise ValueError(
                "There must be images to draw captions for. Received: no "
                "examples."
            )
        number = num_samples * len(self.examples)
        self.batch_size = checks.positive_int(
            number if batch_size is None else batch_size, "batch_size"
        )
        drawn, greedy = self._write(temperature=temperature, seed=seed)
        texts = [caption.text for caption in drawn]
        self.rewards = self._rewarded(reward, texts, num_samples)
        self.greedy_rewards = self._rewarded(reward, greedy, 1)
        self.advantages = self.rewards - self.greedy_rewards
        self.token_ids = [caption.token_ids for caption in drawn]
        order = np.random.default_rng(seed).permutation(number)
        starts = range(0, number, self.batch_size)
        self._rows = [order[i : i + self.batch_size] for i in starts]
        super().__init__(len(self._rows))
        self.set_epoch(0)

    def _write(self, **options):
        """All captions that are drawn, and the greedy ones as strings."""
        images = [x.image for x in self.examples]
        drawn = self.model.sample(
            images,
            num_results=self.num_samples,
            max_length=self.max_length,
            **options,
        )
        greedy = self.model.generate(images, max_length=self.max_length)
        return [x for captions in drawn for x in captions], greedy

    def _rewarded(self, reward, texts, copies):
        """Rewards of so many texts of each example, `(examples, copies)`."""
        references = [x.captions for x in self.examples for _ in range(copies)]
        rewards = np.asarray(reward(texts, references), "float32")
        if rewards.shape != (len(texts),) or not np.isfinite(rewards).all():
            raise ValueError(
                "`reward` must return a finite number for each caption. "
                f"Received: shape {rewards.shape} for {len(texts)} captions, "
                f"{int((~np.isfinite(rewards)).sum())} of them not finite."
            )
        return rewards.reshape(-1, copies)

    def make_batch(self, index):
        rows, ids = self._rows[index], self.model.tokenizer
        # The last batch has the shape of the others, its rest no weight.
        filled = np.resize(rows, self.batch_size)
        shape = (self.batch_size, self.max_length)
        decoder = np.full(shape, ids.pad_id, "int32")
        targets = decoder.copy()
        weight = np.zeros(shape, "float32")
        for i, row in enumerate(filled):
            words = self.token_ids[row]
            targets[i, : len(words)] = words
            decoder[i, : len(words)] = [ids.start_id, *words[:-1]]
            if i < len(rows):
                weight[i, : len(words)] = self.advantages.flat[row]
        inputs = {
            self.model.source_name: self._images(filled),
            "decoder_token_ids": decoder,
        }
        return inputs, targets, weight

    def _images(self, rows):
        """What the model looks at, of the examples of some captions."""
        images = [self.examples[row // self.num_samples].image for row in rows]
        processor = self.model.image_processor
        if processor is not None:
            return processor(images)
        return np.stack([np.asarray(image, "float32") for image in images])


def check_model(model):
    """Raises unless weighted captions train a model as they should."""
    if getattr(model, "reinforce", None) is not None:
        raise ValueError(
            "`model` must not be trained by REINFORCE, which rewards places "
            "by the likelihood of the caption, whatever the caption's reward. "
            f"Received: reinforce={model.reinforce!r}. Train soft attention, "
            "or hard attention with another estimator."
        )
    reduction = getattr(getattr(model, "loss", None), "reduction", None)
    if reduction == "mean_with_sample_weight":
        raise ValueError(
            "`model` must not be compiled with a mean over sample weights, "
            "which here are above and below 0. Received: a loss with "
            f'reduction="{reduction}". Compile it with '
            'losses.SparseCategoricalCrossentropy(reduction="sum_over_batch_'
            'size").'
        )

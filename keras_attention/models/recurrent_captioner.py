from typing import Any

import keras
from keras import ops

from keras_attention.losses import doubly_stochastic_loss
from keras_attention.losses.doubly_stochastic import TARGETS
from keras_attention.models.captioner import Captioner
from keras_attention.ops import checks

# What a training step tells of hard attention, beside the loss.
WATCHED = ("attention_entropy", "attention_change")
REINFORCED = ("reward", "baseline", "score_variance")


class RecurrentCaptioner(Captioner):
    """A captioner whose recurrent decoder reads places of an image.

    Its graph ends with a `CaptionDecoder`. In training of what needs more
    than the logits, the model's output is a dict that its loss takes apart.

    Args:
        places: The layer that makes places of the encoder's features.
        decoder: The `CaptionDecoder`.
        reinforce: A `losses.Reinforce`, or None.
        doubly_stochastic: Weight of the doubly stochastic term.
        doubly_stochastic_target: Its target.
        **kwargs: Passed to `Captioner`.
    """

    def __init__(
        self,
        *args,
        places,
        decoder,
        reinforce=None,
        doubly_stochastic=0.0,
        doubly_stochastic_target="one",
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.places, self.decoder = places, decoder
        self.reinforce = reinforce
        self.doubly_stochastic = checks.number(
            doubly_stochastic, "doubly_stochastic", 0.0
        )
        self.doubly_stochastic_target = checks.one_of(
            doubly_stochastic_target, "doubly_stochastic_target", TARGETS
        )
        names: tuple[str, ...] = ()
        if "sample" in self._outputs_struct:
            names = WATCHED + (REINFORCED if reinforce is not None else ())
        self.watched = [keras.metrics.Mean(name=name) for name in names]
        extras = [x for x in ("sample", "gate") if x in self._outputs_struct]
        self.step_extras = ("scores", *extras)

    def call(self, inputs, training=None, mask=None):
        result = super().call(inputs, training=training, mask=mask)
        return result if training and self._needs_more() else result["logits"]

    def _needs_more(self):
        return bool(self.watched) or bool(self.doubly_stochastic)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if not isinstance(y_pred, dict):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        if sample_weight is None:
            sample_weight = ops.ones_like(y, "float32")
        samples = self.decoder.num_samples
        if samples > 1:
            y, sample_weight = (
                ops.repeat(ops.convert_to_tensor(t), samples, axis=0)
                for t in (y, sample_weight)
            )
        loss = super().compute_loss(
            x, y, y_pred["logits"], sample_weight, training
        )
        mask = ops.cast(sample_weight, "float32") > 0  # (B, T)
        numbers = {}
        each = ops.zeros_like(y_pred["scores"][:, 0, 0])  # (B,)
        if self.doubly_stochastic:
            each = each + self.doubly_stochastic * doubly_stochastic_loss(
                y_pred["scores"], mask, self.doubly_stochastic_target
            )
        if self.reinforce is not None:
            found, numbers = self.reinforce(y, y_pred, mask, training=training)
            # The gradient alone: the loss shown stays the likelihood's.
            found = found - ops.stop_gradient(found)
            each = each + ops.cast(found, each.dtype)
        self._watch(y_pred, mask, numbers)
        # Sums over captions, as the papers have them, per word, as the loss.
        words = ops.maximum(ops.sum(ops.cast(mask, each.dtype)), 1)
        return loss + ops.cast(ops.sum(each) / words, loss.dtype)

    def _watch(self, result, mask, numbers):
        if not self.watched:
            return
        scores = ops.cast(result["scores"], "float32")
        change = 0.5 * ops.sum(ops.abs(scores[:, 1:] - scores[:, :-1]), -1)
        both = ops.logical_and(mask[:, 1:], mask[:, :-1])
        numbers = {
            "attention_entropy": masked_mean(result["entropy"], mask),
            "attention_change": masked_mean(change, both),
            **numbers,
        }
        for metric in self.watched:
            metric.update_state(ops.stop_gradient(numbers[metric.name]))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if isinstance(y_pred, dict):  # in training
            logits = y_pred["logits"][:: self.decoder.num_samples]
            return super().compute_metrics(x, y, logits, sample_weight)
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        unseen = {metric.name for metric in self.watched}
        return {k: v for k, v in logs.items() if k not in unseen}

    def start(self, source, max_length=None, num_beams=1):
        places = self._places_of(source)
        memory, state = self.decoder.memory(places)
        attention = self.decoder.rnn.attention
        if not attention.draws(False):
            return memory, state
        # Drawn before the loop, which has no place for it: of all steps.
        batch, count, _ = ops.shape(places)
        noise = attention.draw_noise(batch, num_beams * max_length, count)
        memory["noise"] = {
            name: ops.reshape(
                x, (batch, num_beams, max_length, *ops.shape(x)[2:])
            )
            for name, x in noise.items()
        }
        return memory, {**state, "time": ops.zeros((batch,), "int32")}

    def step(self, token_ids, memory, state) -> tuple[Any, Any, dict]:
        noise = None
        if "noise" in memory:
            state = dict(state)
            time = state.pop("time")
            noise = {
                name: ops.take(x, time[0], axis=2)
                for name, x in memory["noise"].items()
            }
        logits, state, reads = self.decoder.step(
            token_ids, memory, state, noise
        )
        if noise is not None:
            state = {**state, "time": time + 1}
        return logits, state, self._reported(reads)

    def forced(self, source, token_ids):
        result = self.decoder(self._places_of(source), token_ids)
        return self._reported(result)

    def _places_of(self, source):
        features = source
        if self.encoder is not None:
            features = self.encoder(source, training=False)
        return self.places(features)

    def _reported(self, reads):
        """What a caption keeps of what was read: `scores`, `sample`, `gate`."""
        found = {name: reads[name] for name in self.step_extras}
        if "gate" in found:
            found["gate"] = ops.mean(found["gate"], axis=-1)
        return found


def masked_mean(values, mask):
    """The mean of `(B, T)` where the mask is True."""
    weights = ops.cast(mask, values.dtype)
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1)

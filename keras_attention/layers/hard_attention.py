import keras
from keras import ops

from keras_attention.layers.additive_attention import AdditiveAttention
from keras_attention.layers.attention import on_rows
from keras_attention.ops import checks, sampling
from keras_attention.ops.additive import additive_logits
from keras_attention.ops.masks import agree, concrete_value
from keras_attention.ops.softmax import (
    masked_log_softmax,
    masked_softmax,
    wide_dtype,
)

INFERENCE = ("expectation", "argmax", "sample")
SEMI_SAMPLING = ("example", "batch")
NOISE = ("gumbel", "soft", "sample")


@keras.saving.register_keras_serializable(package="keras_attention")
class HardAttention(AdditiveAttention):
    """Lets each query read one location of a sequence, drawn at random.

    Scores are those of `AdditiveAttention`. In training a location is drawn
    from them and read alone (Xu et al., 2015, section 4.1, equations 8 and 9):

        alpha[t] = softmax_s(score[t] / temperature)
        s[t]     ~ alpha[t]
        output[t] = value[s[t]]

    Which way the gradient takes past the draw is the `estimator`:

    - "reinforce": none through the layer. The model adds
      `reward * log alpha[s]` to its objective, `losses.reinforce_loss`: no
      bias, and the only one that needs more than `fit`'s own loss.
    - "straight_through": as if alpha had been read (Bengio et al., 2013).
    - "gumbel_softmax": reads `softmax((score + g) / temperature)` with Gumbel
      noise g, all locations with weights near 0 and 1 (Jang et al., 2017).
    - "gumbel_straight_through": reads one, with the gradient of the former.

    For the last two the location is drawn from `softmax(score)`, whatever the
    temperature. At inference `"expectation"` reads as soft attention does,
    which is what the authors' published captions were decoded with.

    Args:
        units: Size of the score network's hidden layer.
        estimator: How gradients pass the draw, see above.
        inference: What is read outside training: "expectation", "argmax" (the
            likeliest location) or "sample".
        temperature: The temperature to start with. The weight
            `temperature_variable` holds the present one; `assign` to it, for
            example from `callbacks.TemperatureSchedule`.
        semi_sampling: Share of the examples that read the expectation instead
            of a sample, all steps of a call alike, in training; Xu et al.
            take 0.5 to steady the gradient. The share to start with, from 0
            to 1: the weight `semi_sampling_variable` holds the present one,
            which `callbacks.SemiSamplingSchedule` sets.
        semi_sampling_per: Whether each "example" is such by chance, as in the
            paper, or all of a "batch" at once, as in its authors' code.
        use_bias: Whether a bias is added before the tanh.
        normalize: See `AdditiveAttention`.
        kernel_initializer: Initializer of the projections.
        score_initializer: Initializer of `v`.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the projections.
        kernel_constraint: Constraint on the projections.
        seed: Seed of the draws.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, S, V)`.
        key: `(B, S, E)`; `value` if None.
        query_mask: Booleans `(B, T)`; a query at False gets zeros.
        value_mask: Booleans `(B, S)`; a position at False is never drawn.
        key_mask: Booleans `(B, S)`, joined with `value_mask`.
        attention_mask: Booleans `(B, T, S)` or `(T, S)`.
        return_attention_scores: Whether to return alpha too.
        training: Whether to draw as in training.
        use_causal_mask: Whether query t reads positions 0 to t only.
        noise: What to draw with, a dict as `draw_noise` makes it; drawn if
            None. `gumbel` `(B, T, S)`, and `soft` `(B, T)` booleans, True
            where the expectation is read.
        forced_sample: Integers `(B, T)`, the locations to read instead of
            drawing, in training or not; -1 reads the expectation. Not in
            training by "gumbel_softmax", which reads all locations.
        return_extras: Whether to return what a step reports too.

    Returns:
        `(B, T, V)`; with `return_attention_scores` also alpha `(B, T, S)`;
        with `return_extras` then a dict of `sample` `(B, T)` int32, which is
        -1 where the expectation was read, `log_probability` `(B, T)`, log
        alpha of the sample or 0 without one, and `entropy` `(B, T)` of
        alpha, in nats. A query with nothing to read gets zeros.

        A step takes `noise` (of that step) and `training`, and reports the
        same in its extras.

    Raises:
        ValueError: An argument is not one of those above, sizes do not fit
            each other, `noise` has other entries or lacks what is needed, a
            sample is forced on "gumbel_softmax" in training, or a step in a
            compiled loop on JAX would have to draw.

    Examples:
        >>> import keras
        >>> import keras_attention
        >>> states = keras.random.normal((2, 3, 7))
        >>> annotations = keras.random.normal((2, 5, 11))
        >>> layer = keras_attention.layers.HardAttention(units=13, seed=1)
        >>> context, extras = layer(
        ...     states, annotations, training=True, return_extras=True
        ... )
        >>> tuple(context.shape), tuple(extras["log_probability"].shape)
        ((2, 3, 11), (2, 3))
        >>> drawn = int(extras["sample"][0, 0])
        >>> difference = context[0, 0] - annotations[0, drawn]
        >>> bool(keras.ops.max(keras.ops.abs(difference)) < 1e-6)
        True

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), section 4.1;
        [Bengio et al., 2013](https://arxiv.org/abs/1308.3432), section 4;
        [Jang et al., 2017](https://arxiv.org/abs/1611.01144), section 2.
    """

    def __init__(
        self,
        units: int,
        estimator: str = "reinforce",
        inference: str = "expectation",
        temperature: float = 1.0,
        semi_sampling: float = 0.0,
        semi_sampling_per: str = "example",
        use_bias: bool = False,
        normalize: bool = False,
        kernel_initializer="glorot_uniform",
        score_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        kernel_constraint=None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(
            units,
            use_bias=use_bias,
            normalize=normalize,
            kernel_initializer=kernel_initializer,
            score_initializer=score_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
            seed=seed,
            **kwargs,
        )
        self.estimator = checks.one_of(
            estimator, "estimator", sampling.ESTIMATORS
        )
        self.inference = checks.one_of(inference, "inference", INFERENCE)
        self.temperature = checks.positive(temperature, "temperature")
        self.semi_sampling = checks.share(semi_sampling, "semi_sampling")
        self.semi_sampling_per = checks.one_of(
            semi_sampling_per, "semi_sampling_per", SEMI_SAMPLING
        )
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.temperature_variable = None
        self.semi_sampling_variable = None

    def build_memory(self, value_shape, key_shape):
        super().build_memory(value_shape, key_shape)
        self.temperature_variable, self.semi_sampling_variable = (
            self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(value),
                trainable=False,
                autocast=False,
                dtype="float32",
                name=name,
            )
            for name, value in (
                ("temperature", self.temperature),
                ("semi_sampling", self.semi_sampling),
            )
        )

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
        noise=None,
        forced_sample=None,
        return_extras=False,
    ):
        query, value, key = self._floats(query, value, key)
        self.check_shapes(query.shape, value.shape, key.shape)
        mask = self._joint_mask(
            query,
            key,
            query_mask,
            value_mask,
            key_mask,
            attention_mask,
            use_causal_mask,
        )
        if forced_sample is not None:
            forced_sample = ops.convert_to_tensor(forced_sample)
            noise = {**(noise or {}), "sample": forced_sample}
        if noise is None:
            batch, steps, _ = ops.shape(query)
            noise = self.draw_noise(
                batch, steps, ops.shape(key)[1], bool(training)
            )
        self._check_noise(noise, query, key, training)
        output, scores, extras = self.choose_and_read(
            query, *self.project(value, key), mask, noise, training
        )
        result = [output]
        result += [scores] if return_attention_scores else []
        result += [extras] if return_extras else []
        return tuple(result) if len(result) > 1 else output

    def draws(self, training):
        return bool(training) or self.inference == "sample"

    def draw_noise(self, batch, steps, length, training=False):
        """Draws for some steps at once; see `Attention.draw_noise`.

        Returns:
            A dict of `gumbel` `(B, T, S)` and, in training, `soft` `(B, T)`
            booleans, the same for all steps of an example. It is empty if
            there is nothing to draw: outside training, unless `inference` is
            "sample".
        """
        if not self.draws(training):
            return {}
        seed = self.seed_generator
        noise = {"gumbel": sampling.gumbel_noise((batch, steps, length), seed)}
        if training:
            draws = batch if self.semi_sampling_per == "example" else 1
            soft = keras.random.uniform((draws, 1), seed=seed)
            soft = soft < self._semi_sampling_now()
            noise["soft"] = ops.broadcast_to(soft, (batch, steps))
        return noise

    def _semi_sampling_now(self):
        """The present share: the first one while there are no weights."""
        variable = self.semi_sampling_variable
        return self.semi_sampling if variable is None else variable

    def _check_noise(self, noise, query, key, training):
        """Raises unless noise is what these queries can be read with."""
        given = "gumbel" in noise or "sample" in noise
        missing = self.draws(training) and not given
        if missing or not set(noise) <= set(NOISE):
            raise ValueError(
                f"`noise` may have the entries {', '.join(NOISE)}, and needs "
                "`gumbel` or `sample` where a location is drawn. Received: "
                f"{', '.join(sorted(noise)) or 'none'}. Make it with "
                "`draw_noise`."
            )
        if (
            training
            and "sample" in noise
            and self.estimator == "gumbel_softmax"
        ):
            raise ValueError(
                'In training `estimator="gumbel_softmax"` reads all locations, '
                "so that none can be forced. Received: a forced sample. Take "
                'another estimator, or pass `noise["gumbel"]`.'
            )
        sizes = (*query.shape[:2], key.shape[1])
        for name, x in noise.items():
            expected = sizes if name == "gumbel" else sizes[:2]
            if len(x.shape) != len(expected) or not all(
                map(agree, x.shape, expected)
            ):
                raise ValueError(
                    f"The entry {name!r} of `noise` must have shape "
                    f"{tuple(expected)}. Received: shape {tuple(x.shape)}."
                )
        if "sample" in noise:
            check_sample(concrete_value(noise["sample"]), sizes[2])

    def choose_and_read(self, query, key, value, mask, noise, training):
        """Reads with raw queries and projected keys, by the noise given.

        Args:
            query: `(B, T, D)`.
            key: `(B, S, U)`.
            value: `(B, S, V)`.
            mask: Booleans that broadcast to `(B, T, S)`, or None.
            noise: A dict with some of `gumbel`, `soft` and `sample`.
            training: Whether the estimator's gradient is wanted.

        Returns:
            Output `(B, T, V)`, alpha `(B, T, S)` and extras `(B, T)`.
        """
        logits = additive_logits(
            on_rows(self.query_dense, query), key, self.read_vector()
        )
        temperature = ops.cast(self.temperature_variable, logits.dtype)
        tempered = logits
        if self.estimator in ("reinforce", "straight_through"):
            tempered = logits / temperature
        scores = masked_softmax(tempered, mask)  # alpha
        log_scores = masked_log_softmax(tempered, mask)
        gumbel = noise.get("gumbel", 0.0)
        sample = self._sample(tempered + gumbel, mask, noise, training)
        weights = scores
        if training or self.inference != "expectation" or "sample" in noise:
            weights = sampling.weights_of(
                sample,
                logits,
                scores,
                gumbel,
                mask,
                # Outside training one location is one location.
                self.estimator if training else "reinforce",
                temperature,
            )
            weights = ops.where(sample[..., None] < 0, scores, weights)
        chosen = sampling.one_hot(
            sample, ops.shape(logits)[-1], logits.dtype, mask
        )
        log_probability, entropy = sampling.log_probability_and_entropy(
            chosen, scores, log_scores
        )
        extras = {
            "entropy": entropy,
            "log_probability": log_probability,
            "sample": sample,
        }
        output = ops.matmul(ops.cast(weights, value.dtype), value)
        return output, ops.cast(scores, value.dtype), extras

    def _sample(self, logits, mask, noise, training):
        """The locations to read, `(B, T)` int32; -1 for the expectation."""
        if "sample" in noise:
            return ops.cast(noise["sample"], "int32")
        if not training and self.inference == "expectation":
            return ops.full_like(logits[..., 0], -1, dtype="int32")
        sample = sampling.most_likely(logits, mask)
        if "soft" in noise:
            sample = ops.where(noise["soft"], -1, sample)
        return sample

    def step_spec(self, batch, length):
        return self._extras_spec((batch,)), {}

    def _extras_spec(self, shape):
        wide = wide_dtype(self.compute_dtype)
        dtypes = {"entropy": wide, "log_probability": wide, "sample": "int32"}
        return {
            name: keras.KerasTensor(shape, dtype)
            for name, dtype in dtypes.items()
        }

    def step(
        self,
        query,
        memory,
        state,
        return_attention_scores=False,
        noise=None,
        training=False,
    ):
        """Reads one location per hypothesis.

        Args:
            query: `(B, D)`, or `(B, K, D)` for K hypotheses that share one
                memory.
            memory: What `memory` returned.
            state: `{}`.
            return_attention_scores: Whether `extras` holds `scores`.
            noise: A dict of `gumbel` `(B, S)`, and maybe `soft` or `sample`
                `(B,)`; with K hypotheses `(B, K, S)` and `(B, K)`. Drawn if
                None and needed.
            training: Whether to draw as in training.

        Returns:
            A tuple of context `(B, .)` or `(B, K, .)`, the state, and extras:
            `sample`, `log_probability` and `entropy`, `(B,)` or `(B, K)`, and
            `scores` if asked for.
        """
        query, single = self._step_query(query, memory)
        key = memory["key"]
        if noise is None:
            noise = self._step_noise(query, key, training)
        elif single:
            noise = {name: x[:, None] for name, x in noise.items()}
        self._check_noise(noise, query, key, training)
        mask = self._step_mask(memory)
        context, scores, extras = self.choose_and_read(
            query, key, memory["value"], mask, noise, training
        )
        if return_attention_scores:
            extras["scores"] = scores
        return self._step_result(context, extras, single, state)

    def compute_output_spec(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
        noise=None,
        forced_sample=None,
        return_extras=False,
    ):
        spec = super().compute_output_spec(
            query, value, key, return_attention_scores=return_attention_scores
        )
        if not return_extras:
            return spec
        result = spec if return_attention_scores else (spec,)
        return (*result, self._extras_spec(query.shape[:2]))

    def get_config(self):
        config = {
            **super().get_config(),
            "estimator": self.estimator,
            "inference": self.inference,
            "temperature": self.temperature,
            "semi_sampling": self.semi_sampling,
            "semi_sampling_per": self.semi_sampling_per,
        }
        del config["dropout"]  # one location cannot be dropped in part
        return config


def check_sample(sample, length):
    """Raises unless locations, None if unknown, are those of a memory."""
    if sample is None or not sample.size or not checks.known(length):
        return
    if sample.min() < -1 or sample.max() >= length:
        raise ValueError(
            "`forced_sample` must be positions of the memory, or -1 for the "
            f"expectation. Received: values from {sample.min()} to "
            f"{sample.max()}, a memory of {length} positions."
        )

import keras
from keras import ops

from keras_attention.layers.attention import on_rows
from keras_attention.layers.recurrent_attention import RecurrentAttention
from keras_attention.ops import checks
from keras_attention.ops.additive import additive_logits
from keras_attention.ops.luong import dot_logits
from keras_attention.ops.masks import agree
from keras_attention.ops.monotonic import MODES, monotonic_scores


@keras.saving.register_keras_serializable(package="keras_attention")
class MonotonicAttention(RecurrentAttention):
    """Reads from left to right and never goes back.

    For sources and targets in the same order, as in speech: a decoder that
    goes on from where it read last needs no more of the source than it has
    seen. At output step t the reader starts at the position attended in step
    t - 1 and, at each position s, stops there with probability
    `choose[t, s]` or moves on (Raffel et al., 2017, equations 11 to 14):

        energy[t, s] = g v/||v|| . tanh(W query[t] + U key[s] + b) + r
        choose[t, s] = sigmoid(energy[t, s])
        arrive[t, s] = (1 - choose[t, s - 1]) arrive[t, s - 1]
                       + scores[t - 1, s]
        scores[t, s] = choose[t, s] arrive[t, s]
        output[t]    = sum_s scores[t, s] value[s]

    `scores` is the paper's alpha, the probability that step t attends s, so
    that training needs no sampling; `choose` is its p and `arrive` its q.
    Step 0 starts at the first position that may be read. A reader that finds
    no place to stop passes the end and reads zeros from then on: the scores
    of a step sum to 1 less the probability of that, which is large at first,
    since r starts at -4.

    Noise on the energies in training makes large energies pay, and so
    `choose` nearly 0 or 1. Then `layer.mode = "hard"` gives the same outputs
    by taking the first position with energy above 0. (A model compiled
    before that has to be compiled again.)

    Every mode computes the energies of all positions in each step, as soft
    attention does; beside them the alignment costs little. "parallel" needs
    no division, unlike the closed form of the paper's appendix C.1, which
    loses what comes after a `choose` of 1: it is as exact as "recursive".

    Args:
        units: Size of the shared space, the length of `v`.
        mode: "parallel" (in about `log2(S)` rounds) or "recursive" (S of
            them) for the expectation, "hard" for its limit, which has no
            gradient to the energies. It may be changed later.
        score: "additive", as above, or "general",
            `g (W query[t] + b) . (U key[s]) + r`.
        sigmoid_noise: Standard deviation of the noise added to the energies
            in training; 1 in the paper's experiments on speech.
        initial_score_bias: What r starts at. The longer the sources, the
            lower it should be, or the first steps read the beginning only.
        use_bias: Whether there is a `b`.
        dropout: Share of the scores dropped in training, in [0, 1). It acts
            on what is read, not on where the next step starts.
        kernel_initializer: Initializer of `W` and `U`.
        score_initializer: Initializer of `v`.
        bias_initializer: Initializer of `b`.
        kernel_regularizer: Regularizer of `W` and `U`.
        kernel_constraint: Constraint on `W` and `U`.
        seed: Seed of noise and dropout.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, S, V)`.
        key: `(B, S, E)`; `value` if None.
        query_mask: Booleans `(B, T)`; a query at False gets zeros, and the
            next one starts where this one would have.
        value_mask: Booleans `(B, S)`; a position at False is passed over.
        key_mask: Booleans `(B, S)`, joined with `value_mask`.
        attention_mask: Booleans `(B, T, S)` or `(T, S)`.
        return_attention_scores: Whether to return the scores too.
        training: Whether dropout and noise are active.
        use_causal_mask: Whether query t reads positions 0 to t only.
        noise: What to add to the energies, a dict as `draw_noise` makes it,
            in training or not; drawn in training if None.

    Returns:
        `(B, T, V)`; with `return_attention_scores` also the scores
        `(B, T, S)`. A query with nothing to read gets zeros for both.

        The state of a step is `{"alignment": (B, S)}`, the scores of the
        step before. A step also takes `noise` (of that step) and `training`.

    Raises:
        ValueError: An argument is not one of those above, sizes do not fit
            each other, a mask holds other than 0 and 1, or a step in a
            compiled loop on JAX would have to draw.

    Examples:
        >>> import numpy as np
        >>> import keras_attention
        >>> states = np.random.normal(size=(2, 3, 7))
        >>> annotations = np.random.normal(size=(2, 5, 11))
        >>> layer = keras_attention.layers.MonotonicAttention(
        ...     units=13, sigmoid_noise=1.0
        ... )
        >>> context, scores = layer(
        ...     states, annotations, return_attention_scores=True
        ... )
        >>> tuple(context.shape), tuple(scores.shape)
        ((2, 3, 11), (2, 3, 5))

        One query at a time:

        >>> memory = layer.memory(annotations)
        >>> state = layer.initial_state(memory)
        >>> context, state, extras = layer.step(states[:, 0], memory, state)
        >>> tuple(context.shape), tuple(state["alignment"].shape)
        ((2, 11), (2, 5))

    Reference:
        [Raffel et al., 2017](https://arxiv.org/abs/1704.00784), sections
        2.2 to 2.5.
    """

    def __init__(
        self,
        units: int,
        mode: str = "parallel",
        score: str = "additive",
        sigmoid_noise: float = 0.0,
        initial_score_bias: float = -4.0,
        use_bias: bool = True,
        dropout: float = 0.0,
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
            normalize=True,
            dropout=dropout,
            kernel_initializer=kernel_initializer,
            score_initializer=score_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
            seed=seed,
            **kwargs,
        )
        self.mode = mode
        self.score = checks.one_of(score, "score", ("additive", "general"))
        self.sigmoid_noise = checks.number(sigmoid_noise, "sigmoid_noise", 0)
        self.initial_score_bias = checks.number(
            initial_score_bias, "initial_score_bias"
        )
        if self.sigmoid_noise and self.seed_generator is None:
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.score_bias = None

    @property
    def mode(self):
        return self._mode

    @mode.setter
    def mode(self, mode):
        self._mode = checks.one_of(mode, "mode", MODES)

    def build_memory(self, value_shape, key_shape):
        if self.score == "additive":
            super().build_memory(value_shape, key_shape)
        else:
            self.key_dense.build(key_shape)
            self.score_scale = self._add_score_scale()
        self.score_bias = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.initial_score_bias),
            name="score_bias",
        )

    def prepare(self, query, memory):
        """The energies: they depend on no earlier step."""
        query, key = on_rows(self.query_dense, query), memory["key"]
        if self.score == "additive":
            logits = additive_logits(query, key, self.read_vector())
        else:
            logits = dot_logits(query, key)
            logits = logits * ops.cast(self.score_scale, logits.dtype)
        return {"logits": logits + ops.cast(self.score_bias, logits.dtype)}

    def align(self, x, memory, before, mask):
        logits = x["logits"]
        if "sigmoid" in x:
            logits = logits + ops.cast(x["sigmoid"], logits.dtype)
        if self.mode == "hard":
            choose = ops.cast(logits > 0, logits.dtype)
        else:
            choose = ops.sigmoid(logits)
        if mask is not None:
            choose = ops.where(mask, choose, 0.0)
        return monotonic_scores(choose, before, self.mode)

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
    ):
        if noise is None:
            batch, steps, _ = ops.shape(query)
            length = ops.shape(value)[1]
            noise = self.draw_noise(batch, steps, length, bool(training))
        output, scores, _ = self.run(
            query,
            value,
            key,
            (query_mask, value_mask, key_mask, attention_mask, use_causal_mask),
            training,
            self._checked_noise(noise, query, value),
        )
        return (output, scores) if return_attention_scores else output

    def draws(self, training):
        return bool(training and self.sigmoid_noise and self.mode != "hard")

    def draw_noise(self, batch, steps, length, training=False):
        """Draws for some steps at once; see `Attention.draw_noise`.

        Returns:
            A dict of `sigmoid` `(B, T, S)`, what is added to the energies;
            empty outside training, without `sigmoid_noise` and in the mode
            "hard".
        """
        if not self.draws(training):
            return {}
        shape = (batch, steps, length)
        noise = keras.random.normal(
            shape,
            stddev=self.sigmoid_noise,
            dtype=self._state_dtype(),
            seed=self.seed_generator,
        )
        return {"sigmoid": noise}

    def _checked_noise(self, noise, query, key):
        sizes = (*query.shape[:2], key.shape[1])
        for name, x in noise.items():
            if name != "sigmoid" or not (
                len(x.shape) == 3 and all(map(agree, x.shape, sizes))
            ):
                raise ValueError(
                    "`noise` must be a dict of `sigmoid`, of shape "
                    f"{tuple(sizes)}. Received: {name!r} of shape "
                    f"{tuple(x.shape)}. Make it with `draw_noise`."
                )
        return noise

    def step(
        self,
        query,
        memory,
        state,
        return_attention_scores=False,
        noise=None,
        training=False,
    ):
        """Reads with one query per hypothesis.

        Args:
            query: `(B, D)`, or `(B, K, D)` for K hypotheses that share one
                memory.
            memory: What `memory` returned.
            state: What `initial_state` or the last step returned, `(B, S)`;
                with K hypotheses `(B * K, S)`, those of one source next to
                each other.
            return_attention_scores: Whether `extras` holds `scores`.
            noise: A dict of `sigmoid` `(B, S)` or `(B, K, S)`, what is added
                to the energies. Drawn in training if None.
            training: Whether to draw.

        Returns:
            A tuple of context `(B, .)` or `(B, K, .)`, the new state, and
            extras: `scores` `(B, S)` or `(B, K, S)` if asked for.
        """
        query, single = self._step_query(query, memory)
        key = memory["key"]
        if noise is None:
            noise = self._step_noise(query, key, training)
        elif single:
            noise = {name: x[:, None] for name, x in noise.items()}
        noise = self._checked_noise(noise, query, key)
        return self._step(
            query, single, memory, state, return_attention_scores, noise
        )

    def compute_output_spec(self, *args, noise=None, **kwargs):
        return super().compute_output_spec(*args, **kwargs)

    def get_config(self):
        config = {
            **super().get_config(),
            "mode": self.mode,
            "score": self.score,
            "sigmoid_noise": self.sigmoid_noise,
            "initial_score_bias": self.initial_score_bias,
        }
        del config["normalize"]  # the paper's energies always are
        return config

import keras
from keras import ops

from keras_attention.layers.multi_head_attention import MultiHeadAttention
from keras_attention.ops.folding import Folded

AXES = {"time": 1, "space": 2}


@keras.saving.register_keras_serializable(package="keras_attention")
class FactorizedAttention(MultiHeadAttention):
    """Half of the heads read along time, half of them in space.

    Factorised dot-product attention (Arnab et al., 2021, section 3.3, model
    4): of token (t, s), the first half of the heads reads the tokens (., s)
    and the second half the tokens (t, .); both go through one output
    projection. Weights, and so those of a model, are `MultiHeadAttention`'s.

    Args:
        num_heads: Number of heads, even.
        key_dim: Size of a head.
        dropout: Share of the scores dropped.
        kernel_initializer: Initializer of all kernels.
        bias_initializer: Initializer of all biases.
        seed: Seed of the dropout.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        query: `(B, T, S, D)`.
        value: The same tensor.
        return_attention_scores: Whether to return the scores too.
        training: Whether dropout is active.

    Returns:
        `(B, T, S, D)`; with `return_attention_scores` also a dict of "time",
        `(B, S, N / 2, T, T)`, and "space", `(B, T, N / 2, S, S)`.

    Raises:
        ValueError: The number of heads is odd.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        dropout: float = 0.0,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(
            num_heads,
            key_dim,
            dropout=dropout,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            seed=seed,
            **kwargs,
        )
        if num_heads % 2:
            raise ValueError(
                "Half of the heads read along time and half in space: "
                f"`num_heads` must be even. Received: num_heads={num_heads}."
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
        attention_bias=None,
    ):
        others = key, query_mask, value_mask, key_mask, attention_mask
        if (
            value is not query
            or use_causal_mask
            or any(x is not None for x in (*others, attention_bias))
        ):
            raise ValueError(
                "The tokens of a clip read each other, all of them. Received: "
                "another value or key, a mask or a bias. Leave them out."
            )
        heads = self._projected(query, query, query)  # (B, T, S, N, H) each
        outputs, scores = [], {}
        halves = (
            slice(None, self.num_heads // 2),
            slice(self.num_heads // 2, None),
        )
        for (name, axis), half in zip(AXES.items(), halves, strict=True):
            folded = Folded(query, query, (axis,))
            folds = [folded.fold(x[..., half, :]) for x in heads]
            output, found = self._read_heads(
                folds[0],
                folds[1],
                folds[2],
                None,
                return_attention_scores,
                self.dropout if training else 0.0,
            )
            outputs.append(folded.unfold(output))
            scores[name] = folded.unfold_scores(found)
        output = self._project_heads(query, ops.concatenate(outputs, axis=-2))
        return (output, scores) if return_attention_scores else output

    def compute_output_spec(
        self,
        query,
        value,
        *args,
        return_attention_scores=False,
        **kwargs,
    ):
        output = keras.KerasTensor(query.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        batch, frames, places, _ = query.shape
        heads = self.num_heads // 2
        scores = {
            "time": (batch, places, heads, frames, frames),
            "space": (batch, frames, heads, places, places),
        }
        return output, {
            name: keras.KerasTensor(shape, dtype=self.compute_dtype)
            for name, shape in scores.items()
        }

"""What the public ops refuse, before the backend does in its own words."""

import pytest
from keras import ops

from keras_attention.ops import (
    additive_attention,
    dot_product_attention,
    monotonic_scores,
    rotate,
    sliding_window_attention,
)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda x: additive_attention(x, x[0], x, x[0, 0]),
            "`key` must have 3",
        ),
        (
            lambda x: additive_attention(x, x, x[:, :2], x[0, 0]),
            r"`value` must have shape \(B, S, V\), with the S of `key`",
        ),
        (
            lambda x: additive_attention(x, x[..., :4], x, x[0, 0]),
            r"the U of `query`. Received: `key` of shape \(2, 3, 4\)",
        ),
        (
            lambda x: dot_product_attention(
                x[:, None], x[:, None, :2], x[:, None, :2]
            ),
            "heads of `query` must be a multiple of those of `key`",
        ),
        (
            lambda x: dot_product_attention(
                x[:, None], x[:, None], x[:1, None]
            ),
            "the B of `query`",
        ),
        (
            lambda x: sliding_window_attention(
                *[x[:, None]] * 3, 1, 0, bias=x[0]
            ),
            r"before \+ 1 \+ after = 2. Received: shape \(3, 5\)",
        ),
        (
            lambda x: sliding_window_attention(*[x[:, None]] * 3, -1, 0),
            "`before` must be a whole number",
        ),
        (
            lambda x: monotonic_scores(x, x[..., :1]),
            "last axes of 5 and 1",
        ),
        (lambda x: dot_product_attention(x, x, x), "`query` must have 4 axes"),
        (lambda x: sliding_window_attention(x, x, x, 1, 0), "must have 4 axes"),
        (lambda x: rotate(x), r"in pairs. Received: shape \(2, 3, 5\)"),
        (lambda x: rotate(x[..., :4], layout="pairs"), "`layout` must be one"),
        (lambda x: monotonic_scores(x, x, "soft"), "`mode` must be one of"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(ops.ones((2, 3, 5)))

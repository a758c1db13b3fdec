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

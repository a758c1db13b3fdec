"""Layer normalization with a gradient of its own."""

import keras
from keras import ops


def layer_norm(x, gamma, beta, epsilon):
    """Normalizes the last axis.

        output = (x - mean(x)) / sqrt(var(x) + epsilon) * gamma + beta

    Ba et al., 2016. XLA differentiates this operation by operation. What that
    leaves of each norm in a row of residual blocks is cheap enough for it to
    compute once more wherever the sum of them all is read, so that on a CPU
    the gradient of a deep model takes the square of its depth. One expression
    for the gradient does not come apart like this. torch has a kernel, which
    reads half precision as it is.

    Args:
        x: `(..., D)`.
        gamma: `(D,)`.
        beta: `(D,)`.
        epsilon: Added to the variance.

    Returns:
        The shape and dtype of `x`; computed in float32 or wider.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        return _on_torch(x, gamma, beta, epsilon)
    dtype = keras.backend.standardize_dtype(x.dtype)
    wide = keras.backend.result_type(dtype, "float32")
    x, gamma, beta = (ops.cast(tensor, wide) for tensor in (x, gamma, beta))
    normalize = _on_jax if backend == "jax" else _on_tensorflow
    return ops.cast(normalize(x, gamma, beta, epsilon), dtype)


def _statistics(x, epsilon):
    """The normalized `x`, and one over its deviation `(..., 1)`."""
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centered), axis=-1, keepdims=True)
    scale = ops.rsqrt(variance + epsilon)
    return centered * scale, scale


def _off(x, normal):
    """`x` without its parts along ones and along `normal`."""
    mean = ops.mean(x, axis=-1, keepdims=True)
    along = ops.mean(x * normal, axis=-1, keepdims=True)
    return x - mean - normal * along


def _on_jax(x, gamma, beta, epsilon):
    import jax

    @jax.custom_jvp
    def norm(x, gamma, beta):
        return _statistics(x, epsilon)[0] * gamma + beta

    @norm.defjvp
    def derivative(primals, tangents):
        x, gamma, beta = primals
        of_x, of_gamma, of_beta = tangents
        normal, scale = _statistics(x, epsilon)
        # The factor first, so that it comes last in the transpose.
        of_normal = _off(of_x * scale, normal)
        tangent = of_normal * gamma + normal * of_gamma + of_beta
        return normal * gamma + beta, tangent

    return norm(x, gamma, beta)


def _on_tensorflow(x, gamma, beta, epsilon):
    import tensorflow as tf

    @tf.custom_gradient
    def norm(x, gamma, beta):
        normal, scale = _statistics(x, epsilon)

        def gradient(upstream):
            rows = tuple(range(len(x.shape) - 1))
            return (
                _off(upstream * gamma, normal) * scale,
                ops.sum(upstream * normal, axis=rows),
                ops.sum(upstream, axis=rows),
            )

        return normal * gamma + beta, gradient

    return norm(x, gamma, beta)


def _on_torch(x, gamma, beta, epsilon):
    import torch

    gamma, beta = (
        ops.convert_to_tensor(vector).to(x.dtype) for vector in (gamma, beta)
    )
    return torch.nn.functional.layer_norm(x, x.shape[-1:], gamma, beta, epsilon)

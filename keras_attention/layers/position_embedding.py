import math

import keras
from keras import ops

from keras_attention.layers.sine_position_encoding import check_sequence
from keras_attention.ops import checks, resampling
from keras_attention.ops.masks import concrete_value


@keras.saving.register_keras_serializable(package="keras_attention")
class PositionEmbedding(keras.layers.Layer):
    """Tells positions apart by a learned vector for each.

    To be added to the inputs. For a sequence (Gehring et al., 2017, section
    3.1), made by `max_length`, the first vectors serve shorter ones:

        embedding[t] = E[start_index + t]

    For the patches of an image or video (Dosovitskiy et al., 2021, equation
    1), made by `grid_shape`, tokens are numbered row by row, frame by frame,
    after the prefix tokens, and a grid of another size gets vectors in
    between those learned (section 3.2), along each axis:

        embedding[i, j] = sum_k sum_l A[i, k] B[j, l] E[k, l]

    with the weights A and B of the interpolation
    (`ops.resampling.interpolation_matrix`). At the layer's own size they are
    the learned vectors, bit by bit. Unlike `SinePositionEncoding`, all is
    trained.

    Args:
        max_length: For a sequence: the number of positions there are vectors
            for. Longer inputs are an error.
        initializer: Initializer of the vectors; ViT's is a normal
            distribution of standard deviation 0.02.
        grid_shape: For a grid, instead of `max_length`: the sizes there are
            vectors for, `(length,)`, `(height, width)` or `(frames, height,
            width)`.
        num_prefix_tokens: Number of tokens before those of the grid, such as
            a class token. Each has a vector of its own, which is never
            interpolated.
        interpolation: How a grid of another size gets its vectors. A table
            of published weights wants the rule of its source:
            "bilinear_align_corners" for Google's ViT (.npz), big_vision and
            scenic; "bilinear" for those as timm reads them;
            "bicubic_antialias" for timm's own; "bicubic" for ViT and DINOv2
            of Hugging Face. None refuses other sizes.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        inputs: `(B, T, D)`, for its shape: a sequence, or the tokens of a
            grid, prefix tokens first. Or, without prefix tokens, shaped as
            the grid: `(B, height, width, D)`, `(B, frames, height, width, D)`.
        start_index: Position of the first entry of a sequence, an int or a
            scalar tensor; a decoder that runs one position at a time passes
            where it is.
        grid: The sizes of the grid that tokens form, a tuple of ints or
            scalar tensors; or a tensor shaped as the grid, such as the
            `(B, height, width, D)` that the tokens were made from. Needed
            where the number of tokens does not tell: on a grid of several
            axes, unless it is the layer's own. On a layer of (height, width),
            (frames, height, width) repeats the vectors for each frame, as
            ViViT starts from an image model (Arnab et al., 2021, section 3.4).

    Returns:
        The shape of the inputs, the same for each example.

    Raises:
        ValueError: Neither or both of `max_length` and `grid_shape` are
            given, a size is not a positive integer, or `interpolation` is
            unknown. The inputs have a wrong rank, reach beyond `max_length`,
            or do not form the grid; the grid is of another size and there is
            no `interpolation`. A `start_index` that has no value yet, under a
            trace, cannot be checked.

    Examples:
        >>> import keras, keras_attention
        >>> x = keras.random.normal((2, 5, 8))
        >>> layer = keras_attention.layers.PositionEmbedding(max_length=100)
        >>> y = x + layer(x)
        >>> tuple(y.shape)
        (2, 5, 8)

        A class token and 14 x 14 patches, used for an image of 24 x 16:

        >>> layer = keras_attention.layers.PositionEmbedding(
        ...     grid_shape=(14, 14),
        ...     num_prefix_tokens=1,
        ...     interpolation="bilinear_align_corners",
        ... )
        >>> tokens = keras.random.normal((2, 1 + 24 * 16, 8))
        >>> tuple(layer(tokens, grid=(24, 16)).shape)
        (2, 385, 8)
        >>> tuple(layer.embeddings.shape)
        (197, 8)

    Reference:
        [Gehring et al., 2017](https://arxiv.org/abs/1705.03122), section 3.1;
        [Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929), sections
        3.1 and 3.2.
    """

    def __init__(
        self,
        max_length: int | None = None,
        initializer="glorot_uniform",
        grid_shape: tuple[int, ...] | None = None,
        num_prefix_tokens: int = 0,
        interpolation: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if (max_length is None) == (grid_shape is None):
            raise ValueError(
                "Either `max_length`, for a sequence, or `grid_shape`, for a "
                "grid, must be given, and not both. Received: "
                f"max_length={max_length}, grid_shape={grid_shape}."
            )
        if max_length is not None:
            max_length = checks.positive_int(max_length, "max_length")
            if num_prefix_tokens or interpolation:
                raise ValueError(
                    "`num_prefix_tokens` and `interpolation` are for a grid. "
                    f"Received: {num_prefix_tokens=}, {interpolation=}, with "
                    f"{max_length=}. Pass `grid_shape` instead, for a sequence "
                    f"grid_shape=({max_length},)."
                )
        if grid_shape is not None:
            grid_shape = resampling.grid_sizes(grid_shape, "grid_shape")
        if interpolation is not None:
            checks.one_of(
                interpolation, "interpolation", resampling.INTERPOLATIONS
            )
        self.max_length = max_length
        self.initializer = keras.initializers.get(initializer)
        self.grid_shape = grid_shape
        self.num_prefix_tokens = checks.non_negative_int(
            num_prefix_tokens, "num_prefix_tokens"
        )
        self.interpolation = interpolation
        self.supports_masking = True
        self.embeddings = None

    def build(self, inputs_shape):
        if self.grid_shape is None:
            check_sequence(inputs_shape)
            rows = self.max_length
        else:
            self._check_rank(inputs_shape)
            rows = self.num_prefix_tokens + math.prod(self.grid_shape)
        self.embeddings = self.add_weight(
            shape=(rows, inputs_shape[-1]),
            initializer=self.initializer,
            name="embeddings",
            # Interpolated in float32, and cast afterwards.
            autocast=False,
        )

    def call(self, inputs, start_index=0, grid=None):
        embeddings = ops.convert_to_tensor(self.embeddings)
        shape = ops.shape(inputs)
        if self.grid_shape is None:
            self._check_sequence(inputs, start_index, grid)
            embedding = _rows(embeddings, start_index, shape)
        else:
            embedding = resampling.resample_positions(
                embeddings,
                self.grid_shape,
                self._grid(inputs, start_index, grid),
                self.interpolation,
                self.num_prefix_tokens,
            )
        embedding = ops.cast(embedding, self.compute_dtype)
        return ops.broadcast_to(ops.reshape(embedding, shape[1:]), shape)

    def _check_sequence(self, inputs, start_index, grid):
        """Raises unless the inputs are a sequence there are vectors for."""
        check_sequence(inputs.shape)
        if grid is not None:
            raise ValueError(
                f"`grid` is for a layer with a `grid_shape`. Received: {grid=} "
                f"with max_length={self.max_length}."
            )
        length = inputs.shape[1]
        checks.start_index(start_index)
        start = concrete_value(start_index)
        start = 0 if start is None else int(start)
        if checks.known(length) and not 0 <= start <= self.max_length - length:
            raise ValueError(
                "Positions must be below `max_length`. Received: "
                f"start_index={start} and a length of {length}, with "
                f"max_length={self.max_length}. Pass shorter sequences, or a "
                "larger `max_length` to the constructor."
            )

    def _grid(self, inputs, start_index, grid):
        """The sizes of the grid that the inputs form.

        Ints; where unknown, tensors, or None of symbolic inputs.
        """
        if not isinstance(start_index, int) or start_index:
            raise ValueError(
                "`start_index` is for a layer with a `max_length`. Received: "
                f"{start_index=} with grid_shape={self.grid_shape}."
            )
        self._check_rank(inputs.shape, grid)
        shape = ops.shape(inputs)
        if len(shape) > 3:
            sizes = tuple(shape[1:-1])
        elif grid is not None:
            if len(getattr(grid, "shape", ())) > 2:
                sizes = tuple(ops.shape(grid)[1:-1])
            else:
                sizes = resampling.grid_sizes(grid, "grid")
        elif len(self.grid_shape or ()) == 1 and shape[1] is not None:
            sizes = (shape[1] - self.num_prefix_tokens,)
        else:
            sizes = self.grid_shape
        if len(shape) == 3:
            self._check_tokens(shape, sizes, grid)
        resampling.check_resampling(self.grid_shape, sizes, self.interpolation)
        return sizes

    def _check_rank(self, shape, grid=None):
        axes = len(self.grid_shape or ())
        ranks = {3, axes + 2} | ({5} if axes == 2 else set())
        if len(shape) not in ranks or shape[-1] is None:
            raise ValueError(
                "`inputs` must have shape (batch, tokens, features), or the "
                "axes of the grid in place of the tokens, the features known. "
                f"Received: shape {tuple(shape)}, with "
                f"grid_shape={self.grid_shape}."
            )
        if len(shape) > 3 and (self.num_prefix_tokens or grid is not None):
            raise ValueError(
                "`inputs` shaped as a grid have no prefix tokens, and take no "
                f"`grid`. Received: shape {tuple(shape)}, {grid=}, "
                f"num_prefix_tokens={self.num_prefix_tokens}. Reshape the "
                "inputs to (batch, tokens, features), prefix tokens first."
            )

    def _check_tokens(self, shape, sizes, grid):
        """Raises unless the tokens are those of a grid."""
        if checks.known(*sizes):
            fits = self.num_prefix_tokens + math.prod(sizes) == shape[1]
            # An unknown number may fit, but only of a grid that was given.
            unknown = not checks.known(shape[1])
            fits |= unknown and (grid is not None or len(sizes) == 1)
            if not fits or min(sizes) < 1:
                raise ValueError(
                    "`inputs` must hold the prefix tokens and one token for "
                    f"each entry of the grid. Received: shape {tuple(shape)} "
                    f"for a grid of {sizes}, num_prefix_tokens="
                    f"{self.num_prefix_tokens}. Pass the sizes of the grid "
                    "that the tokens form, such as `grid=(24, 16)`."
                )

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def compute_output_spec(self, inputs, start_index=0, grid=None):
        if self.grid_shape is None:
            self._check_sequence(inputs, start_index, grid)
        else:
            self._grid(inputs, start_index, grid)
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "initializer": keras.initializers.serialize(self.initializer),
            "grid_shape": self.grid_shape,
            "num_prefix_tokens": self.num_prefix_tokens,
            "interpolation": self.interpolation,
        }


def _rows(embeddings, start, shape):
    """The `(T, D)` vectors of a sequence of shape `(B, T, D)`."""
    if keras.backend.backend() == "jax" and not checks.known(shape[1]):
        # An export, which cannot tell a slice to be inside: NaN if not.
        return ops.take(embeddings, start + ops.arange(0, shape[1]), axis=0)
    if not isinstance(start, int):
        start = ops.cast(start, "int32")
    return ops.slice(embeddings, (start, 0), shape[1:])

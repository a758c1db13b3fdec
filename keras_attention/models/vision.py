"""What vision Transformers of images and videos share."""

from typing import Any

import keras
from keras import ops

from keras_attention.converters import huggingface
from keras_attention.data.image_processor import ImageProcessor
from keras_attention.layers.layer_normalization import LayerNormalization
from keras_attention.layers.multi_head_attention import MultiHeadAttention
from keras_attention.layers.transformer_encoder_block import (
    TransformerEncoderBlock,
)
from keras_attention.models.layerwise import LayerwiseModel
from keras_attention.models.model import assign_weights, effective_weights
from keras_attention.ops import activations, checks, resampling

PROCESSOR_FILE = "preprocessor_config.json"
POSITIONS = "position_embedding/embeddings"


class Encoder:
    """The arguments that all blocks of a model are made with, checked.

    Args:
        hidden_dim: Size of a token, D; a multiple of `num_heads`.
        num_heads: Heads of each attention.
        intermediate_dim: Size of the feed-forward's wider layer.
        dropout: Share dropped in the blocks.
        attention_dropout: Share of the attention scores dropped.
        stochastic_depth: Rate of the last block's.
        activation: Activation of the feed-forward layers.
        layer_norm_epsilon: Added to the variance in the normalizations.
        qkv_bias: Whether queries, keys and values have biases.
        layer_scale: What the factors of what each part of a block adds begin
            with; None for none.
        dtype: Policy of all layers.
        recompute: Whether blocks compute again for the gradient.
    """

    def __init__(
        self,
        hidden_dim,
        num_heads,
        intermediate_dim,
        dropout,
        attention_dropout,
        stochastic_depth,
        activation,
        layer_norm_epsilon,
        qkv_bias,
        layer_scale,
        dtype,
        recompute=False,
    ):
        for name, size in (
            ("hidden_dim", hidden_dim),
            ("num_heads", num_heads),
            ("intermediate_dim", intermediate_dim),
        ):
            checks.positive_int(size, name)
        checks.rate(dropout, "dropout")
        checks.rate(stochastic_depth, "stochastic_depth")
        if hidden_dim % num_heads:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_heads`. Received: "
                f"hidden_dim={hidden_dim}, num_heads={num_heads}."
            )
        self.hidden_dim, self.num_heads = hidden_dim, num_heads
        self.attention_dropout = attention_dropout
        self.qkv_bias = qkv_bias
        self.stochastic_depth = stochastic_depth
        self.layer_norm_epsilon, self.dtype = layer_norm_epsilon, dtype
        self.function: Any = activations.get(activation)
        self.options: dict[str, Any] = dict(
            intermediate_dim=intermediate_dim,
            dropout=dropout,
            intermediate_dropout=dropout,
            activation=self.function,
            layer_norm_epsilon=layer_norm_epsilon,
            normalize_first=True,
            bias_initializer=keras.initializers.RandomNormal(stddev=1e-6),
            layer_scale=layer_scale,
            recompute=recompute,
            dtype=dtype,
        )

    def depth_rate(self, index, number):
        """The rate of stochastic depth of a block out of a number."""
        return self.stochastic_depth * index / max(1, number - 1)

    def attention_initializer(self):
        """As for a matrix (D, D): Keras takes heads for convolution's axes."""
        limit = (3 / self.hidden_dim) ** 0.5
        return keras.initializers.RandomUniform(-limit, limit)

    def block(self, name, index, number):
        """Block `index` of a row of `number`."""
        return TransformerEncoderBlock(
            self_attention=MultiHeadAttention(
                self.num_heads,
                self.hidden_dim // self.num_heads,
                dropout=self.attention_dropout,
                use_bias=self.qkv_bias,
                output_bias=True,
                kernel_initializer=self.attention_initializer(),
                dtype=self.dtype,
                name="self_attention",
            ),
            stochastic_depth=self.depth_rate(index, number),
            name=name,
            **self.options,
        )

    def norm(self, name):
        """A layer normalization."""
        return LayerNormalization(
            epsilon=self.layer_norm_epsilon, dtype=self.dtype, name=name
        )


class VisionModel(LayerwiseModel):
    """A model of patches, which fits other inputs and classes.

    A subclass names its `arguments`, what its input's shape and its patches
    are called among them, the axes of the shape, the kernel of patches and
    the layers that classify.
    """

    arguments: tuple[str, ...]
    shape_argument: str
    shape_axes: tuple[str, ...]
    patch_argument: str
    patch_kernel: str
    heads: tuple[str, ...] = ("head",)
    huggingface_files = (PROCESSOR_FILE,)
    image_processor: ImageProcessor | None
    interpolation: str

    @classmethod
    def _read_processor(cls, folder):
        """The preprocessing of a Hugging Face checkpoint, or None."""
        path = folder / PROCESSOR_FILE
        if not path.is_file():
            return None
        return ImageProcessor.from_huggingface(huggingface.read_json(path))

    def _fitted(self, shape, patches, num_classes, method):
        """This model, or one for what is asked for, where that is not None.

        Args:
            shape: Of an input.
            patches: Size of a patch.
            num_classes: As of the constructor.
            method: Rule by which positions are resampled.
        """
        model = self
        if num_classes not in (None, model.num_classes):
            model = model.reset_head(num_classes)
        if shape or patches or method:
            model = model.resize(shape, patches, method)
        return model

    def _with_head(self, num_classes):
        """The same model with a new head, which begins at zero."""
        changes = {"num_classes": num_classes, "head_initializer": "zeros"}
        return self._changed(changes, without=self.heads)

    def _resized(self, shape, patches, method):
        """The same model for inputs or patches of another size, or None."""
        changes = {"interpolation": method, self.patch_argument: patches}
        changes = {k: v for k, v in changes.items() if v is not None}
        if shape is not None:
            shape = shape_of(shape, self.shape_argument, self.shape_axes)
            channels = getattr(self, self.shape_argument)[-1]
            if shape[-1] != channels:
                raise ValueError(
                    "The number of channels cannot change: the weights of "
                    f"patches are made for {channels}. Received: "
                    f"{self.shape_argument}={shape}."
                )
            changes[self.shape_argument] = shape
            if self.image_processor is not None:
                changes["image_processor"] = self.image_processor.resize(
                    *shape[-3:-1]
                )
        return self._changed(changes)

    def _position_tables(self):
        """The grid and the prefix tokens of each table, by its path."""
        raise NotImplementedError(f"{type(self).__name__} has no positions.")

    def _changed(self, changes, without=()):
        """A model of another config with this one's weights, as they fit.

        Args:
            changes: Of the config.
            without: Layers that begin anew.
        """
        model = type(self).from_config({**self.get_config(), **changes})
        paths = [
            variable.path
            for variable in model.weights
            if variable.path.partition("/")[0] not in without
        ]
        arrays = effective_weights(self, paths)
        new = model._position_tables()
        for path, (grid, num_prefix_tokens) in self._position_tables().items():
            arrays[path] = resampling.resample_positions(
                arrays[path],
                grid,
                new[path][0],
                model.interpolation,
                num_prefix_tokens,
            )
        arrays[self.patch_kernel] = resampling.resample_patches(
            arrays[self.patch_kernel],
            getattr(self, self.patch_argument),
            getattr(model, self.patch_argument),
        )
        assign_weights(model, arrays)
        return model

    def get_config(self):
        config = super().get_config()
        processor = keras.saving.serialize_keras_object(self.image_processor)
        return {
            **config,
            **{name: getattr(self, name) for name in self.arguments},
            "image_processor": processor,
        }

    @classmethod
    def from_config(cls, config):
        processor = config.get("image_processor")
        if isinstance(processor, dict):
            processor = keras.saving.deserialize_keras_object(processor)
        return super().from_config({**config, "image_processor": processor})


class Scores(keras.layers.Layer):
    """The attention scores of a block.

    A layer of its own: Keras takes a layer in a graph to return as many
    tensors whenever it is called.
    """

    def __init__(self, block):
        super().__init__(dtype=block.dtype_policy, name=f"{block.name}_scores")
        self.block = block
        self.built = True

    def call(self, inputs):
        return self.block(inputs, return_attention_scores=True)[1]

    def compute_output_spec(self, inputs):
        _, scores = self.block.compute_output_spec(
            inputs, return_attention_scores=True
        )
        return scores


def shape_of(value, name, axes) -> Any:
    """The sizes of an input without its batch, checked.

    Args:
        value: A tuple of positive integers.
        name: What it is called.
        axes: What its entries are called.
    """
    try:
        sizes = tuple(int(size) for size in value)
    except (TypeError, ValueError):
        sizes = ()
    if len(sizes) != len(axes) or min(sizes) < 1:
        raise ValueError(
            f"`{name}` must be ({', '.join(axes)}), positive "
            f"integers. Received: {name}={value}."
        )
    return sizes


def pooled_tokens(x, pooling, num_prefix_tokens):
    """The vectors that heads classify, of tokens `(B, T, D)`."""
    average = ops.mean(x[:, num_prefix_tokens:], axis=1)
    if pooling == "average":
        return [average]
    tokens = [x[:, i] for i in range(num_prefix_tokens)]
    if pooling == "token_and_average":
        return [tokens[0], average]
    return tokens

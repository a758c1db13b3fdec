import json
from collections.abc import Sequence
from pathlib import Path

import keras
from keras import layers, ops

from keras_attention.converters import huggingface, vit_google, vit_timm
from keras_attention.converters import vit as names
from keras_attention.converters.safetensors_file import write_safetensors
from keras_attention.data.image_processor import ImageProcessor
from keras_attention.layers.attention_pooling import AttentionPooling
from keras_attention.layers.patch_embedding import PatchEmbedding
from keras_attention.layers.position_embedding import PositionEmbedding
from keras_attention.layers.prefix_tokens import PrefixTokens
from keras_attention.models.folders import written_at_once
from keras_attention.models.model import (
    CONFIG_FILE,
    TIMM,
    effective_weights,
)
from keras_attention.models.vision import (
    POSITIONS,
    PROCESSOR_FILE,
    Encoder,
    Scores,
    VisionModel,
    pooled_tokens,
    shape_of,
)
from keras_attention.ops import checks, resampling

ARGUMENTS = (
    "image_shape",
    "patch_size",
    "num_layers",
    "hidden_dim",
    "num_heads",
    "intermediate_dim",
    "num_classes",
    "pooling",
    "class_token",
    "distillation_token",
    "distillation_head",
    "prefix_positions",
    "representation_dim",
    "qkv_bias",
    "layer_scale",
    "stochastic_depth",
    "dropout",
    "attention_dropout",
    "activation",
    "layer_norm_epsilon",
    "norm_after_pooling",
    "interpolation",
    "position_stddev",
    "head_initializer",
)
IMAGE_AXES = "height", "width", "channels"
HEADS = "head", "distillation_head"
POOLINGS = ("token", "average", "attention", "token_and_average")


def _sizes(hidden_dim, num_layers, num_heads, patch_size):
    return dict(
        patch_size=patch_size,
        num_layers=num_layers,
        hidden_dim=hidden_dim,
        num_heads=num_heads,
        intermediate_dim=4 * hidden_dim,
    )


PRESETS = {
    # Dosovitskiy et al., 2021, table 1; Ti and S of Steiner et al., 2022,
    # table 2. 1,000 classes at 224 x 224.
    "vit_ti_16": _sizes(192, 12, 3, 16),
    "vit_s_16": _sizes(384, 12, 6, 16),
    "vit_s_32": _sizes(384, 12, 6, 32),
    "vit_b_8": _sizes(768, 12, 12, 8),
    "vit_b_16": _sizes(768, 12, 12, 16),
    "vit_b_32": _sizes(768, 12, 12, 32),
    "vit_l_16": _sizes(1024, 24, 16, 16),
    "vit_l_32": _sizes(1024, 24, 16, 32),
    "vit_h_14": _sizes(1280, 32, 16, 14),
    # Ours, for small images on a CPU.
    "vit_tiny": dict(
        image_shape=(32, 32, 3),
        num_classes=10,
        **_sizes(96, 6, 4, 4),
    ),
}


@keras.saving.register_keras_serializable(package="keras_attention")
class ViT(VisionModel):
    """Classifies images by attention between their patches.

    The Vision Transformer of Dosovitskiy et al. (2021, section 3.1): patches
    are embedded, a class token is put before them, learned positions are
    added; pre-norm blocks follow, and the class token's last state is
    classified:

        z = [token; E patches] + positions
        z = blocks(z)
        logits = W norm(z)[token]

    The options hold what published checkpoints differ in. Train it with plain
    `compile` and `fit`; `features` gives what its blocks make of an image,
    `reset_head` and `resize` fit a trained model to other classes, sizes of
    images and of patches.

    Args:
        image_shape: `(height, width, channels)`; patches must tile it.
        patch_size: P, in pixels; an int, or one for height and width.
        num_layers: Blocks, L.
        hidden_dim: Size of a token, D; a multiple of `num_heads`.
        num_heads: Heads of each attention.
        intermediate_dim: Size of the feed-forward's wider layer.
        num_classes: Number of classes; 0 for features, without a head.
        pooling: What is classified: "token", the class token; "average", the
            mean of all tokens; "attention", what a learned query reads of
            them; or "token_and_average", both, side by side.
        class_token: Whether there is one; where `pooling` needs it if None.
        distillation_token: Whether another token stands beside it (Touvron
            et al., 2021, section 4).
        distillation_head: Whether that has a head of its own; the two heads'
            logits are averaged. Without, it only takes part.
        prefix_positions: Whether these tokens have positions too.
        representation_dim: Size of a tanh layer before the head, which
            pretraining on ImageNet-21k had; None for none.
        qkv_bias: Whether queries, keys and values have biases.
        layer_scale: What the factors of what each part of a block adds begin
            with; None for none.
        stochastic_depth: Rate of the last block's; rises from 0 in the first.
        dropout: Share dropped of the embedded patches and in the blocks.
        attention_dropout: Share of the attention scores dropped.
        activation: Activation of the feed-forward layers: "gelu_tanh" is
            Google's, "gelu" that of timm and Hugging Face.
        layer_norm_epsilon: Added to the variance in the normalizations.
        norm_after_pooling: Whether the last normalization follows the
            pooling, as timm's averaging has it, instead of preceding it.
        interpolation: The rule by which `resize` resamples positions, that of
            the weights' source; see `PositionEmbedding`.
        position_stddev: Standard deviation that positions begin with; the
            paper's 0.02 is little beside patches, and a small set that
            teaches them from nothing does better with 0.3.
        head_initializer: What the head begins with; the paper's zeros suit
            fine-tuning, "glorot_uniform" training from nothing.
        image_processor: A `data.ImageProcessor` that makes of pictures what
            the weights expect; kept with the model.
        dtype: Policy of all layers.
        **kwargs: `name` and `trainable` of `keras.Model`.

    Call arguments:
        images: `(B, height, width, channels)`, scaled as the weights expect
            them, to [-1, 1] for Google's: what `image_processor` returns.

    Returns:
        Logits `(B, num_classes)`, or features `(B, D)` if it is 0.

    Raises:
        ValueError: A size is not positive, patches do not tile the image, or
            options do not go together.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.models import ViT
        >>> model = ViT.from_preset("vit_tiny", num_classes=7)
        >>> images = np.random.uniform(-1, 1, size=(2, 32, 32, 3))
        >>> tuple(model(images).shape)
        (2, 7)
        >>> tuple(model.features(-1, grid=True)(images).shape)
        (2, 8, 8, 96)

    Reference:
        [Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929), section
        3; [Steiner et al., 2022](https://arxiv.org/abs/2106.10270) for Ti, S
        and AugReg; [Touvron et al., 2021](https://arxiv.org/abs/2012.12877)
        for the distillation token.
    """

    presets = PRESETS
    huggingface_types = (*names.MODEL_TYPES, TIMM)
    arguments = ARGUMENTS
    shape_argument = "image_shape"
    shape_axes = IMAGE_AXES
    patch_argument = "patch_size"
    patch_kernel = "patch_embedding/embedding/kernel"
    heads = HEADS

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (224, 224, 3),
        patch_size: int | tuple[int, int] = 16,
        num_layers: int = 12,
        hidden_dim: int = 768,
        num_heads: int = 12,
        intermediate_dim: int = 3072,
        num_classes: int = 1000,
        pooling: str = "token",
        class_token: bool | None = None,
        distillation_token: bool = False,
        distillation_head: bool = True,
        prefix_positions: bool = True,
        representation_dim: int | None = None,
        qkv_bias: bool = True,
        layer_scale: float | None = None,
        stochastic_depth: float = 0.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation: str = "gelu_tanh",
        layer_norm_epsilon: float = 1e-6,
        norm_after_pooling: bool = False,
        interpolation: str = "bilinear_align_corners",
        position_stddev: float = 0.02,
        head_initializer: str = "zeros",
        image_processor: ImageProcessor | None = None,
        dtype=None,
        **kwargs,
    ):
        encoder = Encoder(
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
        )
        checks.positive_int(num_layers, "num_layers")
        checks.non_negative_int(num_classes, "num_classes")
        checks.positive(position_stddev, "position_stddev")
        checks.one_of(pooling, "pooling", POOLINGS)
        checks.one_of(interpolation, "interpolation", resampling.INTERPOLATIONS)
        image_shape = shape_of(image_shape, "image_shape", IMAGE_AXES)
        needs_token = pooling in ("token", "token_and_average")
        if class_token is None:
            class_token = needs_token
        if (needs_token or distillation_token) and not class_token:
            raise ValueError(
                "A class token is needed to be pooled, or beside a "
                f"distillation token. Received: {pooling=}, {class_token=}, "
                f"{distillation_token=}."
            )
        if distillation_token and pooling != "token":
            raise ValueError(
                "A distillation token is classified beside the class token. "
                f"Received: distillation_token=True, {pooling=}. Use "
                'pooling="token".'
            )
        num_prefix_tokens = int(class_token) + int(distillation_token)

        # === Layers ===
        def make_head(name):
            return layers.Dense(
                num_classes,
                kernel_initializer=head_initializer,
                dtype=dtype,
                name=name,
            )

        patch_embedding = PatchEmbedding(
            patch_size, hidden_dim, dtype=dtype, name="patch_embedding"
        )
        grid = patch_embedding.grid_size(*image_shape[:2])
        prefix = None
        if num_prefix_tokens:
            prefix = PrefixTokens(
                num_prefix_tokens, dtype=dtype, name="prefix_tokens"
            )
        position_embedding = PositionEmbedding(
            initializer=keras.initializers.RandomNormal(stddev=position_stddev),
            grid_shape=grid,
            num_prefix_tokens=num_prefix_tokens if prefix_positions else 0,
            interpolation=interpolation,
            dtype=dtype,
            name="position_embedding",
        )
        blocks = [
            encoder.block(f"block_{i}", i, num_layers)
            for i in range(num_layers)
        ]
        norm = encoder.norm("norm")

        # === Functional graph ===
        images = keras.Input(image_shape, name="images")
        x = patch_embedding(images)
        if prefix is not None and prefix_positions:
            x = prefix(x)
        x = layers.Add(dtype=dtype, name="add_positions")(
            [x, position_embedding(x, grid=grid)]
        )
        if prefix is not None and not prefix_positions:
            x = prefix(x)
        x = layers.Dropout(dropout, dtype=dtype, name="dropout")(x)
        embedded, states = x, []
        for block in blocks:
            x = block(x)
            states.append(x)
        if not norm_after_pooling:
            x = norm(x)
        if pooling == "attention":
            pooled = [
                AttentionPooling(
                    num_heads,
                    intermediate_dim,
                    encoder.function,
                    layer_norm_epsilon,
                    dtype=dtype,
                    name="attention_pooling",
                )(x)
            ]
        else:
            pooled = pooled_tokens(x, pooling, num_prefix_tokens)
        if distillation_token and not distillation_head:
            del pooled[1:]
        if norm_after_pooling:
            pooled = [norm(y) for y in pooled]
        if pooling == "token_and_average":
            pooled = [ops.concatenate(pooled, axis=-1)]
        if representation_dim is not None:
            dense = layers.Dense(
                representation_dim, "tanh", dtype=dtype, name="representation"
            )
            pooled = [dense(y) for y in pooled]
        if num_classes:
            pooled = [
                make_head(name)(y)
                for name, y in zip(HEADS, pooled, strict=False)
            ]
        output = pooled[0]
        if len(pooled) > 1:
            output = layers.Average(dtype=dtype, name="average")(pooled)
        super().__init__(inputs=images, outputs=output, dtype=dtype, **kwargs)

        # === Config ===
        self.image_shape = image_shape
        self.patch_size = patch_embedding.patch_size
        self.num_layers = num_layers
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.num_classes = num_classes
        self.pooling = pooling
        self.class_token = class_token
        self.distillation_token = distillation_token
        self.distillation_head = distillation_head
        self.prefix_positions = prefix_positions
        self.representation_dim = representation_dim
        self.qkv_bias = qkv_bias
        self.layer_scale = layer_scale
        self.stochastic_depth = stochastic_depth
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation = activation
        self.layer_norm_epsilon = layer_norm_epsilon
        self.norm_after_pooling = norm_after_pooling
        self.interpolation = interpolation
        self.position_stddev = position_stddev
        self.head_initializer = head_initializer
        self.image_processor = image_processor
        self.grid_shape = grid
        self.num_prefix_tokens = num_prefix_tokens
        self._embedded, self._states = embedded, states

    @classmethod
    def from_preset(
        cls,
        preset: str | Path,
        image_shape: tuple[int, int, int] | None = None,
        patch_size: int | tuple[int, int] | None = None,
        num_classes: int | None = None,
        method: str | None = None,
        **overrides,
    ) -> "ViT":
        """Makes a model of a published size, or reads one that was saved.

        Args:
            preset: A name in `presets` (sizes, random weights); a folder
                written by `save_to_preset`, or one with a checkpoint of
                Hugging Face's (ViT, DeiT, DINOv2) or timm's; `hf://user/repo`,
                either of them on the Hugging Face hub; or a .npz file of
                Google's (the original ones, AugReg, big_vision).
            image_shape: Another shape of images than the weights were made
                for: positions are resampled, as by `resize`.
            patch_size: Another size of patches, as by `resize`.
            num_classes: Another number of classes: the head begins anew, as by
                `reset_head`.
            method: Rule by which positions are resampled; that of the
                weights' source if None.
            **overrides: Constructor arguments that replace the preset's.
                With weights, only those that leave them as they are.

        Returns:
            The model.

        Raises:
            ValueError: `preset` is none of them, or its files do not fit
                together; patches do not tile the image.
        """
        changes = {
            "image_shape": image_shape,
            "patch_size": patch_size,
            "num_classes": num_classes,
            "interpolation": method,
        }
        changes = {k: v for k, v in changes.items() if v is not None}
        if preset in cls.presets:
            return super().from_preset(preset, **changes, **overrides)
        if Path(preset).suffix == ".npz":
            weights = vit_google.read_npz(preset)
            arguments = vit_google.constructor_arguments(weights)
            size = arguments["image_shape"][:2]
            arguments["image_processor"] = ImageProcessor(size)
            model = cls.from_arrays(
                {**arguments, **overrides},
                lambda model: vit_google.to_vit(weights, model._sizes()),
            )
        else:
            model = super().from_preset(preset, **overrides)
        return model._fitted(image_shape, patch_size, num_classes, method)

    @classmethod
    def read_huggingface_config(cls, folder, weights):
        config = huggingface.read_json(folder / CONFIG_FILE)
        if "model_type" not in config:
            arguments = vit_timm.constructor_arguments(config, weights)
            pictures = config.get("pretrained_cfg")
            processor = pictures and ImageProcessor.from_timm(pictures)
        else:
            arguments = names.constructor_arguments(config, weights)
            processor = cls._read_processor(folder)
        return {**arguments, "image_processor": processor}

    def from_huggingface_weights(self, weights):
        source = vit_timm if "pos_embed" in weights else names
        return source.to_vit(weights, self._sizes())

    def to_huggingface(self, folder: str | Path, labels=None) -> None:
        """Writes a checkpoint that the transformers library loads.

        As ViT, DeiT (with a distillation token) or DINOv2 (with
        `layer_scale`), with a head or as the bare model. Low-rank updates are
        merged into their kernels; `stochastic_depth` has no place in the
        first two.

        Args:
            folder: Gets `config.json`, `model.safetensors` and, of an
                `image_processor`, `preprocessor_config.json`, once all are
                written.
            labels: Names of the classes; `LABEL_0` and so on if None.

        Raises:
            ValueError: None of theirs can hold this model, or it is
                quantized, or `labels` has another length than there are
                classes.
        """
        if labels is not None and len(labels) != self.num_classes:
            raise ValueError(
                f"There must be a label for each of {self.num_classes} "
                f"classes. Received: {len(labels)} labels."
            )
        arguments = {name: getattr(self, name) for name in ARGUMENTS}
        config = names.huggingface_config(arguments, labels)
        sizes = self._sizes()
        paths = [entry.ours for entry in names.entries(sizes)]
        weights = names.from_vit(effective_weights(self, paths), sizes)
        with written_at_once(folder) as temporary:
            files = {CONFIG_FILE: config}
            if self.image_processor is not None:
                pictures = self.image_processor.to_huggingface()
                files[PROCESSOR_FILE] = pictures
            for name, values in files.items():
                text = json.dumps(values, indent=2) + "\n"
                (temporary / name).write_text(text, encoding="utf-8")
            write_safetensors(temporary / huggingface.WEIGHT_FILES[0], weights)

    def _sizes(self):
        sizes = {name: getattr(self, name) for name in ARGUMENTS}
        positions = self.get_layer("position_embedding").embeddings
        return {**sizes, "num_positions": positions.shape[0]}

    def features(
        self,
        blocks: int | Sequence[int] = -1,
        grid: bool = False,
        normalize: bool = False,
    ) -> keras.Model:
        """A model of what some blocks make of images.

        It shares this model's layers and weights.

        Args:
            blocks: Index of a block, from 0, or from the end if negative; or
                several of them.
            grid: Whether to leave out the prefix tokens and return patches as
                they lie in the image.
            normalize: Whether the last normalization is applied.

        Returns:
            A `keras.Model` from images to `(B, T, D)`, or to `(B, rows,
            columns, D)`; of several blocks to a dict of them, named as the
            blocks are: `"block_0"`.

        Raises:
            ValueError: There is no such block.
        """
        several = not isinstance(blocks, int)
        outputs = {}
        for block in blocks if several else [blocks]:
            index = self._index(block)
            x = self._states[index]
            if normalize:
                x = self.get_layer("norm")(x)
            if grid:
                x = ops.reshape(
                    x[:, self.num_prefix_tokens :],
                    (-1, *self.grid_shape, self.hidden_dim),
                )
            outputs[f"block_{index}"] = x
        if not several:
            (outputs,) = outputs.values()
        return keras.Model(self.inputs[0], outputs)

    def attention(self, blocks: Sequence[int] | None = None) -> keras.Model:
        """A model of what the heads of blocks read.

        It shares this model's layers and weights. Of the scores, row t tells
        what token t reads; prefix tokens come first, then patches row by row.

        Args:
            blocks: Indices of blocks; all of them if None.

        Returns:
            A `keras.Model` from images to a dict of scores `(B, N, T, T)`,
            named as the blocks are: `"block_0"`.

        Raises:
            ValueError: There is no such block.
        """
        scores = {}
        for block in range(self.num_layers) if blocks is None else blocks:
            index = self._index(block)
            x = self._states[index - 1] if index else self._embedded
            layer = self.get_layer(f"block_{index}")
            scores[layer.name] = Scores(layer)(x)
        return keras.Model(self.inputs[0], scores)

    def _index(self, block):
        if not -self.num_layers <= block < self.num_layers:
            raise ValueError(
                f"A block of this model is one of {self.num_layers}. Received: "
                f"{block}."
            )
        return block % self.num_layers

    def reset_head(self, num_classes: int) -> "ViT":
        """The same model with a new head, which begins at zero.

        Args:
            num_classes: Number of classes; 0 for features.

        Returns:
            A new model, uncompiled. All weights but the head's are copied.
        """
        return self._with_head(num_classes)

    def resize(
        self,
        image_shape: tuple[int, int, int] | None = None,
        patch_size: int | tuple[int, int] | None = None,
        method: str | None = None,
    ) -> "ViT":
        """The same model for images or patches of another size.

        Positions are resampled to the new grid of patches (Dosovitskiy et
        al., 2021, section 3.2), the tokens' own stay; the kernel of patches
        is resized so that a patch resized alike gives the same token (Beyer
        et al., 2023, section 3.4).

        Args:
            image_shape: `(height, width, channels)`; as it is if None.
            patch_size: P; as it is if None.
            method: Rule of the interpolation, `interpolation` if None; the
                new model's `interpolation` from then on.

        Returns:
            A new model, uncompiled.

        Raises:
            ValueError: Patches do not tile the image, or its channels change.
        """
        return self._resized(image_shape, patch_size, method)

    def _position_tables(self):
        own = self.num_prefix_tokens if self.prefix_positions else 0
        return {POSITIONS: (self.grid_shape, own)}

    def depth_of(self, name: str) -> int:
        """How deep a layer lies: 0 for embeddings, i + 1 for block i, one more
        than the last block's for what follows, and two more for heads.
        """
        if name.startswith("block_"):
            return int(name.removeprefix("block_")) + 1
        after = "norm", "attention_pooling", "representation", *HEADS
        return self.num_layers + 1 + (name in HEADS) if name in after else 0

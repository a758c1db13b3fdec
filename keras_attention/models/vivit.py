from collections.abc import Sequence
from pathlib import Path

import keras
from keras import layers, ops

from keras_attention.converters import huggingface, vivit_scenic
from keras_attention.converters import vivit as names
from keras_attention.data.image_processor import ImageProcessor
from keras_attention.layers.position_embedding import PositionEmbedding
from keras_attention.layers.prefix_tokens import PrefixTokens
from keras_attention.layers.space_time_encoder_block import (
    ORDERS,
    SpaceTimeEncoderBlock,
)
from keras_attention.layers.tubelet_embedding import TubeletEmbedding
from keras_attention.models.model import (
    CONFIG_FILE,
    assign_weights,
    effective_weights,
)
from keras_attention.models.vision import (
    POSITIONS,
    Encoder,
    Scores,
    VisionModel,
    pooled_tokens,
    shape_of,
)
from keras_attention.models.vit import ViT
from keras_attention.ops import checks, resampling
from keras_attention.ops.frames import inflate, uniform_frames

ARGUMENTS = (
    "video_shape",
    "tubelet_size",
    "variant",
    "num_layers",
    "num_temporal_layers",
    "hidden_dim",
    "num_heads",
    "intermediate_dim",
    "num_classes",
    "pooling",
    "sampled_frames",
    "order",
    "time_initializer",
    "representation_dim",
    "qkv_bias",
    "layer_scale",
    "stochastic_depth",
    "dropout",
    "attention_dropout",
    "activation",
    "layer_norm_epsilon",
    "interpolation",
    "position_stddev",
    "head_initializer",
    "recompute",
)
# What an image model's weights fix.
SHARED = (
    "num_layers",
    "hidden_dim",
    "num_heads",
    "intermediate_dim",
    "qkv_bias",
    "layer_scale",
)
VIDEO_AXES = "frames", "height", "width", "channels"
JOINT, ENCODER = "spatio_temporal", "factorized_encoder"
BLOCKS = {
    "factorized_self_attention": "self_attention",
    "factorized_dot_product": "dot_product",
}
VARIANTS = JOINT, ENCODER, *BLOCKS
TIMES = "temporal_position_embedding/embeddings"
TUBELETS = "tubelet_embedding/embedding/kernel"


def _sizes(hidden_dim, num_layers, num_heads, patch_size):
    return dict(
        tubelet_size=(2, patch_size, patch_size),
        num_layers=num_layers,
        hidden_dim=hidden_dim,
        num_heads=num_heads,
        intermediate_dim=4 * hidden_dim,
    )


PRESETS = {
    # Arnab et al., 2021, section 4.1: 400 classes, 32 frames of 224 x 224.
    "vivit_b_16x2": _sizes(768, 12, 12, 16),
    "vivit_l_16x2": _sizes(1024, 24, 16, 16),
    "vivit_h_14x2": _sizes(1280, 32, 16, 14),
    # Ours, for small clips on a CPU.
    "vivit_tiny": dict(
        video_shape=(16, 32, 32, 3),
        num_classes=10,
        num_temporal_layers=2,
        **_sizes(96, 4, 4, 8),
    ),
}


@keras.saving.register_keras_serializable(package="keras_attention")
class ViViT(VisionModel):
    """Classifies videos by attention over space and time.

    The video vision Transformer of Arnab et al. (2021), in its four variants
    (section 3.3). Tubelets, patches that go on for some frames, are embedded
    and learned positions added; pre-norm blocks follow, and a class token or
    the mean of all tokens is classified. T frames of S tokens each,

        spatio_temporal            each token reads all T S       (model 1)
        factorized_encoder         a ViT for each frame, then a   (model 2)
                                   Transformer over the T frames
        factorized_self_attention  in each block first S, then T  (model 3)
        factorized_dot_product     half of the heads reads S,     (model 4)
                                   half T

    `from_vit` starts any of them from the weights of an image model,
    `resize` and `reset_head` fit a trained one to other clips and classes.
    Train it with plain `compile` and `fit`.

    Args:
        video_shape: `(frames, height, width, channels)`; tubelets must tile
            it.
        tubelet_size: Frames, height and width of a tubelet; (1, P, P) embeds
            each frame as an image.
        variant: "spatio_temporal", "factorized_encoder",
            "factorized_self_attention" or "factorized_dot_product".
        num_layers: Blocks; of a factorized encoder those over space.
        num_temporal_layers: Blocks over time of a factorized encoder; 0
            averages over the frames instead.
        hidden_dim: Size of a token, D; a multiple of `num_heads`.
        num_heads: Heads of each attention; even for a factorized dot product.
        intermediate_dim: Size of the feed-forward's wider layer.
        num_classes: Number of classes; 0 for features, without a head; or a
            dict of the sizes of several label sets, such as `{"noun": 300,
            "verb": 97}`, which the model then returns logits for.
        pooling: What is classified: "token", a class token, or "average", the
            mean of all tokens, which is all that the last two variants have.
            None takes the token where there is one.
        sampled_frames: So many frames, evenly spaced, are looked at, the
            paper's uniform frame sampling (section 3.2); None for all.
        order: Of factorized self-attention alone: "space_time" or
            "time_space".
        time_initializer: Of factorized self-attention alone: initializer of
            the kernel behind its attention along time; "zeros" begins
            without, and learns. `None` is random.
        representation_dim: Size of a tanh layer before the head; None for
            none.
        qkv_bias: Whether queries, keys and values have biases.
        layer_scale: What the factors of what each part of a block adds begin
            with; None for none.
        stochastic_depth: Rate of the last block's; rises from 0 in the first.
        dropout: Share dropped of the embedded tubelets and in the blocks.
        attention_dropout: Share of the attention scores dropped.
        activation: Activation of the feed-forward layers.
        layer_norm_epsilon: Added to the variance in the normalizations.
        interpolation: The rule by which `resize` resamples positions; see
            `PositionEmbedding`.
        position_stddev: Standard deviation that positions begin with.
        head_initializer: What the head begins with; the paper's zeros suit
            fine-tuning, "glorot_uniform" training from nothing.
        recompute: Whether a block's inner results are computed again for the
            gradient instead of being kept, as of `TransformerEncoderBlock`.
        image_processor: A `data.ImageProcessor` that makes of frames what the
            weights expect; kept with the model.
        dtype: Policy of all layers.
        **kwargs: `name` and `trainable` of `keras.Model`.

    Call arguments:
        video: `(B, frames, height, width, channels)`, scaled as the weights
            expect it, to [-1, 1] for the published ones.

    Returns:
        Logits `(B, num_classes)`, or features `(B, D)` if it is 0; a dict of
        logits for several label sets.

    Raises:
        ValueError: A size is not positive, tubelets do not tile the video, or
            options do not go together.

    Examples:
        >>> import numpy as np
        >>> from keras_attention.models import ViViT
        >>> model = ViViT.from_preset(
        ...     "vivit_tiny", variant="factorized_encoder", num_classes=7
        ... )
        >>> video = np.random.uniform(-1, 1, size=(2, 16, 32, 32, 3))
        >>> tuple(model(video).shape)
        (2, 7)

    Reference:
        [Arnab et al., 2021](https://arxiv.org/abs/2103.15691), section 3.
    """

    presets = PRESETS
    huggingface_types = names.MODEL_TYPES
    arguments = ARGUMENTS
    shape_argument = "video_shape"
    shape_axes = VIDEO_AXES
    patch_argument = "tubelet_size"
    patch_kernel = TUBELETS

    def __init__(
        self,
        video_shape: tuple[int, int, int, int] = (32, 224, 224, 3),
        tubelet_size: tuple[int, int, int] = (2, 16, 16),
        variant: str = JOINT,
        num_layers: int = 12,
        num_temporal_layers: int = 4,
        hidden_dim: int = 768,
        num_heads: int = 12,
        intermediate_dim: int = 3072,
        num_classes: int | dict[str, int] = 400,
        pooling: str | None = None,
        sampled_frames: int | None = None,
        order: str = "space_time",
        time_initializer: str | None = "zeros",
        representation_dim: int | None = None,
        qkv_bias: bool = True,
        layer_scale: float | None = None,
        stochastic_depth: float = 0.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation: str = "gelu_tanh",
        layer_norm_epsilon: float = 1e-6,
        interpolation: str = "bilinear_align_corners",
        position_stddev: float = 0.02,
        head_initializer: str = "zeros",
        recompute: bool = False,
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
            recompute,
        )
        checks.one_of(variant, "variant", VARIANTS)
        checks.one_of(order, "order", ORDERS)
        checks.positive_int(num_layers, "num_layers")
        checks.non_negative_int(num_temporal_layers, "num_temporal_layers")
        checks.positive(position_stddev, "position_stddev")
        checks.one_of(interpolation, "interpolation", resampling.INTERPOLATIONS)
        num_classes = class_numbers(num_classes)
        video_shape = shape_of(video_shape, "video_shape", VIDEO_AXES)
        by_blocks = variant in BLOCKS
        if variant != "factorized_self_attention" and (
            order != "space_time" or time_initializer != "zeros"
        ):
            raise ValueError(
                "`order` and `time_initializer` are for factorized "
                f"self-attention. Received: {order=}, {time_initializer=}, "
                f"{variant=}. Leave them out."
            )
        if pooling is None:
            pooling = "average" if by_blocks else "token"
        checks.one_of(pooling, "pooling", ("token", "average"))
        if by_blocks and pooling == "token":
            raise ValueError(
                f"{variant} has no class token, which would lie in no frame. "
                'Received: pooling="token". Use pooling="average".'
            )
        if not qkv_bias and by_blocks:
            raise ValueError(
                f"Attention of {variant} has biases. Received: qkv_bias=False."
            )
        frames = video_shape[0]
        if sampled_frames is not None:
            checks.positive_int(sampled_frames, "sampled_frames")
            if sampled_frames > frames:
                raise ValueError(
                    "`sampled_frames` must be at most the frames of a clip. "
                    f"Received: {sampled_frames=} of {frames}."
                )
            frames = sampled_frames

        # === Layers ===
        tubelets = TubeletEmbedding(
            tubelet_size, hidden_dim, dtype=dtype, name="tubelet_embedding"
        )
        grid = tubelets.grid_size(frames, *video_shape[1:3])
        times, *places = grid
        num_places = places[0] * places[1]
        num_prefix_tokens = int(pooling == "token")

        def embed(x, grid, prefix=""):
            """Class token, positions and dropout of a row of blocks."""
            if num_prefix_tokens:
                x = PrefixTokens(
                    num_prefix_tokens,
                    dtype=dtype,
                    name=f"{prefix}prefix_tokens",
                )(x)
            positions = PositionEmbedding(
                initializer=keras.initializers.RandomNormal(
                    stddev=position_stddev
                ),
                grid_shape=grid,
                num_prefix_tokens=num_prefix_tokens,
                interpolation=interpolation,
                dtype=dtype,
                name=f"{prefix}position_embedding",
            )
            x = layers.Add(dtype=dtype, name=f"{prefix}add_positions")(
                [x, positions(x, grid=grid)]
            )
            return layers.Dropout(
                dropout, dtype=dtype, name=f"{prefix}dropout"
            )(x)

        def make_block(index):
            if not by_blocks:
                return encoder.block(f"block_{index}", index, num_layers)
            return SpaceTimeEncoderBlock(
                num_heads=num_heads,
                factorization=BLOCKS[variant],
                order=order,
                time_initializer=time_initializer,
                attention_initializer=encoder.attention_initializer(),
                attention_dropout=attention_dropout,
                stochastic_depth=encoder.depth_rate(index, num_layers),
                name=f"block_{index}",
                **encoder.options,
            )

        inputs, states = {}, {}  # of each block, and what it makes of them

        def encode(x, blocks):
            for block in blocks:
                inputs[block.name] = x
                x = states[block.name] = block(x)
            return x

        # === Functional graph ===
        video = keras.Input(video_shape, name="video")
        x = video
        if sampled_frames is not None:
            x = ops.take(
                x, uniform_frames(video_shape[0], sampled_frames), axis=1
            )
        x = tubelets(x)  # (B, T S, D)
        blocks = [make_block(index) for index in range(num_layers)]
        if variant == ENCODER:
            x = ops.reshape(x, (-1, num_places, hidden_dim))  # (B T, S, D)
            x = encode(embed(x, tuple(places)), blocks)
            (x,) = pooled_tokens(
                encoder.norm("norm")(x), pooling, num_prefix_tokens
            )
            x = ops.reshape(x, (-1, times, hidden_dim))  # (B, T, D)
            if num_temporal_layers:
                x = embed(x, (times,), "temporal_")
                blocks = [
                    encoder.block(f"temporal_block_{i}", i, num_temporal_layers)
                    for i in range(num_temporal_layers)
                ]
                x = encoder.norm("temporal_norm")(encode(x, blocks))
                (x,) = pooled_tokens(x, pooling, num_prefix_tokens)
            else:
                x = ops.mean(x, axis=1)
        else:
            x = embed(x, grid)
            if by_blocks:
                x = ops.reshape(x, (-1, times, num_places, hidden_dim))
            x = encode(x, blocks)
            if by_blocks:
                x = ops.reshape(x, (-1, times * num_places, hidden_dim))
            (x,) = pooled_tokens(
                encoder.norm("norm")(x), pooling, num_prefix_tokens
            )
        if representation_dim is not None:
            x = layers.Dense(
                representation_dim, "tanh", dtype=dtype, name="representation"
            )(x)
        outputs = x
        if num_classes:
            several = isinstance(num_classes, dict)
            sizes = num_classes if several else {"": num_classes}
            outputs = layers.Dense(
                sum(sizes.values()),
                kernel_initializer=head_initializer,
                dtype=dtype,
                name="head",
            )(x)
            if several:
                parts, end = {}, 0
                for name, size in sizes.items():
                    parts[name] = outputs[:, end : end + size]
                    end += size
                outputs = parts
        super().__init__(inputs=video, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.video_shape = video_shape
        self.tubelet_size = tubelets.tubelet_size
        self.variant = variant
        self.num_layers = num_layers
        self.num_temporal_layers = num_temporal_layers
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.num_classes = num_classes
        self.pooling = pooling
        self.sampled_frames = sampled_frames
        self.order = order
        self.time_initializer = time_initializer
        self.representation_dim = representation_dim
        self.qkv_bias = qkv_bias
        self.layer_scale = layer_scale
        self.stochastic_depth = stochastic_depth
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation = activation
        self.layer_norm_epsilon = layer_norm_epsilon
        self.interpolation = interpolation
        self.position_stddev = position_stddev
        self.head_initializer = head_initializer
        self.recompute = recompute
        self.image_processor = image_processor
        self.grid_shape = grid
        self.num_prefix_tokens = num_prefix_tokens
        self._inputs_of, self._states = inputs, states

    @classmethod
    def from_preset(
        cls,
        preset: str | Path,
        video_shape: tuple[int, int, int, int] | None = None,
        tubelet_size: tuple[int, int, int] | None = None,
        num_classes: int | dict[str, int] | None = None,
        method: str | None = None,
        **overrides,
    ) -> "ViViT":
        """Makes a model of a published size, or reads one that was saved.

        Args:
            preset: A name in `presets` (sizes, random weights); a folder
                written by `save_to_preset`, or one with a checkpoint of
                Hugging Face's; `hf://user/repo`, either of them on the
                Hugging Face hub; or a checkpoint file of scenic's, the
                paper's own code, whose clips are taken for squares: of 224 x
                224 pixels where space and time share positions, and for 32
                frames where there is nothing over time.
            video_shape: Another shape of clips than the weights were made
                for: positions are resampled, as by `resize`.
            tubelet_size: Another size of tubelets, as by `resize`.
            num_classes: Other classes: the head begins anew, as by
                `reset_head`. A dict of as many classes as a file of scenic's
                has names its label sets, in the order in which they lie
                there.
            method: Rule by which positions are resampled; that of the
                weights' source if None.
            **overrides: Constructor arguments that replace the preset's.
                With weights, only those that leave them as they are;
                `variant` for a file of scenic's without a class token, which
                does not tell the first variant from the last.

        Returns:
            The model.

        Raises:
            ValueError: `preset` is none of them, or its files do not fit
                together; tubelets do not tile the video.
        """
        changes = {
            "video_shape": video_shape,
            "tubelet_size": tubelet_size,
            "num_classes": num_classes,
            "interpolation": method,
        }
        changes = {k: v for k, v in changes.items() if v is not None}
        if preset in cls.presets:
            return super().from_preset(preset, **changes, **overrides)
        if Path(preset).is_file():
            weights = vivit_scenic.read_msgpack(preset)
            arguments = vivit_scenic.constructor_arguments(
                weights, overrides.get("variant")
            )
            if isinstance(num_classes, dict):
                # One head in the file; how its classes are split is not.
                class_numbers(num_classes)
                number = sum(num_classes.values())
                if number == arguments["num_classes"]:
                    arguments["num_classes"] = num_classes
            model = cls.from_arrays(
                {
                    **arguments,
                    # As the paper tests: a crop of 224 out of 256.
                    "image_processor": ImageProcessor(
                        round(arguments["video_shape"][1] * 256 / 224),
                        arguments["video_shape"][1:3],
                    ),
                    **overrides,
                },
                lambda model: vivit_scenic.to_vivit(weights, model._sizes()),
            )
        else:
            model = super().from_preset(preset, **overrides)
        return model._fitted(video_shape, tubelet_size, num_classes, method)

    @classmethod
    def from_vit(
        cls,
        vit: ViT,
        frames: int = 32,
        tubelet_frames: int = 2,
        variant: str = JOINT,
        num_classes: int | dict[str, int] = 400,
        method: str = "central_frame",
        **overrides,
    ) -> "ViViT":
        """Makes a model that starts from one of images (section 3.4).

        Patches become tubelets, positions are the same in every frame, blocks
        and normalization are taken over. What an image model lacks begins
        anew: the head, the Transformer over time of a factorized encoder and
        the attention along time of factorized self-attention, which adds
        nothing at first.

        Args:
            vit: The image model; `ViT.resize` changes its size before.
            frames: Frames of a clip.
            tubelet_frames: Frames of a tubelet.
            variant: As of the constructor.
            num_classes: As of the constructor.
            method: "central_frame", which the paper found best: the middle
                frame of a tubelet gets the kernel of patches, the others
                zeros; or "average": each gets an equal part of it (filter
                inflation).
            **overrides: Other arguments of the constructor.

        Returns:
            The model, uncompiled.

        Raises:
            ValueError: The image model has what a video model cannot have, or
                an argument is not as above.
        """
        if not isinstance(vit, ViT):
            raise ValueError(
                f"`vit` must be a ViT. Received: {type(vit).__name__}."
            )
        if vit.distillation_token or vit.norm_after_pooling:
            raise ValueError(
                "A video model has no distillation token, and normalizes "
                "before it pools. Received: a ViT with distillation_token="
                f"{vit.distillation_token}, norm_after_pooling="
                f"{vit.norm_after_pooling}. Take another one."
            )
        fixed = {*SHARED, "video_shape", "tubelet_size"} & {*overrides}
        if fixed:
            raise ValueError(
                "The overrides must leave the image model's sizes. Received: "
                f"{sorted(fixed)}. Change them by `ViT.resize`, `frames` and "
                "`tubelet_frames`, or after."
            )
        pooling = "token" if vit.class_token else "average"
        if variant in BLOCKS:
            pooling = "average"
        if not isinstance(
            vit.dtype_policy, keras.dtype_policies.DTypePolicyMap
        ):
            overrides = {"dtype": vit.dtype_policy, **overrides}
        arguments = {
            name: getattr(vit, name)
            for name in (
                *SHARED,
                "activation",
                "layer_norm_epsilon",
                "interpolation",
                "image_processor",
            )
        }
        model = cls(
            **{
                **arguments,
                "video_shape": (frames, *vit.image_shape),
                "tubelet_size": (tubelet_frames, *vit.patch_size),
                "variant": variant,
                "num_classes": num_classes,
                "pooling": pooling,
                **overrides,
            }
        )
        ours = {variable.path: variable for variable in model.weights}
        theirs = effective_weights(
            vit,
            [
                variable.path
                for variable in vit.weights
                if variable.path.partition("/")[0] not in vit_heads(vit)
            ],
        )
        patches = theirs.pop("patch_embedding/embedding/kernel")
        arrays = {
            TUBELETS: ops.convert_to_numpy(
                ops.reshape(
                    inflate(patches, tubelet_frames, method),
                    ours[TUBELETS].shape,
                )
            ),
            "tubelet_embedding/embedding/bias": theirs.pop(
                "patch_embedding/embedding/bias"
            ),
        }
        table = theirs.pop(POSITIONS)
        own = vit.num_prefix_tokens if vit.prefix_positions else 0
        prefix, table = table[:own], table[own:]
        if model.num_prefix_tokens and not own:
            # A token without a position: one that adds nothing.
            prefix = 0 * table[: model.num_prefix_tokens]
        if not model.num_prefix_tokens:
            prefix, _ = table[:0], theirs.pop("prefix_tokens/tokens", None)
        grid = model.grid_shape[1:] if variant == ENCODER else model.grid_shape
        arrays[POSITIONS] = ops.convert_to_numpy(
            ops.concatenate(
                [
                    prefix,
                    resampling.resample_positions(
                        table, vit.grid_shape, grid, model.interpolation
                    ),
                ]
            )
        )
        assign_weights(model, {**theirs, **arrays})
        return model

    @classmethod
    def read_huggingface_config(cls, folder, weights):
        config = huggingface.read_json(folder / CONFIG_FILE)
        arguments = names.constructor_arguments(config, weights)
        return {**arguments, "image_processor": cls._read_processor(folder)}

    def from_huggingface_weights(self, weights):
        return names.to_vivit(weights, self._sizes())

    def _sizes(self):
        return {name: getattr(self, name) for name in ARGUMENTS} | {
            "grid_shape": self.grid_shape
        }

    @property
    def num_blocks(self):
        """Blocks in a row, over space and then over time."""
        own = self.variant == ENCODER
        return self.num_layers + own * self.num_temporal_layers

    def features(self, blocks: Sequence[str] | None = None) -> keras.Model:
        """A model of what some blocks make of videos.

        It shares this model's layers and weights.

        Args:
            blocks: Names of blocks, such as "block_0" or, over time,
                "temporal_block_0"; all of them if None.

        Returns:
            A `keras.Model` from videos to a dict of states, named as the
            blocks are. For T frames of S tokens, a class token first,

            - spatio-temporal: `(B, T S, D)`;
            - factorized encoder: `(B, T, S, D)`, over time `(B, T, D)`;
            - the other variants: `(B, T, S, D)`.

        Raises:
            ValueError: There is no such block.
        """
        states = {
            name: self._frames_apart(name, self._states[name])
            for name in self._names(blocks)
        }
        return keras.Model(self.inputs[0], states)

    def _names(self, blocks):
        blocks = list(self._states if blocks is None else blocks)
        unknown = [name for name in blocks if name not in self._states]
        if unknown:
            raise ValueError(
                f"The blocks are {', '.join(self._states)}. Received: "
                f"{unknown[0]!r}."
            )
        return blocks

    def _frames_apart(self, name, x):
        """Of a factorized encoder, whose frames are in the batch."""
        if self.variant != ENCODER or name.startswith("temporal"):
            return x
        return ops.reshape(x, (-1, self.grid_shape[0], *x.shape[1:]))

    def attention(self, blocks: Sequence[str] | None = None) -> keras.Model:
        """A model of what the heads of blocks read.

        It shares this model's layers and weights.

        Args:
            blocks: Names of blocks, such as "block_0" or, over time,
                "temporal_block_0"; all of them if None.

        Returns:
            A `keras.Model` from videos to a dict of scores, named as the
            blocks are. Row t tells what token t reads; a class token comes
            first. For T frames of S tokens

            - spatio-temporal: `(B, N, T S, T S)`;
            - factorized encoder: `(B, T, N, S, S)`, over time `(B, N, T, T)`;
            - the other variants: two entries for a block, "block_0/space"
              `(B, T, N, S, S)` and "block_0/time" `(B, S, N, T, T)`.

        Raises:
            ValueError: There is no such block.
        """
        scores = {}
        for name in self._names(blocks):
            found = Scores(self.get_layer(name))(self._inputs_of[name])
            if isinstance(found, dict):
                scores |= {f"{name}/{x}": found[x] for x in ("space", "time")}
            else:
                scores[name] = self._frames_apart(name, found)
        return keras.Model(self.inputs[0], scores)

    def reset_head(self, num_classes: int | dict[str, int]) -> "ViViT":
        """The same model with a new head, which begins at zero.

        Args:
            num_classes: As of the constructor.

        Returns:
            A new model, uncompiled. All weights but the head's are copied.
        """
        return self._with_head(num_classes)

    def resize(
        self,
        video_shape: tuple[int, int, int, int] | None = None,
        tubelet_size: tuple[int, int, int] | None = None,
        method: str | None = None,
    ) -> "ViViT":
        """The same model for clips or tubelets of another size.

        Positions are resampled to the new grid of tubelets, along time as
        well; a class token's own stays. The kernel of tubelets is resized so
        that one resized alike gives the same token (Beyer et al., 2023,
        section 3.4, along each axis).

        Args:
            video_shape: `(frames, height, width, channels)`; as it is if
                None.
            tubelet_size: As it is if None.
            method: Rule of the interpolation, `interpolation` if None; the
                new model's `interpolation` from then on.

        Returns:
            A new model, uncompiled.

        Raises:
            ValueError: Tubelets do not tile the video, or its channels
                change.
        """
        return self._resized(video_shape, tubelet_size, method)

    def _position_tables(self):
        own = self.num_prefix_tokens
        if self.variant != ENCODER:
            return {POSITIONS: (self.grid_shape, own)}
        tables = {POSITIONS: (self.grid_shape[1:], own)}
        if self.num_temporal_layers:
            tables[TIMES] = (self.grid_shape[:1], own)
        return tables

    def depth_of(self, name: str) -> int:
        """How deep a layer lies: 0 for embeddings of tubelets, i + 1 for block
        i, those over time after those over space, one more than the last
        block's for what follows, and two more for the head.
        """
        first, _, index = name.rpartition("_")
        if first in ("block", "temporal_block"):
            before = self.num_layers if first == "temporal_block" else 0
            return before + int(index) + 1
        if name.startswith("temporal_") and name != "temporal_norm":
            return self.num_layers + 1  # with the first block over time
        before_time = self.num_blocks > self.num_layers
        if name == "norm" and before_time:
            return self.num_layers
        after = "norm", "temporal_norm", "representation", "head"
        return self.num_blocks + 1 + (name == "head") if name in after else 0


def class_numbers(num_classes):
    """A number of classes, or of several label sets, checked."""
    if isinstance(num_classes, dict):
        return checks.label_sets(num_classes, "num_classes")
    return checks.non_negative_int(num_classes, "num_classes")


def vit_heads(vit):
    """The layers of an image model behind its last normalization."""
    after = vit.depth_of("norm")
    return [
        layer.name
        for layer in vit.layers
        if layer.name != "norm" and vit.depth_of(layer.name) >= after
    ]


def joint_probabilities(logits: dict):
    """Probabilities of all combinations of several label sets.

    The label sets are taken as independent, as the paper scores actions by
    verb and noun (Arnab et al., 2021, section 4.1):

        p[a, b] = softmax(logits_a)[a] softmax(logits_b)[b]

    Args:
        logits: Two or more label sets by name, `(B, n)` each, as a `ViViT` of
            several returns them.

    Returns:
        `(B, n_a, n_b, ...)` in the order of the dict.
    """
    shares = [
        ops.softmax(ops.cast(each, "float32"), axis=-1)
        for each in logits.values()
    ]
    joint = shares[0]
    for share in shares[1:]:
        axes = (1,) * (len(joint.shape) - 1)
        share = ops.reshape(share, (-1, *axes, share.shape[-1]))
        joint = ops.expand_dims(joint, -1) * share
    return joint

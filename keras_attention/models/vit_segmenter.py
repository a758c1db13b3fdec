import inspect
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_attention.data.image_processor import ImageProcessor
from keras_attention.data.picture_files import read_picture
from keras_attention.layers.prefix_tokens import PrefixTokens
from keras_attention.layers.transformer_encoder_block import (
    TransformerEncoderBlock,
)
from keras_attention.models import hub
from keras_attention.models.layerwise import LayerwiseModel
from keras_attention.models.model import (
    CONFIG_FILE,
    assign_weights,
    effective_weights,
    is_huggingface,
)
from keras_attention.models.vit import PRESETS, ViT
from keras_attention.ops import checks, resampling

# What has an entry for each class, and begins anew with other classes.
OF_CLASSES = "head", "class_tokens", "mask_norm"
EPSILON = 1e-5
VALUES_AT_ONCE = 2**24  # of logits at a picture's size, in `class_map`


@keras.saving.register_keras_serializable(package="keras_attention")
class ViTSegmenter(LayerwiseModel):
    """Says of each pixel of an image which class it belongs to.

    Segmenter (Strudel et al., 2021, sections 3.1 and 3.2): a ViT encodes the
    patches, a decoder makes of each a logit for each class, and the logits of
    the grid of patches are interpolated to the pixels. The linear decoder
    looks at a patch alone,

        masks = W z                              z of patches, from the encoder

    the mask transformer lets a learned token for each class read the patches,
    and the patches read them, and compares the two by their angle:

        [c, x] = norm(blocks([class tokens, P z]))
        masks  = norm(normalize(x U) normalize(c V)^T)

    Train it with plain `compile` and `fit`, and with `ignore_class` for pixels
    that nobody labelled; `segment` takes pictures of any size.

    Args:
        encoder: A `ViT` without a head. Its layers and weights become this
            model's own: they are shared, not copied.
        num_classes: Number of classes, K, the background among them.
        decoder: "mask_transformer" or "linear". With two classes take the
            second: the first's normalization over the classes leaves little
            but which of two is the larger.
        num_decoder_layers: Blocks of the mask transformer, which have the
            encoder's size and number of heads.
        decoder_dropout: Share dropped in these blocks, of attention scores
            too.
        decoder_stochastic_depth: Rate of the last of these blocks; rises from
            0 in the first.
        dtype: Policy of the decoder; the encoder's if None.
        **kwargs: `name` and `trainable` of `keras.Model`.

    Call arguments:
        images: `(B, height, width, channels)`, scaled as the encoder's weights
            expect them: what `image_processor` returns.

    Returns:
        Logits `(B, height, width, num_classes)`.

    Raises:
        ValueError: `encoder` is not a ViT or has a head, `decoder` is unknown,
            or a number is not what it must be.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_attention.models import ViTSegmenter
        >>> model = ViTSegmenter.from_preset("vit_tiny", num_classes=4)
        >>> images = np.random.uniform(-1, 1, size=(2, 32, 32, 3))
        >>> tuple(model(images).shape)
        (2, 32, 32, 4)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(
        ...     from_logits=True, ignore_class=255
        ... )
        >>> iou = keras.metrics.MeanIoU(
        ...     num_classes=4, ignore_class=255, sparse_y_pred=False
        ... )
        >>> model.compile("adamw", loss, metrics=[iou])

    Reference:
        [Strudel et al., 2021](https://arxiv.org/abs/2105.05633), sections 3.1
        and 3.2.
    """

    presets = PRESETS

    def __init__(
        self,
        encoder: ViT,
        num_classes: int,
        decoder: str = "mask_transformer",
        num_decoder_layers: int = 2,
        decoder_dropout: float = 0.1,
        decoder_stochastic_depth: float = 0.0,
        dtype=None,
        **kwargs,
    ):
        if not isinstance(encoder, ViT) or encoder.num_classes:
            raise ValueError(
                "`encoder` must be a ViT without a head. Received: "
                f"{type(encoder).__name__} with num_classes="
                f"{getattr(encoder, 'num_classes', None)}. Make one with "
                "`ViT.from_preset(..., num_classes=0)`, or of another with "
                "`reset_head(0)`."
            )
        checks.positive_int(num_classes, "num_classes")
        checks.one_of(decoder, "decoder", tuple(DECODERS))
        checks.positive_int(num_decoder_layers, "num_decoder_layers")
        checks.rate(decoder_dropout, "decoder_dropout")
        checks.rate(decoder_stochastic_depth, "decoder_stochastic_depth")
        if dtype is None:
            dtype = encoder.dtype_policy

        # === Functional graph ===
        tokens = encoder.features(normalize=True).outputs[0]
        masks = DECODERS[decoder](
            tokens[:, encoder.num_prefix_tokens :],
            num_classes,
            num_heads=encoder.num_heads,
            num_layers=num_decoder_layers,
            dropout=decoder_dropout,
            stochastic_depth=decoder_stochastic_depth,
            dtype=dtype,
        )  # (B, T, K)
        grid = ops.reshape(masks, (-1, *encoder.grid_shape, num_classes))
        logits = resampling.resample_grid(
            grid, encoder.image_shape[:2], "bilinear"
        )  # (B, height, width, K)
        super().__init__(
            inputs=encoder.inputs[0], outputs=logits, dtype=dtype, **kwargs
        )

        # === Config ===
        # Not tracked by Keras: what the encoder has beyond this graph, to pool
        # its tokens, is not among the weights to be trained.
        object.__setattr__(self, "encoder", encoder)
        self.num_classes = num_classes
        self.decoder = decoder
        self.num_decoder_layers = num_decoder_layers
        self.decoder_dropout = decoder_dropout
        self.decoder_stochastic_depth = decoder_stochastic_depth
        self.num_layers = encoder.num_layers
        self.image_shape = encoder.image_shape

    @property
    def image_processor(self) -> ImageProcessor | None:
        """The encoder's, but that the whole of a picture is resized, whatever
        its proportions.
        """
        processor = self.encoder.image_processor
        if processor is None:
            return None
        whole = {"size": self.image_shape[:2], "crop_size": None}
        return ImageProcessor(**{**processor.get_config(), **whole})

    @image_processor.setter
    def image_processor(self, processor: ImageProcessor | None):
        self.encoder.image_processor = processor

    @classmethod
    def from_preset(
        cls,
        preset: str | Path,
        image_shape: tuple[int, int, int] | None = None,
        patch_size: int | tuple[int, int] | None = None,
        num_classes: int | None = None,
        method: str | None = None,
        **overrides,
    ) -> "ViTSegmenter":
        """Makes a model on a ViT, or reads one that was saved.

        Args:
            preset: What `ViT.from_preset` takes: a name in `presets`, a
                folder, a .npz file or `hf://user/repo` with the weights of an
                encoder; or a folder or repository with what the segmenter's
                own `save_to_preset` wrote.
            image_shape: Another shape of images, as by `resize`.
            patch_size: Another size of patches, as by `resize`.
            num_classes: Number of classes. Of a saved segmenter with another
                number, what has an entry for each class begins anew, as by
                `reset_head`.
            method: Rule by which positions are resampled; that of the
                weights' source if None.
            **overrides: Arguments of this class, and of `ViT` for the
                encoder.

        Returns:
            The model.

        Raises:
            ValueError: `preset` is none of them, its files do not fit
                together, patches do not tile the image, or there is no
                number of classes.
        """
        if str(preset).startswith(hub.PREFIX):
            preset = hub.download(str(preset), ViT.choose_files)
        own, of_encoder = split_arguments(cls, overrides)
        sizes: dict[str, Any] = dict(
            image_shape=image_shape, patch_size=patch_size, method=method
        )
        if holds(preset, cls):
            model = cls._from_folder(Path(preset), own, of_encoder)
            if num_classes not in (None, model.num_classes):
                model = model.reset_head(num_classes)
            if any(size is not None for size in sizes.values()):
                model = model.resize(**sizes)
            return model
        if num_classes is None:
            raise ValueError(
                "`num_classes` must be given, since the weights of an encoder "
                f"know of none. Received: preset={str(preset)!r}, "
                "num_classes=None. Pass the number of your classes."
            )
        encoder = ViT.from_preset(preset, num_classes=0, **sizes, **of_encoder)
        return cls(encoder, num_classes, **own)

    @classmethod
    def _from_folder(cls, folder, own, of_encoder):
        encoder = {**cls.read_preset_config(folder)["encoder"], **of_encoder}
        return super().from_preset(folder, encoder=encoder, **own)

    def segment(self, pictures, batch_size: int = 8) -> list[np.ndarray]:
        """The class of each pixel of pictures of any size.

        Each picture is resized as a whole to the size of the model's images
        and scaled by `image_processor`; the logits are interpolated back to
        the picture's own size before the largest is taken.

        Args:
            pictures: A path, a Pillow image or an array of unsigned bytes,
                `(height, width, 3)` or `(height, width)`; or several.
            batch_size: How many pictures the model sees at once.

        Returns:
            For each picture its classes, int32 `(height, width)`.

        Raises:
            ValueError: The model has no `image_processor`, or something is
                not a picture.
        """
        checks.positive_int(batch_size, "batch_size")
        if self.image_processor is None:
            raise ValueError(
                "To segment pictures the model must have an "
                "`image_processor`, that scales them as its weights expect. "
                "Received: None. Set `model.image_processor` to a "
                "`data.ImageProcessor`, or pass one to `from_preset`."
            )
        several = isinstance(pictures, (list, tuple))
        several = several or getattr(pictures, "ndim", 0) == 4
        pictures = list(pictures) if several else [pictures]
        maps = []
        for start in range(0, len(pictures), batch_size):
            batch = [
                read_picture(x) for x in pictures[start : start + batch_size]
            ]
            logits = self.predict_on_batch(self.image_processor(batch))
            maps += [
                class_map(
                    np.asarray(x, "float32"), picture.height, picture.width
                )
                for x, picture in zip(logits, batch, strict=True)
            ]
        return maps

    def reset_head(self, num_classes: int) -> "ViTSegmenter":
        """The same model for other classes.

        What has an entry for each class begins anew: the linear decoder, or
        the mask transformer's class tokens and last normalization.

        Args:
            num_classes: Number of classes.

        Returns:
            A new model, uncompiled. All other weights are copied.
        """
        return self._changed(self.encoder.resize(), num_classes, OF_CLASSES)

    def resize(
        self,
        image_shape: tuple[int, int, int] | None = None,
        patch_size: int | tuple[int, int] | None = None,
        method: str | None = None,
    ) -> "ViTSegmenter":
        """The same model for images or patches of another size.

        The encoder is resized as `ViT.resize` does it; the decoder knows
        nothing of sizes.

        Args:
            image_shape: `(height, width, channels)`; as it is if None.
            patch_size: P; as it is if None.
            method: Rule by which positions are resampled; the encoder's if
                None.

        Returns:
            A new model, uncompiled, with copies of the weights.

        Raises:
            ValueError: Patches do not tile the image, or its channels change.
        """
        encoder = self.encoder.resize(image_shape, patch_size, method)
        return self._changed(encoder, self.num_classes)

    def _changed(self, encoder, num_classes, without=()):
        """This model on another encoder, with its decoder's weights."""
        arguments = {name: getattr(self, name) for name in ARGUMENTS}
        model = type(self)(
            **{**arguments, "encoder": encoder, "num_classes": num_classes},
            name=self.name,
            trainable=self.trainable,
            dtype=self.dtype_policy,
        )
        paths = [
            weight.path
            for layer in model.layers
            if model._decodes(layer.name) and layer.name not in without
            for weight in layer.weights
        ]
        assign_weights(model, effective_weights(self, paths))
        return model

    def _decodes(self, name):
        """Whether a layer is behind the encoder."""
        return name not in {layer.name for layer in self.encoder.layers}

    def depth_of(self, name: str) -> int:
        """How deep a layer lies: 0 for embeddings, i + 1 for block i of the
        encoder, one more than the last block's for the normalization behind
        it and two more for the decoder.
        """
        if self._decodes(name):
            return self.num_layers + 2
        return self.encoder.depth_of(name)

    def get_config(self):
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in ARGUMENTS},
            "encoder": self.encoder.get_config(),
        }

    @classmethod
    def from_config(cls, config):
        encoder = config["encoder"]
        if isinstance(encoder, dict):
            encoder = ViT.from_config(encoder)
        return super().from_config({**config, "encoder": encoder})


def linear(tokens, num_classes, dtype, **_):
    """A logit for each class from each token alone, `(B, T, K)`.

    Strudel et al., 2021, section 3.2.
    """
    return layers.Dense(
        num_classes, kernel_initializer=small(), dtype=dtype, name="head"
    )(tokens)


def mask_transformer(
    tokens, num_classes, num_heads, num_layers, dropout, stochastic_depth, dtype
):
    """How alike each token is to what each class's token read, `(B, T, K)`.

    Strudel et al., 2021, section 3.2 and equation 3.
    """
    if num_classes == 1:
        raise ValueError(
            "`num_classes` must be at least 2 for a mask transformer, which "
            "normalizes over the classes. Received: num_classes=1. Count the "
            'background as a class, or take decoder="linear".'
        )
    dim = tokens.shape[-1]

    def projection(name, **options):
        return layers.Dense(dim, dtype=dtype, name=name, **options)

    def norm(name):
        return layers.LayerNormalization(
            epsilon=EPSILON, dtype=dtype, name=name
        )

    def compared(x, name):
        # As the authors' code: no bias, and of a fixed deviation.
        project = projection(
            f"{name}_projection",
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=dim**-0.5
            ),
        )
        unit = layers.UnitNormalization(dtype=dtype, name=f"{name}_unit")
        return unit(project(x))

    x = projection("decoder_projection", kernel_initializer=small())(tokens)
    x = PrefixTokens(
        num_classes, initializer=small(), dtype=dtype, name="class_tokens"
    )(x)  # (B, K + T, D)
    for index in range(num_layers):
        x = TransformerEncoderBlock(
            4 * dim,
            num_heads,
            dropout=dropout,
            attention_dropout=dropout,
            intermediate_dropout=dropout,
            activation="gelu",
            layer_norm_epsilon=EPSILON,
            normalize_first=True,
            kernel_initializer=small(),
            stochastic_depth=stochastic_depth * index / max(1, num_layers - 1),
            dtype=dtype,
            name=f"decoder_block_{index}",
        )(x)
    x = norm("decoder_norm")(x)
    classes = compared(x[:, :num_classes], "class")  # (B, K, D)
    patches = compared(x[:, num_classes:], "patch")  # (B, T, D)
    masks = ops.matmul(patches, ops.swapaxes(classes, 1, 2))
    return norm("mask_norm")(masks)


DECODERS = {"mask_transformer": mask_transformer, "linear": linear}
ARGUMENTS = (
    "encoder",
    "num_classes",
    "decoder",
    "num_decoder_layers",
    "decoder_dropout",
    "decoder_stochastic_depth",
)


def small():
    """The authors' initializer of what has no other."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


def split_arguments(cls, arguments):
    """Those of a segmenter, and those of its encoder; a policy is both's."""
    own_names = {*inspect.signature(cls.__init__).parameters}
    own_names -= {"self", "encoder", "kwargs"}
    own_names |= {"name", "trainable"}
    own = {k: v for k, v in arguments.items() if k in own_names}
    rest = {k: v for k, v in arguments.items() if k not in own_names}
    if "dtype" in own:
        rest["dtype"] = own["dtype"]
    return own, rest


def holds(preset, cls):
    """Whether this is a folder with what `cls.save_to_preset` wrote."""
    folder = Path(preset)
    if not (folder / CONFIG_FILE).is_file() or is_huggingface(folder):
        return False
    try:
        saved = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(saved, dict) and saved.get("class_name") == cls.__name__


def class_map(logits, height, width):
    """The largest of logits `(h, w, K)` at another size, `(height, width)`.

    Interpolated bilinearly, as many rows at a time as memory allows.
    """
    top, bottom, down = taps(logits.shape[0], height)
    left, right, across = taps(logits.shape[1], width)
    down, across = down[:, None, None], across[:, None]
    step = max(1, VALUES_AT_ONCE // (width * logits.shape[2]))
    result = np.empty((height, width), "int32")
    for start in range(0, height, step):
        at = slice(start, start + step)
        rows = logits[top[at]] * (1 - down[at]) + logits[bottom[at]] * down[at]
        values = rows[:, left] * (1 - across) + rows[:, right] * across
        result[at] = values.argmax(-1)
    return result


def taps(old, new):
    """Between which two old entries each of the new ones is, and how far."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    places = places.clip(0, old - 1).astype("float32")
    first = np.floor(places).astype(int)
    return first, np.minimum(first + 1, old - 1), places - first

"""What makes features of pictures."""

import keras

from keras_attention.data import ImageProcessor
from keras_attention.models import ConvEncoder


def make_encoder(recipe):
    """The encoder of a recipe, and what makes of pictures what it takes.

    Args:
        recipe: A `Recipe` with an encoder.
    """
    size = recipe.image_size
    if recipe.encoder == "conv":
        # Nothing behind an SCA-CNN's network could tell it where things are.
        inside = recipe.coordinates and recipe.taps is not None
        encoder = ConvEncoder((size, size, 3), coordinates=inside)
        return encoder, ImageProcessor((size, size))
    name, _, layer = recipe.encoder.partition(":")
    encoder = application_encoder(name, layer, size, recipe.encoder_weights)
    encoder.trainable = recipe.train_encoder
    # Values from 0 to 255: the encoder scales them as its weights expect.
    scale = dict(scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    if recipe.dataset != "named":  # boxes are of the whole picture
        return encoder, ImageProcessor((size, size), **scale)
    # As the papers: crops of 224 pixels out of 256.
    processor = ImageProcessor(round(size * 256 / 224), (size, size), **scale)
    return encoder, processor


def application_encoder(name, layer, size, weights):
    """A layer of a network of `keras.applications`, with its own scaling.

    Args:
        name: Of the network, such as "VGG19".
        layer: Name of a layer whose output is a grid.
        size: Height and width of the pictures.
        weights: "imagenet", a file or None.

    Returns:
        A model from pictures, values from 0 to 255, to a grid of features.
    """
    # Each network is found beside the scaling of its weights.
    modules = [
        module
        for module in vars(keras.applications).values()
        if hasattr(module, name) and hasattr(module, "preprocess_input")
    ]
    if not modules:
        raise ValueError(
            "`encoder` must name a network of keras.applications. Received: "
            f"encoder={name}:{layer}. Use for example VGG19:block5_conv4."
        )
    images = keras.Input((size, size, 3), name="images")
    # One graph, in which an SCA-CNN finds its taps.
    network = read_network(
        getattr(modules[0], name),
        include_top=False,
        weights=weights,
        input_tensor=modules[0].preprocess_input(images),
    )
    names = [x.name for x in network.layers if len(x.output.shape) == 4]
    if layer not in names:
        raise ValueError(
            "`encoder` must name a layer whose output is a grid. Received: "
            f"encoder={name}:{layer}. The last ones are "
            f"{', '.join(names[-5:])}."
        )
    features = network.get_layer(layer).output
    return keras.Model(images, features, name="encoder")


def read_network(network, weights, **options):
    """A network with its weights, or how to come by them."""
    try:
        return network(weights=weights, **options)
    except Exception as error:  # a download may fail in any way
        if weights != "imagenet" or isinstance(error, ValueError):
            raise
        raise ValueError(
            "Weights of keras.applications are downloaded once. Received: "
            f"encoder_weights=imagenet ({error}). Bring the file, and add "
            "--set encoder_weights=FILE, or take encoder=conv."
        ) from None

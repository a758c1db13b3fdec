import keras
import numpy as np
from keras import ops

from keras_attention.ops import checks
from keras_attention.ops.softmax import wide_dtype


class TappedBackbone:
    """A network cut open at the layers whose maps a decoder weighs.

    `bottom` is run once per image. It makes the tensors that cross the cut:
    the map of the first tap, and what else the layers behind it read, such as
    the input of a residual connection around it. `run` is the rest, which
    every word begins with its own maps. All is run as in inference: batch
    normalizations keep their moving statistics.

    Args:
        backbone: A functional `keras.Model` from images to a grid.
        taps: Names of its layers, in the order of the flow.
    """

    def __init__(self, backbone, taps):
        self.names = check_names(taps)
        nodes = nodes_of(backbone)
        tapped = [tapped_node(nodes, name) for name in self.names]
        depths = depths_of(nodes, tapped)
        self.maps = [node.outputs[0] for node in tapped]
        self.output = backbone.outputs[0]
        # What comes after the first tap, whose own layer is before the cut.
        self.nodes = [
            node
            for node in nodes
            if depths[id(node.outputs[0])] and node is not tapped[0]
        ]
        made = {id(x) for node in self.nodes for x in node.outputs}
        read = [x for node in self.nodes for x in node.input_tensors]
        crossing = [self.maps[0], *(x for x in read if id(x) not in made)]
        self.crossing = list({id(x): x for x in crossing}.values())
        for x in self.crossing:
            check_size(x)
        self.bottom = Bottom(keras.Model(backbone.inputs[0], self.crossing))
        layers = [node.operation for node in self.nodes]
        layers = [x for x in layers if isinstance(x, keras.layers.Layer)]
        self.layers = list(dict.fromkeys(layers))

    def unpack(self, packed):
        """The tensors that cross the cut, of what `Packed` made of them."""
        shapes = [x.shape[1:] for x in self.crossing]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes]).tolist()
        return [
            ops.reshape(packed[:, 0, start:end], (-1, *shape))
            for start, end, shape in zip([0, *ends], ends, shapes, strict=False)
        ]

    def run(self, tensors, weigh=lambda index, x: x):
        """The backbone's output, of the tensors that cross the cut.

        Args:
            tensors: As `bottom` makes them.
            weigh: `weigh(index, x)` returns what becomes of the map at a tap.
        """
        known = dict(zip(map(id, self.crossing), tensors, strict=True))
        indices = {id(x): index for index, x in enumerate(self.maps)}
        first = id(self.maps[0])
        known[first] = weigh(0, known[first])
        for node in self.nodes:
            args, kwargs = node.arguments.fill_in(known)
            if isinstance(node.operation, keras.layers.Layer):
                kwargs = {**kwargs, "training": False}
            made = keras.tree.flatten(node.operation(*args, **kwargs))
            for x, value in zip(map(id, node.outputs), made, strict=True):
                known[x] = weigh(indices[x], value) if x in indices else value
        return known[id(self.output)]


class Bottom(keras.layers.Layer):
    """Runs a network as in inference, also where the model is in training.

    Args:
        network: A `keras.Model` with a list of outputs.
        **kwargs: Passed to the layer.
    """

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.built = True

    def call(self, images):
        return keras.tree.flatten(self.network(images, training=False))

    def compute_output_spec(self, images):
        return keras.tree.flatten(self.network.compute_output_spec(images))


class Packed(keras.layers.Layer):
    """Lays tensors end to end, `(B, 1, N)`: a memory is one tensor.

    Call arguments:
        tensors: A list of `(B, ...)`, of known sizes but for B.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def call(self, tensors):
        rows = [
            ops.reshape(
                ops.cast(x, self.compute_dtype), (-1, 1, np.prod(x.shape[1:]))
            )
            for x in tensors
        ]
        return ops.concatenate(rows, axis=-1)

    def compute_output_spec(self, tensors):
        size = sum(int(np.prod(x.shape[1:])) for x in tensors)
        shape = (tensors[0].shape[0], 1, size)
        return keras.KerasTensor(shape, self.compute_dtype)


class Pooled(keras.layers.Layer):
    """What a backbone sees in an image of which nothing is weighed.

    Args:
        tapped: The `TappedBackbone`.
        **kwargs: Passed to the layer.

    Call arguments:
        packed: `(B, 1, N)`, as `Packed` makes it.

    Returns:
        `(B, C)`: see `pool`.
    """

    def __init__(self, tapped, **kwargs):
        super().__init__(**kwargs)
        self.tapped = tapped
        self.built = True

    def call(self, packed):
        output = self.tapped.run(self.tapped.unpack(packed))
        return ops.cast(pool(output), self.compute_dtype)

    def compute_output_shape(self, packed_shape):
        return (packed_shape[0], self.tapped.output.shape[-1])


def pool(grid):
    """The mean of a grid's places, of length 1: `(B, C)`, or zeros of zeros."""
    means = ops.mean(ops.cast(grid, wide_dtype(grid.dtype)), axis=(1, 2))
    squares = ops.sum(ops.square(means), axis=-1, keepdims=True)
    # The floor is under the root, whose gradient at 0 is infinite.
    return means * ops.rsqrt(ops.maximum(squares, 1e-8**2))


def check_names(taps):
    names = (taps,) if isinstance(taps, str) else tuple(taps)
    if not names or len(set(names)) < len(names):
        raise ValueError(
            "`taps` must name different layers of the backbone, one or more. "
            f"Received: taps={taps!r}."
        )
    return names


def nodes_of(backbone):
    """The calls of a functional model's layers, each after what it reads."""
    by_depth = getattr(backbone, "_nodes_by_depth", None)
    if by_depth is None:
        raise ValueError(
            "`backbone` must be a functional `keras.Model`: its layers are "
            "run one by one, so they must be known. Received: "
            f"backbone={backbone!r}. A `Sequential` becomes one by "
            "`keras.Model(backbone.inputs, backbone.outputs)`."
        )
    if len(backbone.inputs) != 1 or len(backbone.outputs) != 1:
        raise ValueError(
            "`backbone` must make one grid of one input, the images. "
            f"Received: a model with {len(backbone.inputs)} inputs and "
            f"{len(backbone.outputs)} outputs. Take a part of it, "
            "`keras.Model(images, grid)`."
        )
    check_grid(backbone.outputs[0], "The output of `backbone`")
    return [
        node
        for _, nodes in sorted(by_depth.items(), reverse=True)
        for node in nodes
    ]


def tapped_node(nodes, name):
    """The call of the layer with this name."""
    found = [node for node in nodes if node.operation.name == name]
    if not found:
        grids = [x.operation.name for x in nodes if is_grid(x.outputs)]
        raise ValueError(
            "`taps` must name layers of the backbone. Received: "
            f"{name!r}, which is not there. The last that make a grid are "
            f"{grids[-12:]}."
        )
    if len(found) > 1:
        raise ValueError(
            "A layer in `taps` must be called once in the backbone. Received: "
            f"{name!r}, which is called {len(found)} times. Tap a layer "
            "behind it."
        )
    check_grid(found[0].outputs, f"The output of the tapped layer {name!r}")
    return found[0]


def depths_of(nodes, tapped):
    """How many taps each tensor comes after, by its id."""
    depths = {}
    for node in nodes:
        depth = max((depths[id(x)] for x in node.input_tensors), default=0)
        if node in tapped:
            if depth != tapped.index(node):
                raise ValueError(
                    "Each of `taps` must come after the one before it, in "
                    "the order of the flow. Received: "
                    f"{[x.operation.name for x in tapped]}, of which "
                    f"{node.operation.name!r} comes after {depth}. Sort them, "
                    "and leave out those on parallel branches."
                )
            depth += 1
        depths.update(dict.fromkeys(map(id, node.outputs), depth))
    return depths


def is_grid(outputs):
    x = outputs[0] if isinstance(outputs, list) else outputs
    return len(keras.tree.flatten(outputs)) == 1 and len(x.shape) == 4


def check_grid(outputs, what):
    if not is_grid(outputs):
        shapes = [tuple(x.shape) for x in keras.tree.flatten(outputs)]
        raise ValueError(
            f"{what} must be a grid (height, width, features). Received: "
            f"shape {', '.join(map(str, shapes))}. Leave out the pooling and "
            "the head of a classifier (`include_top=False`), and tap layers "
            "before them."
        )


def check_size(x):
    if not checks.known(*x.shape[1:]):
        raise ValueError(
            "The sizes of the backbone's maps must be known. Received: a map "
            f"of shape {tuple(x.shape)}. Give the backbone an `input_shape`."
        )

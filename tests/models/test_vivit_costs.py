"""What the published sizes cost: weights, products and memory."""

import math
import re

import keras
import pytest
from keras import ops

from keras_attention.models import ViViT
from tests.marks import slow_on_jax

# Arnab et al., 2021, table 2, and tables 5 and 6 for L/16x2: 400 classes, 32
# frames of 224 x 224. What the paper calls FLOPs are billions of products.
PUBLISHED = [
    ("vivit_b_16x2", dict(variant="spatio_temporal"), 88_954_000, 455.2),
    ("vivit_b_16x2", dict(variant="factorized_encoder"), 115_062_928, 284.4),
    (
        "vivit_b_16x2",
        dict(variant="factorized_self_attention"),
        117_319_312,
        372.3,
    ),
    ("vivit_b_16x2", dict(variant="factorized_dot_product"), 88_952_464, 277.1),
    (
        "vivit_b_16x2",
        dict(variant="factorized_encoder", num_temporal_layers=0),
        86_696_080,
        283.9,
    ),
    ("vivit_l_16x2", dict(variant="factorized_encoder"), 354_903_440, 995.3),
    ("vivit_l_16x2", dict(variant="spatio_temporal"), 307_508_624, 1446),
]


@pytest.fixture(
    scope="module",
    params=[
        # The largest only make more weights of the same blocks.
        pytest.param(x, marks=[pytest.mark.slow] * ("_l_" in x[0]))
        for x in PUBLISHED
    ],
    ids=["-".join(map(str, (x[0], *x[1].values()))) for x in PUBLISHED],
)
def published(request):
    """The paper's numbers, and how to count ours.

    In models of one and two blocks: all blocks are alike.
    """
    size, options, *numbers = request.param
    models = [ViViT.from_preset(size, num_layers=n, **options) for n in (1, 2)]

    def count(number_of):
        one, two = map(number_of, models)
        layers = ViViT.presets[size]["num_layers"]
        return one + (layers - 1) * (two - one)

    return *numbers, count


@slow_on_jax
def test_the_papers_sizes_have_the_papers_weights(published):
    weights, _, count = published
    assert count(lambda model: model.count_params()) == weights


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="products of a JAX program"
)
def test_the_papers_sizes_take_the_papers_products(published):
    import jax

    def number_of(model):
        video = jax.ShapeDtypeStruct((1, *model.video_shape), "float32")
        return products(jax.make_jaxpr(model)(video).jaxpr)

    _, billions, count = published
    assert count(number_of) == pytest.approx(1e9 * billions, rel=0.015)


def products(program):
    """Numbers that are multiplied in the matrix products of a jaxpr."""
    from jax.extend.core import jaxprs_in_params

    number = 0
    for step in program.eqns:
        if step.primitive.name == "dot_general":
            (axes, _), _ = step.params["dimension_numbers"]
            summed = [step.invars[0].aval.shape[axis] for axis in axes]
            number += step.outvars[0].aval.size * math.prod(summed)
        assert step.primitive.name not in ("cond", "while")  # how often?
        for part in jaxprs_in_params(step.params):
            number += step.params.get("length", 1) * products(part)
    return number


def test_all_pairs_of_tokens_are_held_for_scores_alone():
    """The 3,137 tokens of B/16x2, of smaller tubelets and vectors."""
    model = ViViT(
        video_shape=(32, 28, 28, 3),
        tubelet_size=(2, 2, 2),
        num_layers=1,
        hidden_dim=96,
        num_heads=12,
        intermediate_dim=384,
        num_classes=5,
    )
    block = model.get_layer("block_0")
    video = ops.zeros((1, *model.video_shape))
    tokens = ops.zeros((1, 3137, 96))
    pairs = 12 * 3137**2  # 472 MB
    feed_forward = 3137 * 384

    def scores(tokens):
        return block(tokens, return_attention_scores=True)[1]

    assert largest_array(scores, tokens) >= pairs
    assert largest_array(model, video) <= feed_forward
    assert largest_array(gradient(model), video) <= feed_forward


def gradient(model):
    """Makes of a video the gradient of all weights."""
    backend = keras.backend.backend()
    weights = [weight.value for weight in model.trainable_variables]
    if backend == "jax":
        import jax

        def loss(weights, video):
            logits, _ = model.stateless_call(weights, [], video, training=True)
            return ops.sum(logits)

        return lambda video: jax.grad(loss)(weights, video)

    def step(video):
        if backend == "torch":
            return ops.sum(model(video, training=True)).backward()
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = ops.sum(model(video, training=True))
        return tape.gradient(loss, weights)

    return step


def largest_array(function, *inputs):
    """The most numbers in any array that a function computes."""
    backend = keras.backend.backend()
    if backend == "torch":
        from torch.utils._python_dispatch import TorchDispatchMode

        numbers = []

        class Sizes(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                results = function(*args, **kwargs or {})
                for x in keras.tree.flatten(results):
                    numbers.append(x.numel() if hasattr(x, "numel") else 0)
                return results

        with Sizes():
            function(*inputs)
        return max(numbers)
    if backend == "jax":
        import jax

        text = jax.jit(function).lower(*inputs).as_text("hlo")
    else:
        import tensorflow as tf

        compiled = tf.function(function, jit_compile=True)
        text = compiled.experimental_get_compiler_ir(*inputs)(stage="hlo")
    shapes = re.findall(r"\w\[([0-9,]+)\]", text)
    return max(math.prod(map(int, shape.split(","))) for shape in shapes)

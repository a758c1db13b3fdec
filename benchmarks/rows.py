"""What is measured: one function per side, which returns the step to time.

Each is called in a process of its own. Sizes are those of the claims in the
table, `RESULTS.md`.
"""

import dataclasses
import subprocess
import sys
from collections.abc import Callable

import keras
from keras import ops

from benchmarks import (
    classification,
    luong_nmt,
    rnn_search,
    scaling,
    show_attend_tell,
    transformer,
    transformer_training,
    video_decoding,
    vit,
    vit_loading,
    vivit,
)
from benchmarks.steps import forward, forward_and_backward, normal
from keras_attention import layers
from keras_attention.models.vivit import ENCODER, JOINT

EVERYWHERE = ("tensorflow", "jax", "torch")


@dataclasses.dataclass(frozen=True)
class Bar:
    """What a row has to reach on a backend.

    Args:
        faster: Least ratio of the peer's time to ours.
        lighter: Least ratio of the peer's memory to ours.
        slower_than: Most ratio of our time to that of another row of ours,
            as (row, ratio).
        seconds: Most seconds of ours.
    """

    faster: float = 0.0
    lighter: float = 0.0
    slower_than: tuple[str, float] | None = None
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        about: What is measured.
        ours: Returns our step.
        peer: Returns the peer's step; None where ours is measured alone.
        backends: Where.
        peer_backend: The backend of the peer's process, if it is not ours.
        amount: How many things a step does.
        unit: What things.
        bars: From backend to what is to be reached there.
        flop: Of a step, where a GPU's are told as a share of those of a
            product of large matrices; 0 where they are not.
        gpu_only: Whether it is for a GPU, too large for a core.
    """

    about: str
    ours: Callable
    peer: Callable | None
    backends: tuple = EVERYWHERE
    peer_backend: str | None = None
    amount: float = 1
    unit: str = "steps"
    bars: dict = dataclasses.field(default_factory=dict)
    flop: float = 0.0
    gpu_only: bool = False


def our_additive(length):
    def make():
        layer = layers.AdditiveAttention(128)
        layer.build((1, length, 128), (1, length, 128))
        return forward_and_backward(layer, layer, two_sequences(length))

    return make


def keras_additive(length):
    def make():
        layer = keras.layers.AdditiveAttention()
        layer.build([(1, length, 128)] * 2)
        return forward_and_backward(
            layer, lambda *x: layer(list(x)), two_sequences(length)
        )

    return make


def two_sequences(length):
    return [normal(1, length, 128, seed=seed) for seed in (0, 1)]


def multi_head(layer, length):
    x = normal(1, length, 512)
    layer(x[:, :2], x[:, :2])
    return forward_and_backward(layer, lambda x: layer(x, x), [x])


WINDOW = 64


def our_window(length):
    def make():
        x = normal(1, length, 4 * 64)
        layer = layers.SlidingWindowAttention(4, 64, WINDOW)
        layer.build(x.shape)
        return forward_and_backward(layer, layer, [x])

    return make


def peer_window(length):
    """Keras's window; on torch the bands of the package local-attention."""

    def make():
        x = normal(1, length, 4 * 64)
        if keras.backend.backend() == "torch":
            return local_attention_window(x)
        layer = keras.layers.MultiHeadAttention(
            4, 64, sliding_window=WINDOW + 1
        )
        layer.build(x.shape, x.shape)
        return forward_and_backward(layer, lambda x: layer(x, x), [x])

    return make


def local_attention_window(x):
    """The same band and projections; positions are not told apart."""
    from local_attention import LocalAttention

    projections = layers.SlidingWindowAttention(4, 64, WINDOW)
    projections.build(x.shape)
    read = LocalAttention(
        WINDOW,
        look_backward=1,
        look_forward=1,
        exact_windowsize=True,
        use_rotary_pos_emb=False,
    )

    def run(x):
        heads = [
            dense(x).transpose(1, 2)  # (B, N, T, H)
            for dense in (
                projections.query_dense,
                projections.key_dense,
                projections.value_dense,
            )
        ]
        return projections.output_dense(read(*heads).transpose(1, 2))

    return forward_and_backward(projections, run, [x])


def local():
    return layers.LocalAttention(10, "predictive", "general")


def whole():
    return layers.LuongAttention("general")


def one_query(make_layer, length):
    """A step of decoding: 8 queries, each over a memory of its own."""

    def make():
        layer = make_layer()
        query, value = normal(8, 128), normal(8, length, 128, seed=1)
        memory = layer.memory(value)
        layer.step(query, memory, {})
        names = list(memory)

        def step(query, *parts):
            memory = dict(zip(names, parts, strict=True))
            return layer.step(query, memory, {})[0]

        return forward(step, [query, *(memory[name] for name in names)])

    return make


def many_queries(make_layer, length):
    """A step of training: 64 queries in each of 8 sentences."""

    def make():
        inputs = [normal(8, 64, 128), normal(8, length, 128, seed=1)]
        layer = make_layer()
        layer(*inputs)
        return forward_and_backward(layer, layer, inputs)

    return make


# The seed of this library: "local attention is the cheaper one".
LONG = (256, 1024, 4096)


def attention_rnn(attention):
    """A caption's decoder over the grid of an image (Xu et al., 2015)."""
    return scaling.step(
        layers.AttentionRNN(keras.layers.LSTMCell(256), attention),
        (16, 12, 128),
        (16, 196, 256),
        output="outputs",
        training=True,
    )


def import_package():
    """A module is imported once: each step is a process of its own."""

    def step():
        done = subprocess.run(
            [sys.executable, "-c", IMPORT], capture_output=True, text=True
        )
        return float(done.stdout)

    # Seconds each, of which the clock of a step counts a fraction.
    step.times = lambda clock, steps: [step() for _ in range(min(steps, 3))]
    return step


# The child's own clock, without what `import keras` takes. Its objects are
# frozen: a collection that happens to come would search all of the backend's.
IMPORT = """
import gc, time, keras
gc.freeze()
begin = time.process_time()
import keras_attention
print(time.process_time() - begin)
"""


def product():
    """The ceiling of all others: a product of large matrices."""
    x = normal(*[PRODUCT_SIZE] * 2)
    return forward(lambda x: ops.matmul(x, x), [x])


PRODUCT_SIZE = 4096

TRAINING = (
    "Transformer, a step of `fit` with Adam, 3 + 3 layers, D=256, 4 heads, "
    "B=64, S=24, T=26, V=8000, tied, dropout and label smoothing 0.1; peer "
)
TORCH_LOOP = "peer the same model as a loop of torch.nn.GRUCell"
LSTM_LOOP = TORCH_LOOP.replace("GRUCell", "LSTMCell")
CAPTIONS = "B=64, 14 x 14 features of 512, T=16, H=512, V=10000"


def on_xla(bar):
    return {"tensorflow": bar, "jax": bar}


VIT_PEER = "peer keras-hub's ViTImageClassifier, on torch transformers' ViT"
VIT_BARS = {**on_xla(Bar(faster=1.1)), "torch": Bar(faster=0.95)}
VIT_LARGE = vit.Sizes("vit_ti_16", pixels=1024, batch=1)
# 17.58 billion products and as many sums an image.
VIT_B_FLOP = 2 * 17.58e9


def vit_rows(make_row):
    """Rows of a step of training and of one of inference."""
    for kind, about, passes, steps in (
        (
            "training",
            "a step of `fit` with AdamW",
            3,
            (classification.training, vit.peer_training),
        ),
        (
            "inference",
            "logits",
            1,
            (classification.inference, vit.peer_inference),
        ),
    ):
        yield from make_row(kind, about, passes, *steps)


def small_vit(kind, about, passes, ours, peer):
    for name in ("ti", "s"):
        sizes = vit.Sizes(f"vit_{name}_16")
        yield (
            f"vit-{name}-16-{kind}",
            Row(
                f"ViT-{name.title()}/16, {about}, 224 x 224 pixels, B=8; "
                + VIT_PEER,
                ours(sizes),
                peer(sizes),
                amount=sizes.batch,
                unit="images",
                bars=VIT_BARS,
            ),
        )


def large_batch_vit(kind, about, passes, ours, peer):
    sizes = vit.Sizes(
        "vit_b_16",
        batch=256,
        dtype="mixed_bfloat16" if kind == "training" else "bfloat16",
    )
    yield (
        f"vit-b-16-{kind}",
        Row(
            f"ViT-B/16, {about}, 224 x 224 pixels, B=256, bfloat16; "
            f"{VIT_PEER}, fused attention",
            ours(sizes),
            peer(sizes),
            amount=sizes.batch,
            unit="images",
            flop=passes * VIT_B_FLOP * sizes.batch,
            gpu_only=True,
        ),
    )


VIVIT_SIZES = {
    # name: words, arguments, clips in a batch
    "small": (
        "ViViT of 4 layers, D=256, 32 frames of 128 x 128 pixels (1,024 "
        "tubelets)",
        vivit.SMALL,
        2,
    ),
    "b-16x2": (
        "ViViT-B/16x2, 32 frames of 224 x 224 pixels (3,136 tubelets)",
        vivit.B_16X2,
        1,
    ),
}
VIVIT_KINDS = {
    "training": ("a step of `fit` with AdamW", classification.training),
    "inference": ("logits", classification.inference),
}
VIVIT_PEER_KINDS = {
    "training": vivit.peer_training,
    "inference": vivit.peer_inference,
}
VIVIT_PEER_BARS = {
    "transformers-sdpa": Bar(faster=1.0, lighter=1.0),
    "vit-pytorch": Bar(faster=1.0),
}
# In the small one other things take as much memory as the scores.
VIVIT_EAGER_BARS = {"b-16x2": Bar(lighter=2.0)}
# From the slowest to the fastest, where attention is what costs (Arnab et
# al., 2021, table 2); the paper finds the last between the two before it.
VIVIT_VARIANTS = (
    JOINT,
    "factorized_self_attention",
    ENCODER,
    "factorized_dot_product",
)


def vivit_variants():
    """Ours alone, in each variant."""
    for size, (words, options, batch) in VIVIT_SIZES.items():
        for kind, (about, step) in VIVIT_KINDS.items():
            slower = None
            for variant in VIVIT_VARIANTS:
                name = f"vivit-{size}-{variant.replace('_', '-')}-{kind}"
                bar = None
                if variant != "factorized_dot_product":
                    bar = Bar(slower_than=slower and (slower, 1.0))
                    slower = name
                yield (
                    name,
                    Row(
                        f'{words}, "{variant}", {about}, B={batch}, ours alone',
                        step(vivit.Sizes(options, variant, batch)),
                        None,
                        amount=batch,
                        unit="clips",
                        bars=dict.fromkeys(EVERYWHERE, bar),
                    ),
                )


def vivit_peers():
    """Ours and a peer's on torch."""
    for size, (words, options, batch) in VIVIT_SIZES.items():
        for kind, (about, step) in VIVIT_KINDS.items():
            for name, peer, variant, make, axes in vivit.PEERS:
                sizes = vivit.Sizes(options, variant, batch)
                bar = VIVIT_PEER_BARS.get(name, VIVIT_EAGER_BARS.get(size))
                yield (
                    f"vivit-{size}-{name}-{kind}",
                    Row(
                        f'{words}, "{variant}", {about}, B={batch}; peer '
                        f"{peer}",
                        step(sizes),
                        VIVIT_PEER_KINDS[kind](sizes, make, axes),
                        backends=("torch",),
                        amount=batch,
                        unit="clips",
                        bars={"torch": bar},
                    ),
                )


def vivit_bfloat16():
    """For a GPU: ours on each backend, peers on torch."""
    words, options, _ = VIVIT_SIZES["b-16x2"]
    for kind, (about, step) in VIVIT_KINDS.items():
        for name, peer, variant, make, axes in vivit.PEERS:
            if name == "transformers-eager":
                continue
            training = kind == "training"
            sizes = vivit.Sizes(
                options,
                variant,
                batch=8,
                dtype="mixed_bfloat16" if training else "bfloat16",
            )
            products = 1e9 * vivit.B_16X2_PRODUCTS[variant] * sizes.batch
            yield (
                f"vivit-b-16x2-bfloat16-{name}-{kind}",
                Row(
                    f'{words}, "{variant}", {about}, B={sizes.batch}, '
                    f"bfloat16; peer {peer}",
                    step(sizes),
                    VIVIT_PEER_KINDS[kind](sizes, make, axes),
                    peer_backend="torch",
                    amount=sizes.batch,
                    unit="clips",
                    flop=2 * products * (3 if training else 1),
                    gpu_only=True,
                ),
            )


ADDITIVE_BARS = {
    2048: {
        "tensorflow": Bar(faster=3.0, lighter=20.0),
        "jax": Bar(faster=1.0, lighter=40.0),
        "torch": Bar(faster=1.0, lighter=20.0),
    }
}
WINDOW_BARS = {
    8192: {
        **on_xla(Bar(faster=20.0, lighter=8.0)),
        "torch": Bar(faster=1.0),
    },
    16384: dict.fromkeys(
        EVERYWHERE, Bar(slower_than=("sliding-window-8192", 2.3))
    ),
}
MULTI_HEAD_BARS = {
    256: on_xla(Bar(faster=1.0)),
    4096: on_xla(Bar(faster=1.3, lighter=8.0)),
}

ROWS = {
    **{
        f"additive-{length}": Row(
            "AdditiveAttention, forward and backward, B=1, "
            f"T=S={length}, D=units=128; peer keras.layers.AdditiveAttention",
            our_additive(length),
            keras_additive(length),
            bars=ADDITIVE_BARS.get(length, {}),
        )
        for length in (512, 2048)
    },
    **{
        f"additive-{length}": Row(
            f"the same at T=S={length}, ours alone",
            our_additive(length),
            None,
        )
        for length in (4096, 8192)
    },
    **{
        f"multi-head-{length}": Row(
            "MultiHeadAttention, forward and backward, self-attention, B=1, "
            f"T={length}, 8 heads x 64; peer keras.layers.MultiHeadAttention",
            lambda length=length: multi_head(
                layers.MultiHeadAttention(8, 64), length
            ),
            lambda length=length: multi_head(
                keras.layers.MultiHeadAttention(8, 64), length
            ),
            bars=MULTI_HEAD_BARS[length],
        )
        for length in (256, 4096)
    },
    "sliding-window-8192": Row(
        "SlidingWindowAttention, forward and backward, B=1, T=8192, 4 heads x "
        "64, window 64; peer keras.layers.MultiHeadAttention with the same "
        "band, on torch LocalAttention of the package local-attention with "
        "the same band and projections",
        our_window(8192),
        peer_window(8192),
        bars=WINDOW_BARS[8192],
    ),
    "sliding-window-16384": Row(
        "the same at T=16384, ours alone",
        our_window(16384),
        None,
        bars=WINDOW_BARS[16384],
    ),
    **{
        f"local-step-{length}": Row(
            f"LocalAttention, a step of 8 queries, window 10, D=128, {length} "
            "source positions; peer LuongAttention over all of them",
            one_query(local, length),
            one_query(whole, length),
        )
        for length in (*LONG, 16384)
    },
    **{
        f"local-training-{length}": Row(
            "LocalAttention, 64 queries in each of 8 sentences, forward and "
            f"backward, window 10, D=128, {length} source positions; peer "
            "LuongAttention over all of them",
            many_queries(local, length),
            many_queries(whole, length),
        )
        for length in LONG
    },
    **{
        f"hard-{estimator}": Row(
            f'HardAttention("{estimator}") in an AttentionRNN, forward and '
            "backward in training, B=16, T=12, S=196, 256 units; peer "
            "AdditiveAttention in it",
            lambda estimator=estimator: attention_rnn(
                layers.HardAttention(256, estimator)
            ),
            lambda: attention_rnn(layers.AdditiveAttention(256)),
            bars=dict.fromkeys(EVERYWHERE, Bar(faster=1 / 1.15)),
        )
        for estimator in ("reinforce", "gumbel_straight_through")
    },
    "rnn-search-training": Row(
        "RNNSearch, a step of `fit` with Adam, B=64, S=T=20, H=256, V=4000; "
        + TORCH_LOOP,
        rnn_search.training,
        rnn_search.torch_training,
        peer_backend="torch",
        amount=rnn_search.WORDS,
        unit="target words",
        bars=on_xla(Bar(faster=1.0)),
    ),
    "rnn-search-decoder": Row(
        "AttentionRNN as RNNSearch's decoder, forward and backward, the same "
        "sizes; " + TORCH_LOOP,
        rnn_search.decoder,
        rnn_search.torch_decoder,
        peer_backend="torch",
        amount=rnn_search.WORDS,
        unit="target words",
        bars=on_xla(Bar(faster=1.5)),
    ),
    **{
        f"rnn-search-{search}": Row(
            f"RNNSearch, {about} of 20 words, the same sizes; " + TORCH_LOOP,
            rnn_search.search(num_beams),
            rnn_search.torch_search(num_beams),
            peer_backend="torch",
            amount=rnn_search.BATCH,
            unit="sentences",
            bars=on_xla(Bar(faster=1.5)),
        )
        for search, about, num_beams in (
            ("greedy", "greedy search", 1),
            ("beam-5", "search with five beams", 5),
        )
    },
    "show-attend-tell-training": Row(
        f"ShowAttendTell, soft, a step of `fit` with Adam, {CAPTIONS}; "
        + LSTM_LOOP,
        show_attend_tell.training,
        show_attend_tell.torch_training,
        peer_backend="torch",
        amount=show_attend_tell.WORDS,
        unit="words",
        bars=dict.fromkeys(EVERYWHERE, Bar(faster=1.0)),
    ),
    "show-attend-tell-hard-training": Row(
        "the same with hard attention by REINFORCE, one sample, ours alone",
        show_attend_tell.hard_training,
        None,
        amount=show_attend_tell.WORDS,
        unit="words",
        bars=dict.fromkeys(
            EVERYWHERE, Bar(slower_than=("show-attend-tell-training", 1.15))
        ),
    ),
    "show-attend-tell-samples-4-training": Row(
        "the same with four samples of each of 16 captions, leave-one-out; "
        "peer with one sample of each of 64 captions",
        show_attend_tell.samples_training,
        show_attend_tell.hard_training,
        amount=show_attend_tell.WORDS,
        unit="words",
    ),
    **{
        f"show-attend-tell-{kind}-{side}": Row(
            f"ShowAttendTell that reads {about}, a step of `fit` with Adam, "
            f"B={show_attend_tell.FEW}, {side} x {side} features of 512, the "
            "other sizes as above; peer the same with soft attention",
            show_attend_tell.reading(kind, side),
            show_attend_tell.reading("soft", side),
            amount=show_attend_tell.FEW * show_attend_tell.LENGTH,
            unit="words",
        )
        for kind, about in (
            ("window", "squares of 5 x 5 places"),
            ("hard", "one place by REINFORCE"),
        )
        for side in show_attend_tell.SIDES
    },
    "show-attend-tell-beam-5": Row(
        "ShowAttendTell, soft, search with five beams of 16 words over 64 "
        "grids, the same sizes; " + LSTM_LOOP,
        show_attend_tell.search,
        show_attend_tell.torch_search,
        peer_backend="torch",
        amount=show_attend_tell.BATCH,
        unit="images",
    ),
    "luong-nmt-training": Row(
        "LuongNMT without input feeding, a step of `fit` with Adam, B=64, "
        "S=T=24, 2 x 256 units, V=8000; peer the same with input feeding",
        luong_nmt.training(input_feeding=False),
        luong_nmt.training(input_feeding=True),
        amount=luong_nmt.WORDS,
        unit="target words",
    ),
    **{
        f"transformer-{search}-{name}": Row(
            f"Transformer, {about}, 6 + 6 layers, D=512, 8 heads, B=32, S=20, "
            f"32 tokens, V=8000; peer {peer_name}",
            transformer.search(num_beams),
            peer(num_beams),
            backends=backends,
            peer_backend=peer_backend,
            amount=transformer.TOKENS,
            unit="tokens",
            bars={
                backend: Bar(faster=bar)
                for backend in backends
                if backend != "torch"
            },
        )
        for search, about, num_beams, bars in (
            ("greedy", "greedy search", 1, (1.2, 1.1, 0.7)),
            ("beam-4", "search with four beams", 4, (2.0, 1.1, 0.7)),
        )
        for bar, (name, peer_name, peer, backends, peer_backend) in zip(
            bars, transformer.PEERS, strict=True
        )
    },
    **{
        f"transformer-{search}-int8": Row(
            f"Transformer of int8 weights, {about}, the same sizes; peer "
            "CTranslate2 of these sizes, int8",
            transformer.search(num_beams, "int8"),
            transformer.ctranslate2_search(num_beams, "int8"),
            peer_backend="torch",
            amount=transformer.TOKENS,
            unit="tokens",
        )
        for search, about, num_beams in (
            ("greedy", "greedy search", 1),
            ("beam-4", "search with four beams", 4),
        )
    },
    **{
        f"transformer-20-of-{most}": Row(
            f"Transformer, greedy search of 20 tokens with max_length={most}, "
            "the same sizes, ours alone",
            transformer.some_of(20, most),
            None,
            bars=dict.fromkeys(
                EVERYWHERE, Bar(slower_than=("transformer-20-of-64", 1.3))
            )
            if most == 512
            else {},
        )
        for most in (64, 512)
    },
    **{
        f"transformer-from-{position}": Row(
            f"Transformer, greedy search, the 20 tokens from position "
            f"{position} on, the same sizes; peer CTranslate2",
            transformer.tokens_from(position, transformer.long_decoder),
            transformer.tokens_from(position, transformer.ctranslate2_decoder),
            peer_backend="torch",
            bars=dict.fromkeys(
                EVERYWHERE, Bar(slower_than=("transformer-from-20", 1.3))
            )
            if position == 200
            else {},
        )
        for position in (20, 200)
    },
    "transformer-training-torch": Row(
        TRAINING + "torch.nn.Transformer in the same loop, which also drops "
        "attention weights and inside of the feed-forward",
        transformer_training.training,
        transformer_training.torch_training,
        peer_backend="torch",
        amount=transformer_training.WORDS,
        unit="target tokens",
        bars={"tensorflow": Bar(faster=0.95)},
    ),
    "transformer-training-keras": Row(
        TRAINING + "Keras's own layers",
        transformer_training.training,
        transformer_training.keras_training,
        amount=transformer_training.WORDS,
        unit="target tokens",
        bars={"jax": Bar(faster=1.0), "torch": Bar(faster=1.0)},
    ),
    **dict(vit_rows(small_vit)),
    "vit-ti-16-1024-training": Row(
        "ViT-Ti/16, a step of `fit` with AdamW, 1024 x 1024 pixels (4,096 "
        f"patches), B=1; {VIT_PEER}",
        classification.training(VIT_LARGE),
        vit.peer_training(VIT_LARGE),
        amount=VIT_LARGE.batch,
        unit="images",
        bars=on_xla(Bar(lighter=3.0)),
    ),
    **{
        f"vit-load-{name}": Row(
            f"`ViT.from_preset` of a ViT-B/16, {about}, the first in a "
            "process: CPU-seconds beyond reading the file into arrays",
            vit_loading.loading(*functions),
            None,
            unit="models",
            bars=dict.fromkeys(EVERYWHERE, Bar(seconds=3.0)),
        )
        for name, about, *functions in vit_loading.FORMATS
    },
    **dict(vit_rows(large_batch_vit)),
    **{
        f"video-decoding-{key_frames}-{sampling}-{peer}": Row(
            f"`VideoFile`, {video_decoding.FRAMES} frames {about} of "
            f"{video_decoding.LENGTH}, 320 x 240 pixels, H.264, key frames "
            f"{about_keys}; peer PyAV that decodes every frame, {about_peer}",
            video_decoding.reading(video_decoding.sampled, key_frames, clips),
            video_decoding.reading(read, key_frames, clips),
            backends=("tensorflow",),
            amount=video_decoding.CLIPS,
            unit="clips",
            bars={}
            if sampling == "uniform"
            else {"tensorflow": Bar(faster=3.0)},
        )
        for key_frames, about_keys in video_decoding.KEY_FRAMES.items()
        for sampling, (about, clips) in video_decoding.SAMPLINGS.items()
        for peer, (about_peer, read) in video_decoding.PEERS.items()
    },
    **dict(vivit_variants()),
    **dict(vivit_peers()),
    "vivit-small-recompute-training": Row(
        "the small ViViT with `recompute=True`, a step of `fit` with AdamW, "
        "B=2; peer the same without",
        classification.training(
            vivit.Sizes(vivit.SMALL, JOINT, 2, recompute=True)
        ),
        classification.training(vivit.Sizes(vivit.SMALL, JOINT, 2)),
        amount=2,
        unit="clips",
    ),
    **dict(vivit_bfloat16()),
    "import": Row(
        "`import keras_attention` after `import keras`", import_package, None
    ),
    "product": Row(
        f"a product of two matrices of {PRODUCT_SIZE}^2, the ceiling",
        product,
        None,
        amount=2 * PRODUCT_SIZE**3 / 1e9,
        unit="GFLOP",
    ),
}

# Every layer at every length, for the table of exponents.
SCALING = {
    scaling.row(name, length): Row(
        f"{name} at T={length}",
        lambda make=make, length=length: make(length),
        None,
    )
    for name, make in scaling.LAYERS.items()
    for length in scaling.LENGTHS
}

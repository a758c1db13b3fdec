import keras
import numpy as np
import pytest

from keras_attention.visualization import (
    attention_rollout,
    plot_attention_over_images,
    plot_patch_filters,
    plot_position_similarity,
)

B, N, T, L = 2, 3, 5, 4


def scores(seed=0):
    rng = np.random.default_rng(seed)
    maps = rng.uniform(size=(L, B, N, T, T)) ** 4
    return list(maps / maps.sum(-1, keepdims=True))


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("fusion", ["mean", "max", "min"])
def test_rollout_is_the_papers_recursion(fusion, residual):
    """A loop over positions (Abnar and Zuidema, 2020, section 3.1)."""
    blocks = scores()
    found = attention_rollout(blocks, fusion, residual=residual)
    for b in range(B):
        passed = np.eye(T)  # how much of input j is in position i
        for block in blocks:
            after = np.zeros((T, T))
            for i in range(T):
                reads = [
                    getattr(np, fusion)([block[b, n, i, k] for n in range(N)])
                    for k in range(T)
                ]
                if residual:
                    reads[i] += 1
                for k in range(T):
                    after[i] += reads[k] / sum(reads) * passed[k]
            passed = after
        np.testing.assert_allclose(found[b], passed, atol=1e-12)
    np.testing.assert_allclose(found.sum(-1), 1)


def test_the_least_scores_are_discarded_but_for_the_class_token():
    block = np.zeros((1, 1, 3, 3))
    block[0, 0] = [[0.01, 0.5, 0.49], [0.3, 0.6, 0.1], [0.02, 0.08, 0.9]]
    found = attention_rollout([block], discard_ratio=4 / 9, residual=False)
    # 0.01, 0.02, 0.08 and 0.1 are the least; the first two read the token.
    expected = np.array([[0.01, 0.5, 0.49], [0.3, 0.6, 0], [0.02, 0, 0.9]])
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(found[0], expected)


def test_rollout_takes_a_dict_of_blocks():
    blocks = scores()
    named = {f"block_{i}": block for i, block in enumerate(blocks)}
    np.testing.assert_array_equal(
        attention_rollout(named), attention_rollout(blocks)
    )


def test_pictures_lie_beside_what_was_read_of_them(tmp_path):
    rng = np.random.default_rng(0)
    images, maps = rng.uniform(-3, 3, (B, 6, 9, 3)), rng.uniform(size=(B, 2, 3))
    path = tmp_path / "a.png"
    figure = plot_attention_over_images(images, maps, path, titles=["rollout"])
    assert path.stat().st_size > 1000
    assert len(figure.axes) == 2 * B
    picture, read = figure.axes[:2]
    shown = picture.images[0].get_array()
    assert shown.min() == 0 and shown.max() == 1
    np.testing.assert_allclose(
        shown, (images[0] - images[0].min()) / np.ptp(images[0]), atol=1e-6
    )
    np.testing.assert_array_equal(read.images[1].get_array(), maps[0])
    # A patch covers its pixels.
    assert list(read.images[1].get_extent()) == [-0.5, 8.5, 5.5, -0.5]
    assert read.get_title() == "rollout"
    grey = plot_attention_over_images(images[..., :1], maps)
    assert grey.axes[0].images[0].get_array().shape == (6, 9, 3)


def test_position_similarity_is_the_cosine():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2 + 6, 4))
    figure = plot_position_similarity(table, (2, 3), num_prefix_tokens=2)
    a, b = table[2 + 4], table[2 + 1]
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    shown = figure.axes[4].images[0].get_array()  # row 1, column 1
    np.testing.assert_allclose(shown[0, 1], expected)
    np.testing.assert_allclose(shown[1, 1], 1)


def test_filters_are_the_main_components():
    rng = np.random.default_rng(0)
    # One direction that all filters share, up to their size, and noise.
    main = rng.normal(size=2 * 3 * 3)
    kernel = main[:, None] * rng.normal(size=40) * 5
    kernel += 0.01 * rng.normal(size=kernel.shape)
    figure = plot_patch_filters(kernel, (2, 3), number=5)
    assert len(figure.axes) == 5
    shown = np.asarray(figure.axes[0].images[0].get_array())
    correlation = np.corrcoef(shown.ravel(), main)[0, 1]
    assert abs(correlation) > 0.99
    assert plot_patch_filters(kernel[:6], (2, 3), number=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: attention_rollout([]), r"Received: shapes \[\]"),
        (lambda: attention_rollout([np.ones((2, 3, 3))]), "one shape"),
        (lambda: attention_rollout(scores(), "sum"), "head_fusion='sum'"),
        (lambda: attention_rollout(scores(), discard_ratio=1), "ratio=1"),
        (
            lambda: plot_attention_over_images(
                np.ones((2, 4, 4, 3)), np.ones((1, 2, 2))
            ),
            "as many pictures",
        ),
        (
            lambda: plot_attention_over_images(
                np.ones((1, 4, 4, 3)), np.ones((1, 2, 2)), titles=["a", "b"]
            ),
            "2 titles",
        ),
        (
            lambda: plot_position_similarity(np.ones((7, 3)), (2, 3)),
            r"shape \(7, 3\)",
        ),
        (
            lambda: plot_patch_filters(np.ones((7, 3)), (2, 3)),
            r"shape \(7, 3\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_half_precision_is_drawn(tmp_path):
    """As the scores of a model in `mixed_bfloat16` come."""
    rng = np.random.default_rng(0)
    images, maps = rng.uniform(size=(1, 8, 8, 3)), rng.uniform(size=(1, 4, 4))
    half = keras.ops.cast(maps, "bfloat16")
    figure = plot_attention_over_images(images, half, tmp_path / "a.png")
    overlay = figure.axes[1].images[1]
    # NumPy has no extremes of bfloat16, which some pictures ask for.
    assert overlay.get_array().dtype == "float32"
    np.testing.assert_allclose(overlay.get_array(), maps[0], atol=1e-2)

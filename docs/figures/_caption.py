"""A picture of three shapes, and made-up maps of a caption of it."""

import numpy as np

from keras_attention.visualization import CaptionView

SIZE, GRID = 224, 14
# Each shape: colour, centre (row, column) and radius in pixels.
SHAPES = {
    "disc": ((214, 69, 65), (60, 60), 34),
    "square": ((52, 152, 219), (150, 84), 30),
    "triangle": ((241, 196, 15), (110, 170), 36),
}
# Each word, what it names, and how much its map counts.
WORDS = [
    ("a", None, 0.34),
    ("red", "disc", 0.81),
    ("disc", "disc", 0.86),
    ("above", None, 0.58),
    ("a", None, 0.29),
    ("blue", "square", 0.83),
    ("square", "square", 0.88),
    ("and", None, 0.31),
    ("a", None, 0.36),
    ("yellow", "triangle", 0.79),
    ("triangle", "triangle", 0.9),
]


def picture(seed=0):
    noise = np.random.default_rng(seed).normal(0, 6, (SIZE, SIZE, 3))
    pixels = np.full((SIZE, SIZE, 3), 105.0)
    rows, columns = np.indices((SIZE, SIZE))
    for name, (colour, (row, column), radius) in SHAPES.items():
        down, across = rows - row, abs(columns - column)
        inside = {
            "disc": np.hypot(down, across) < radius,
            "square": np.maximum(abs(down), across) < radius,
            "triangle": (abs(down) < radius) & (across < (down + radius) / 2),
        }[name]
        pixels[inside] = colour
    return (pixels + noise).clip(0, 255).astype("uint8")


def box(name):
    """Left, top, right and bottom of a shape."""
    _, (row, column), radius = SHAPES[name]
    return column - radius, row - radius, column + radius, row + radius


def view():
    """Maps that lie over what words name, and wide where they name nothing."""
    rng = np.random.default_rng(1)
    cells = (np.indices((GRID, GRID)) + 0.5) * SIZE / GRID
    scores, samples = [], []
    for _, name, _ in WORDS:
        centre, width = (
            ((112, 112), 70)
            if name is None
            else (
                SHAPES[name][1],
                22,
            )
        )
        away = cells - np.reshape(centre, (2, 1, 1))
        logits = -0.5 * (away**2).sum(0) / width**2
        weights = np.exp(logits + rng.normal(0, 0.3, logits.shape))
        scores.append(weights / weights.sum())
        drawn = rng.choice(weights.size, p=scores[-1].ravel())
        samples.append(-1 if name is None else drawn)
    words, _, gates = zip(*WORDS, strict=True)
    return CaptionView(
        picture(),
        words,
        np.array(scores),
        samples=np.array(samples),
        gates=np.array(gates),
        references=["a red disc is above a blue square"],
        log_probability=-np.linspace(0.1, 1.1, len(words)),
    )

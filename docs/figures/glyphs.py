"""Pictures of glyphs, and their labels."""

from docs.figures.corner_match import rows
from keras_attention.data import synthetic


def draw():
    names = [f"label {label}" for label in range(10)]
    return rows(*synthetic.glyphs(10, seed=3), names)

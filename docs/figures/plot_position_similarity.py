"""How alike the positions of a grid of sinusoids are."""

import keras
import numpy as np

from keras_attention import layers, visualization

ROWS, COLUMNS, D = 5, 6, 32


def draw():
    waves = layers.SinePositionEncoding(max_wavelength=60)
    x = keras.ops.convert_to_numpy(waves(np.zeros((1, COLUMNS, D))))[0]
    rows, columns = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    table = np.concatenate([x[rows], x[columns]], axis=-1)
    return visualization.plot_position_similarity(
        table - table.mean(0), (ROWS, COLUMNS)
    )

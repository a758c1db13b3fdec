"""LuongNMT, which trains faster where no step waits for the one before."""

import numpy as np

from benchmarks.rnn_search import step_of_fit
from keras_attention.models import LuongNMT

BATCH, LENGTH, VOCABULARY = 64, 24, 8000
WORDS = BATCH * LENGTH


def training(input_feeding):
    def make():
        rng = np.random.default_rng(0)
        model = LuongNMT.from_preset(
            "luong_nmt_small",
            num_layers=2,
            source_vocabulary_size=VOCABULARY,
            target_vocabulary_size=VOCABULARY,
            input_feeding=input_feeding,
        )
        shape = (3, BATCH, LENGTH)  # source, shifted target and labels
        return step_of_fit(
            model, *rng.integers(4, VOCABULARY, shape, dtype="int32")
        )

    return make

"""What models of attention train on."""

from keras_attention.losses.baselines import (
    MovingAverageBaseline,
    leave_one_out_baseline,
)
from keras_attention.losses.cross_entropy import SparseCategoricalCrossentropy
from keras_attention.losses.doubly_stochastic import doubly_stochastic_loss
from keras_attention.losses.marginal import marginal_log_likelihood
from keras_attention.losses.reinforce import Reinforce
from keras_attention.losses.reinforce_loss import reinforce_loss

__all__ = [
    "MovingAverageBaseline",
    "Reinforce",
    "SparseCategoricalCrossentropy",
    "doubly_stochastic_loss",
    "leave_one_out_baseline",
    "marginal_log_likelihood",
    "reinforce_loss",
]

"""What `fit` does beside training: budgets, best weights, going on."""

from keras_attention.callbacks.average_weights import AverageWeights
from keras_attention.callbacks.best_weights import BestWeights
from keras_attention.callbacks.hard_attention import (
    AttentionAlarm,
    SemiSamplingSchedule,
    TemperatureSchedule,
)
from keras_attention.callbacks.save_and_resume import SaveAndResume
from keras_attention.callbacks.time_budget import TimeBudget
from keras_attention.callbacks.validation import (
    ValidationBLEU,
    ValidationCaptions,
)

__all__ = [
    "AttentionAlarm",
    "AverageWeights",
    "BestWeights",
    "SaveAndResume",
    "SemiSamplingSchedule",
    "TemperatureSchedule",
    "TimeBudget",
    "ValidationBLEU",
    "ValidationCaptions",
]

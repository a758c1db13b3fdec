"""Run folders of this application. Imports no backend."""

import importlib

from applications.video_classification.recipes import APPLICATION
from applications.vision import runs


def read_run(folder):
    """The model of a finished run, its recipe, its names of classes."""
    models = importlib.import_module("keras_attention.models")
    return runs.read_run(APPLICATION, folder, lambda recipe: models.ViViT)

"""Run folders of this application. Imports no backend."""

import importlib

from applications.image_classification.recipes import APPLICATION
from applications.vision import runs


def read_run(folder):
    """The model of a finished run, its recipe, its names of classes."""

    def model_class(recipe):
        models = importlib.import_module("keras_attention.models")
        segments = recipe.task == "segmentation"
        return models.ViTSegmenter if segments else models.ViT

    return runs.read_run(APPLICATION, folder, model_class)

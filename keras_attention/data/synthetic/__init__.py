"""Generated data sets: seeded, and nothing to download."""

from keras_attention.data.synthetic.english_french import (
    TranslationPair,
    english_french,
    english_french_splits,
)
from keras_attention.data.synthetic.images import corner_match, glyphs, shapes
from keras_attention.data.synthetic.scene_annotations import grid_scenes
from keras_attention.data.synthetic.scene_captions import (
    SceneScore,
    SceneStatement,
    read_scene_caption,
    score_scene_captions,
)
from keras_attention.data.synthetic.scene_pictures import shape_scenes
from keras_attention.data.synthetic.scenes import SceneObject, Scenes
from keras_attention.data.synthetic.videos import roll_motion

__all__ = [
    "SceneObject",
    "SceneScore",
    "SceneStatement",
    "Scenes",
    "TranslationPair",
    "corner_match",
    "english_french",
    "english_french_splits",
    "glyphs",
    "grid_scenes",
    "read_scene_caption",
    "roll_motion",
    "score_scene_captions",
    "shape_scenes",
    "shapes",
]

"""Readers, tokenizers and batches, and sets that are generated."""

from keras_attention.data import synthetic
from keras_attention.data.bpe_tokenizer import BPETokenizer
from keras_attention.data.caption_batches import CaptionBatches
from keras_attention.data.caption_json import (
    read_coco_captions,
    read_karpathy,
)
from keras_attention.data.caption_lists import (
    read_captions_tsv,
    read_flickr_tokens,
)
from keras_attention.data.caption_sets import read_tfds_captions
from keras_attention.data.captioned_images import CaptionedImage
from keras_attention.data.character_tokenizer import CharacterTokenizer
from keras_attention.data.feature_cache import cache_features
from keras_attention.data.image_batches import ImageBatches
from keras_attention.data.image_processor import ImageProcessor
from keras_attention.data.image_readers import (
    SkippedFile,
    read_image_folder,
    read_mask_folder,
    read_tfds_images,
    split_by_class,
)
from keras_attention.data.marian_tokenizer import MarianTokenizer
from keras_attention.data.readers import (
    SkippedRow,
    read_aligned,
    read_tfds,
    read_tsv,
)
from keras_attention.data.self_critical import SelfCriticalBatches
from keras_attention.data.tokenizers import (
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
    join_words,
    load_tokenizer,
    split_words,
)
from keras_attention.data.translation import (
    TranslationBatches,
    filter_by_length,
    split_blocks,
)
from keras_attention.data.video_batches import VideoBatches
from keras_attention.data.video_files import VideoFile
from keras_attention.data.video_readers import (
    read_tfds_videos,
    read_video_folder,
    read_video_list,
)
from keras_attention.data.video_views import VideoViews

__all__ = [
    "BPETokenizer",
    "CaptionBatches",
    "CaptionedImage",
    "CharacterTokenizer",
    "ImageBatches",
    "ImageProcessor",
    "MarianTokenizer",
    "SelfCriticalBatches",
    "SentencePieceTokenizer",
    "SkippedFile",
    "SkippedRow",
    "Tokenizer",
    "TranslationBatches",
    "VideoBatches",
    "VideoFile",
    "VideoViews",
    "WordTokenizer",
    "cache_features",
    "filter_by_length",
    "join_words",
    "load_tokenizer",
    "read_aligned",
    "read_captions_tsv",
    "read_coco_captions",
    "read_flickr_tokens",
    "read_image_folder",
    "read_karpathy",
    "read_mask_folder",
    "read_tfds",
    "read_tfds_captions",
    "read_tfds_images",
    "read_tfds_videos",
    "read_tsv",
    "read_video_folder",
    "read_video_list",
    "split_blocks",
    "split_by_class",
    "split_words",
    "synthetic",
]

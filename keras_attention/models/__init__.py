"""Published systems, one per file, that train with `fit`."""

from keras_attention.models.captioner import Caption
from keras_attention.models.conv_encoder import ConvEncoder
from keras_attention.models.luong_nmt import LuongNMT
from keras_attention.models.rnn_search import RNNSearch
from keras_attention.models.sca_cnn import SCACNN
from keras_attention.models.seq2seq_lstm import Seq2SeqLSTM
from keras_attention.models.show_attend_tell import ShowAttendTell
from keras_attention.models.transformer import Transformer
from keras_attention.models.transformer_captioner import TransformerCaptioner
from keras_attention.models.translator import Translation
from keras_attention.models.vit import ViT
from keras_attention.models.vit_segmenter import ViTSegmenter
from keras_attention.models.vivit import ViViT, joint_probabilities

__all__ = [
    "Caption",
    "ConvEncoder",
    "LuongNMT",
    "RNNSearch",
    "SCACNN",
    "Seq2SeqLSTM",
    "ShowAttendTell",
    "Transformer",
    "TransformerCaptioner",
    "Translation",
    "ViT",
    "ViTSegmenter",
    "ViViT",
    "joint_probabilities",
]

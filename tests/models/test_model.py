import json
import weakref

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.layers import AdditiveAttention
from keras_attention.models import RNNSearch
from keras_attention.models.model import Model

SIZES = dict(
    source_vocabulary_size=17,
    target_vocabulary_size=19,
    embedding_dim=16,
    hidden_dim=8,
    alignment_dim=8,
    maxout_dim=8,
)
INPUTS = {
    "encoder_token_ids": np.array([[5, 6, 7], [8, 9, 0]]),
    "decoder_token_ids": np.array([[2, 4], [2, 5]]),
}


def answers(model):
    return ops.convert_to_numpy(ops.cast(model(INPUTS), "float32"))


def test_a_preset_folder_round_trips(tmp_path):
    model = RNNSearch(**SIZES)
    model.save_to_preset(tmp_path)
    again = RNNSearch.from_preset(tmp_path)
    np.testing.assert_allclose(answers(again), answers(model), atol=1e-6)


def test_overrides_change_a_named_size():
    model = RNNSearch.from_preset("rnn_search_tiny", **SIZES)
    assert model.hidden_dim == 8


def test_a_policy_is_kept_on_reload(tmp_path):
    model = RNNSearch(**SIZES, dtype="mixed_bfloat16")
    assert model.output_dense.compute_dtype == "bfloat16"
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.output_dense.dtype_policy.name == "mixed_bfloat16"
    np.testing.assert_array_equal(answers(again), answers(model))


def test_a_quantized_model_reloads_and_saves_again(tmp_path):
    model = RNNSearch(**SIZES, attention=AdditiveAttention(16))
    expected = answers(model)
    model.quantize("int8")
    assert model.output_dense.quantization_mode == "int8"
    quantized = answers(model)
    assert 0 < np.abs(quantized - expected).max() < 0.1
    model.save_to_preset(tmp_path / "preset")
    again = RNNSearch.from_preset(tmp_path / "preset")
    again.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.output_dense.quantization_mode == "int8"
    assert again.decoder.attention.query_dense.quantization_mode == "int8"
    np.testing.assert_allclose(answers(again), quantized, atol=1e-6)


class Row(Model):
    """Layers in a row, and one more that reads the first and the last."""

    def __init__(self, made):
        class Next(keras.layers.Layer):
            def call(self, x):
                y = x + 1
                made.append(weakref.ref(y))
                return y

        inputs = keras.Input((3,))
        first = x = Next()(inputs)
        for _ in range(5):
            x = Next()(x)
        made.clear()
        outputs = {"first": first, "sum": keras.layers.Add()([first, x])}
        super().__init__(inputs=inputs, outputs=outputs)


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="of eager results on torch"
)
def test_a_result_is_forgotten_once_all_layers_have_read_it():
    import torch

    made, held = [], []
    model = Row(made)
    with torch.no_grad():
        model.layers[-1].register_forward_pre_hook(
            lambda *_: held.extend(x() is not None for x in made)
        )
        outputs = model(np.zeros((2, 3), "float32"))
    assert held == [True, False, False, False, False, True]
    for name, each in (("first", 1.0), ("sum", 7.0)):
        found = ops.convert_to_numpy(outputs[name])
        np.testing.assert_array_equal(found, np.full((2, 3), each))


def test_misspelt_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Received: dropuot"):
        RNNSearch(**SIZES, dropuot=0.5)
    with pytest.raises(ValueError, match="Received: hiden_dim"):
        RNNSearch.from_preset("rnn_search_tiny", **{**SIZES, "hiden_dim": 3})


def test_low_rank_updates_train_alone():
    model = RNNSearch(**SIZES)
    expected = answers(model)
    model.enable_lora(2)
    np.testing.assert_allclose(answers(model), expected, atol=1e-6)
    names = {v.path.split("/")[-2] for v in model.trainable_variables}
    assert names == {"query", "key"}
    assert all("lora" in v.name for v in model.trainable_variables)
    frozen = [ops.convert_to_numpy(v) for v in model.non_trainable_variables]
    model.compile(keras.optimizers.SGD(10.0), "mse")
    for _ in range(2):
        model.train_on_batch(INPUTS, np.ones((2, 2, 19)))
    for before, after in zip(
        frozen, model.non_trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(before, ops.convert_to_numpy(after))
    assert np.abs(answers(model) - expected).max() > 0


def test_layers_to_update_must_be_there():
    with pytest.raises(ValueError, match="`rank` must be a positive integer"):
        RNNSearch(**SIZES).enable_lora(0)
    with pytest.raises(ValueError, match="must name layers"):
        RNNSearch(**SIZES).enable_lora(2, layer_names=("nothing",))


def test_what_is_no_preset_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be one of.*rnn_search_tiny"):
        RNNSearch.from_preset("rnn_search_huge")
    with pytest.raises(ValueError, match="Check the path"):
        RNNSearch.from_preset(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="must be what `save_to_preset`"):
        RNNSearch.from_preset(tmp_path)
    text = json.dumps({"class_name": "Transformer", "config": {}})
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="must hold a RNNSearch"):
        RNNSearch.from_preset(tmp_path)


# Keras tries an older layout before it gives up, and says so.
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_missing_and_wrong_weights_are_refused(tmp_path):
    RNNSearch(**SIZES).save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="must fit the model"):
        RNNSearch.from_preset(tmp_path, maxout_dim=9)
    (tmp_path / "model.weights.h5").write_bytes(b"not weights")
    with pytest.raises(ValueError, match="must fit the model"):
        RNNSearch.from_preset(tmp_path)
    (tmp_path / "model.weights.h5").unlink()
    with pytest.raises(ValueError, match="model.weights.h5"):
        RNNSearch.from_preset(tmp_path)


def test_compiled_functions_follow_the_weights():
    model = RNNSearch(**SIZES)
    run = model.compile_function(
        "logits", lambda *ids: model(dict(zip(INPUTS, ids, strict=True)))
    )
    ids = [ops.array(x) for x in INPUTS.values()]
    before = ops.convert_to_numpy(run(*ids))
    np.testing.assert_allclose(before, answers(model), atol=1e-5)
    model.output_dense.bias.assign_add(np.ones(19))
    after = ops.convert_to_numpy(run(*ids))
    np.testing.assert_allclose(after, before + 1, atol=1e-5)
    assert model.compile_function("logits", None) is run

"""What makes a `Transformer` of a Marian checkpoint, and the other way.

`converters.marian` knows names and layouts; this knows folders and tokenizers.
"""

import json
from pathlib import Path

from keras_attention.converters import marian as names
from keras_attention.converters.huggingface import (
    CONFIG_FILE,
    GENERATION_CONFIG_FILE,
    WEIGHT_FILES,
    read_json,
)
from keras_attention.converters.safetensors_file import write_safetensors
from keras_attention.data.marian_tokenizer import (
    HUGGINGFACE_FILES,
    MarianTokenizer,
    write_huggingface_files,
)
from keras_attention.models.folders import written_at_once
from keras_attention.models.model import effective_weights

TOKENIZER_FILES = HUGGINGFACE_FILES


def read_config(folder: Path) -> dict:
    """The constructor's arguments in a checkpoint's folder.

    Without any file of the tokenizers there are none among them.
    """
    config, generation_config = read_json(folder / CONFIG_FILE), {}
    if (folder / GENERATION_CONFIG_FILE).is_file():
        generation_config = read_json(folder / GENERATION_CONFIG_FILE)
    arguments = names.constructor_arguments(config, generation_config)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return arguments
    ids = names.special_ids(config, generation_config)
    source, target = MarianTokenizer.from_huggingface(folder, ids.start)
    for name, tokenizer, expected in (
        ("pad_token_id", source.pad_id, ids.pad),
        ("eos_token_id", source.end_id, ids.end),
        ("eos_token_id", target.end_id, ids.end),
    ):
        if tokenizer != expected:
            raise ValueError(
                "The vocabulary must have the special ids of config.json. "
                f"Received: {name}={expected}, and {tokenizer} in the "
                f"vocabulary of {str(folder)!r}. Use the files of one "
                "checkpoint."
            )
    return {
        **arguments,
        "source_tokenizer": source,
        "target_tokenizer": target,
    }


def from_huggingface_weights(model, weights: dict) -> dict:
    """A checkpoint's weights by the paths of the model's layers."""
    return names.to_transformer(weights, _arguments(model, names.SIZES))


def to_huggingface(model, folder: str | Path) -> None:
    """Writes a Marian checkpoint that the transformers library loads.

    `MarianMTModel.from_pretrained(folder)` and `MarianTokenizer` read it, and
    so does CTranslate2's converter. Low-rank updates are merged into their
    kernels. The model must be of Marian's kind (post-norm, positions in
    halves, `layer_norm_epsilon=1e-5`), as one loaded from such a checkpoint
    is. A target starts with the embedding of `<pad>`, where CTranslate2 starts
    with zeros: training moves that embedding away from them.

    Args:
        folder: Gets `config.json`, `generation_config.json`,
            `model.safetensors`, `source.spm`, `target.spm`, `vocab.json` and
            `tokenizer_config.json`, once all of them are written.

    Raises:
        ValueError: The model is of another kind or quantized, or its
            tokenizers are no `MarianTokenizer`; or the folder holds a model
            that `save_to_preset` wrote.
    """
    tokenizers = model.source_tokenizer, model.target_tokenizer
    if not all(isinstance(x, MarianTokenizer) for x in tokenizers):
        kinds = " and ".join(type(x).__name__ for x in tokenizers)
        raise ValueError(
            "A Marian checkpoint has two MarianTokenizers. Received: "
            f"{kinds}. Keep the model as a preset, with `save_to_preset`."
        )
    source, target = tokenizers
    ids = names.SpecialIds(source.pad_id, target.start_id, target.end_id)
    config, generation_config = names.huggingface_configs(
        _arguments(model, names.ARGUMENTS), ids
    )
    sizes = _arguments(model, names.SIZES)
    weights = names.from_transformer(
        effective_weights(model, [x.ours for x in names.entries(sizes)]), sizes
    )
    with written_at_once(folder) as temporary:
        for name, values in (
            (CONFIG_FILE, config),
            (GENERATION_CONFIG_FILE, generation_config),
        ):
            text = json.dumps(values, indent=2) + "\n"
            (temporary / name).write_text(text, encoding="utf-8")
        write_huggingface_files(temporary, source, target)
        write_safetensors(temporary / WEIGHT_FILES[0], weights)


def _arguments(model, wanted):
    return {name: getattr(model, name) for name in wanted}

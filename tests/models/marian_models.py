"""Random Marian models of the transformers library, as references."""

import numpy as np
import torch
import transformers

SIZES = dict(
    vocab_size=31,
    d_model=26,
    encoder_layers=2,
    decoder_layers=3,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=37,
    decoder_ffn_dim=37,
    max_position_embeddings=64,
    activation_function="swish",
    scale_embedding=True,
    eos_token_id=0,
    forced_eos_token_id=0,
)


def randomized(model, seed=0):
    """The model with nothing left as it was initialized: a normalization of
    ones or a bias of zeros would hide that it is not used."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "embed_positions" in name:
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.add_(0.3 * noise)
    return model.eval()


def marian(pad=30, seed=0, **sizes):
    torch.manual_seed(seed)
    config = transformers.MarianConfig(
        **{**SIZES, **sizes}, pad_token_id=pad, decoder_start_token_id=pad
    )
    model = transformers.MarianMTModel(config)
    if not config.tie_word_embeddings and (
        config.share_encoder_decoder_embeddings
    ):
        # transformers then ties the two sides neither.
        for side in (model.model.encoder, model.model.decoder):
            side.embed_tokens = model.model.shared
    return randomized(model, seed)


def pegasus(pad=30):
    """Marian's layers in pre-norm, with a normalization at each end."""
    torch.manual_seed(0)
    config = transformers.PegasusConfig(
        **SIZES, pad_token_id=pad, decoder_start_token_id=pad
    )
    return randomized(transformers.PegasusForConditionalGeneration(config))


def token_ids(pad, source_size=31, target_size=31):
    """Sources with padding in the middle of the batch, and targets."""
    rng = np.random.default_rng(3)
    source = rng.integers(0, source_size - 1, (3, 7))
    target = rng.integers(0, target_size - 1, (3, 5))
    source[source == pad] = 1
    source[1, 4:] = pad
    target[:, 0] = pad
    return source, target


def logits_of(model, source, target, pad):
    with torch.no_grad():
        return model(
            input_ids=torch.tensor(source),
            attention_mask=torch.tensor(source != pad).long(),
            decoder_input_ids=torch.tensor(target),
        ).logits.numpy()


def that_ends(pad, end_like=114, seed=1):
    """A model whose sentences end early, late and never.

    A decoder that hardly changes what it is given, with a sign flipped in
    its last normalization, neither repeats its input nor forgets where it is;
    the end trades places with a token that this one writes now and then.
    """
    size = pad + 1
    model = marian(
        pad,
        seed,
        scale_embedding=False,
        vocab_size=size,
        decoder_vocab_size=size,
    )
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "decoder.layers" in name and not name.endswith("norm.weight"):
                tensor.mul_(2 / 3)
        model.model.decoder.layers[-1].final_layer_norm.weight[::2].neg_()
        for rows in (model.model.shared.weight, model.final_logits_bias[0]):
            rows[[0, end_like]] = rows[[end_like, 0]]
    model.generation_config.bad_words_ids = [[pad]]
    return model

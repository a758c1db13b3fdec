"""PyTorch's own Transformer with the weights of a `TransformerCaptioner`."""

import keras
import numpy as np


def array(x):
    return keras.ops.convert_to_numpy(x).astype("float32")


class TorchCaptioner:
    """Logits `(B, T, V)` and the last block's scores `(B, T, S)`.

    Args:
        model: A `TransformerCaptioner`.
    """

    def __init__(self, model):
        from torch import nn

        self.model = model
        sizes = dict(
            d_model=model.hidden_dim,
            nhead=model.num_heads,
            dim_feedforward=model.intermediate_dim,
            dropout=0.0,
            layer_norm_eps=1e-6,
            batch_first=True,
            norm_first=model.normalize_first,
        )

        def norm():
            return nn.LayerNorm(model.hidden_dim, eps=1e-6)

        end = model.normalize_first
        self.encoder = None
        if model.num_encoder_layers:
            self.encoder = nn.TransformerEncoder(
                nn.TransformerEncoderLayer(**sizes),
                model.num_encoder_layers,
                norm() if end else None,
                enable_nested_tensor=False,
            )
            for theirs, ours in zip(
                self.encoder.layers, model.encoder_blocks, strict=True
            ):
                copy_block(theirs, ours, ["self_attention", "feed_forward"])
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(**sizes),
            model.num_layers,
            norm() if end else None,
        )
        for theirs, ours in zip(
            self.decoder.layers, model.decoder_blocks, strict=True
        ):
            names = ["self_attention", "cross_attention", "feed_forward"]
            copy_block(theirs, ours, names)
        self.project = nn.LazyLinear(model.hidden_dim)
        self.norm = norm()
        for theirs, name in (
            (self.norm, "features_norm"),
            (self.decoder.norm, "decoder_norm"),
            (self.encoder and self.encoder.norm, "encoder_norm"),
        ):
            if theirs is not None:
                copy_norm(theirs, model.get_layer(name))

    def __call__(self, inputs):
        import torch

        model = self.model
        features, ids = (np.asarray(x) for x in inputs.values())
        _, height, width, _ = features.shape
        if model.coordinates:
            rows, columns = np.meshgrid(
                np.linspace(-1, 1, height),
                np.linspace(-1, 1, width),
                indexing="ij",
            )
            where = np.stack([rows, columns], -1)[None]
            where = np.repeat(where, len(features), 0)
            features = np.concatenate([features, where], -1)
        places = torch.tensor(
            features.reshape(len(features), height * width, -1),
            dtype=torch.float32,
        )
        with torch.no_grad():
            self.project(places)
            copy_dense(self.project, model.get_layer("project_features"))
            memory = self.norm(self.project(places))
            if self.encoder is not None:
                memory = self.encoder(memory)
            return self.decode(ids, memory)

    def decode(self, ids, memory):
        import torch
        from torch import nn

        d, length = self.model.hidden_dim, ids.shape[1]
        embedding = array(self.model.get_layer("decoder_embedding").embeddings)
        angles = np.arange(length)[:, None] / 10000 ** (np.arange(0, d, 2) / d)
        waves = np.stack([np.sin(angles), np.cos(angles)], -1)
        words = embedding[ids] * np.sqrt(d) + waves.reshape(length, d)
        words = torch.tensor(words, dtype=torch.float32)
        last, read = self.decoder.layers[-1].multihead_attn, []
        handle = last.register_forward_pre_hook(
            lambda layer, inputs: read.append(inputs[0])
        )
        x = self.decoder(
            words,
            memory,
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(length),
        )
        handle.remove()
        _, scores = last(read[0], memory, memory)  # the mean over the heads
        kernel = embedding.T
        if not self.model.tie_output:
            kernel = array(self.model.get_layer("output").kernel)
        return x.numpy() @ kernel, scores.numpy()


def assign(parameter, value):
    import torch

    parameter.data = torch.tensor(array(value)).reshape(parameter.shape)


def copy_norm(theirs, ours):
    assign(theirs.weight, ours.gamma)
    assign(theirs.bias, ours.beta)


def copy_dense(theirs, ours):
    assign(theirs.weight, array(ours.kernel).T.copy())
    assign(theirs.bias, ours.bias)


def copy_attention(theirs, ours):
    size = theirs.embed_dim
    parts = ours.query_dense, ours.key_dense, ours.value_dense
    kernels = [array(x.kernel).reshape(size, size).T for x in parts]
    assign(theirs.in_proj_weight, np.concatenate(kernels))
    biases = [array(x.bias).reshape(-1) for x in parts]
    assign(theirs.in_proj_bias, np.concatenate(biases))
    kernel = array(ours.output_dense.kernel).reshape(size, size)
    assign(theirs.out_proj.weight, kernel.T.copy())
    assign(theirs.out_proj.bias, ours.output_dense.bias)


def copy_block(theirs, ours, names):
    for index, name in enumerate(names):
        norm = getattr(theirs, f"norm{index + 1}")
        copy_norm(norm, getattr(ours, f"{name}_norm"))
    copy_attention(theirs.self_attn, ours.self_attention)
    if "cross_attention" in names:
        copy_attention(theirs.multihead_attn, ours.cross_attention)
    wide, output = ours.feed_forward.intermediate_dense, ours.feed_forward
    copy_dense(theirs.linear1, wide)
    copy_dense(theirs.linear2, output.output_dense)

"""Steps of models that classify images or videos.

`sizes` has `ours()`, our model; `data()`, its inputs and labels; and `dtype`,
the policy of both sides. A peer of torch is a module that was made for the
same sizes; half precision is autocast's in training and the weights' in
inference.
"""

import keras
import numpy as np

from benchmarks.steps import between_batches, forward, wait


def training(sizes):
    """A step of `fit` with AdamW, ours."""
    return lambda: step_of_fit(sizes.ours(), *sizes.data())


def inference(sizes):
    """Logits of a batch, ours."""
    return lambda: predict(sizes.ours(), sizes.data()[0])


def step_of_fit(model, inputs, labels):
    model.compile(
        keras.optimizers.AdamW(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() != "torch",
    )
    return between_batches(model, (inputs, labels))


def predict(model, inputs):
    return forward(lambda x: model(x, training=False), [inputs], model)


def torch_training(model, sizes, axes):
    """The same as `training` in a loop of torch.

    Args:
        model: A module that returns logits, or an output that has them.
        sizes: As above.
        axes: Those of our inputs in the order in which the module has them.
    """
    import torch

    model = model.to(torch_device()).train()
    optimizer = torch.optim.AdamW(model.parameters())
    inputs, labels = torch_data(sizes, axes)
    half = torch.autocast(
        inputs.device.type, torch.bfloat16, enabled=sizes.dtype != "float32"
    )

    def step():
        with half:
            output = model(inputs)
            logits = getattr(output, "logits", output)
            loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Read as `fit` reads it for its progress bar.
        return loss.item()

    return step


def torch_inference(model, sizes, axes):
    """The same as `inference`; arguments of `torch_training`."""
    import torch

    dtype = torch.float32 if sizes.dtype == "float32" else torch.bfloat16
    model = model.to(torch_device()).eval().to(dtype)
    inputs = torch_data(sizes, axes)[0].to(dtype)

    def step():
        with torch.no_grad():
            model(inputs)
        wait()

    return step


def torch_data(sizes, axes):
    import torch

    inputs, labels = sizes.data()
    inputs = np.ascontiguousarray(inputs.transpose(axes))
    device = torch_device()
    return (
        torch.tensor(inputs, device=device),
        torch.tensor(labels, device=device, dtype=torch.long),
    )


def torch_device():
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"

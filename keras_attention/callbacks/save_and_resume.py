import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_attention.callbacks.variables import to_numpy


class SaveAndResume(keras.callbacks.Callback):
    """Saves at each epoch's end all that training needs to go on.

    That is every variable of the model and its optimizer, dropout's random
    seeds among them, the logs of the epochs so far, and the state of other
    callbacks. One file holds it all and is replaced in one move, so that a
    kill at any moment leaves a state that belongs together
    (`keras.callbacks.BackupAndRestore` writes weights and epoch one after the
    other, and knows no other callbacks). A run that goes on from it ends as
    one that was not killed, as long as its data depend on the epoch alone.

    Args:
        path: The file, `.npz`.
        callbacks: Those whose state is saved too: each has `get_state()`,
            a dict of numbers and arrays, and `set_state(state)`. Pass them
            to `fit` as well, before this one.

    Examples:
        The model must be compiled:

        >>> import tempfile, keras
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((4, 3)), np.ones((4, 1))
        >>> path = f"{tempfile.mkdtemp()}/state.npz"
        >>> def train(epochs):
        ...     resume = SaveAndResume(path)
        ...     first = resume.restore(model)
        ...     model.fit(x, y, epochs=epochs, initial_epoch=first,
        ...               callbacks=[resume], verbose=0)
        ...     return first, len(resume.history)
        >>> train(epochs=2)
        (0, 2)
        >>> train(epochs=5)
        (2, 5)
    """

    def __init__(
        self,
        path: str | Path,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ):
        super().__init__()
        self.path, self.callbacks = Path(path), list(callbacks)
        self.history, self.finished = [], False
        self._torch_random_state = {}

    def restore(self, model: keras.Model) -> int:
        """Brings model, optimizer and callbacks to the state in the file.

        Args:
            model: Built and compiled as when the file was written.

        Returns:
            The epoch to go on with, 0 if there is no file. `history` has the
            logs of those before, and `finished` tells whether training had
            stopped by itself.

        Raises:
            ValueError: If the file cannot be read or is of another model.
        """
        if not self.path.is_file():
            return 0
        try:
            with (  # NumPy leaves a file open that is no archive
                self.path.open("rb") as content,
                np.load(content, allow_pickle=False) as file,
            ):
                arrays = dict(file)
            about = json.loads(str(arrays.pop("about")))
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            zipfile.BadZipFile,
        ) as error:
            raise ValueError(
                f"{self.path} must be a state of `SaveAndResume`. Received: "
                f"{error}. Delete it to begin anew."
            ) from None
        model.optimizer.build(model.trainable_variables)
        variables = [*model.variables, *model.optimizer.variables]
        values = [
            x for name, x in arrays.items() if name.startswith("variables/")
        ]
        ours, theirs = (
            [tuple(x.shape) for x in xs] for xs in (variables, values)
        )
        if ours != theirs or len(about["callbacks"]) != len(self.callbacks):
            raise ValueError(
                f"{self.path} must be of the model that is to go on. "
                f"Received: a state of {len(values)} variables and "
                f"{len(about['callbacks'])} callbacks for a model with "
                f"{len(variables)} and {len(self.callbacks)}, or of other "
                "shapes. Delete it to begin anew."
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        for index, callback in enumerate(self.callbacks):
            start = f"callbacks/{index}/"
            callback.set_state(
                {
                    name.removeprefix(start): value
                    for name, value in arrays.items()
                    if name.startswith(start)
                }
            )
        self._torch_random_state = {
            name: state
            for name, state in arrays.items()
            if name.startswith("torch/")
        }
        self.history, self.finished = about["history"], about["finished"]
        return len(self.history)

    def on_epoch_begin(self, epoch, logs=None):
        # Not before: `fit` itself draws while it looks at the first batch.
        set_torch_random_state(self._torch_random_state)
        self._torch_random_state = {}

    def on_epoch_end(self, epoch, logs=None):
        self.history.append({k: float(v) for k, v in (logs or {}).items()})
        self.finished = self.model.stop_training
        variables = [*self.model.variables, *self.model.optimizer.variables]
        arrays: dict[str, Any] = {
            f"variables/{i}": to_numpy(v) for i, v in enumerate(variables)
        }
        arrays.update(torch_random_state())
        for index, callback in enumerate(self.callbacks):
            for name, value in callback.get_state().items():
                arrays[f"callbacks/{index}/{name}"] = np.asarray(value)
        about = {
            "history": self.history,
            "finished": self.finished,
            "callbacks": [type(c).__name__ for c in self.callbacks],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(self.path.name + ".new")
        with open(new, "wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)


def torch_random_state():
    """States of torch's generators, from which dropout draws on torch.

    On the other backends all randomness is in the model's variables.
    """
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = {"torch/cpu": torch.get_rng_state().numpy()}
    if torch.cuda.is_available():
        for i, state in enumerate(torch.cuda.get_rng_state_all()):
            states[f"torch/cuda/{i}"] = state.numpy()
    return states


def set_torch_random_state(states):
    """The inverse of `torch_random_state`."""
    if keras.backend.backend() != "torch" or not states:
        return
    import torch

    torch.set_rng_state(torch.from_numpy(states["torch/cpu"]))
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            if f"torch/cuda/{i}" in states:
                state = torch.from_numpy(states[f"torch/cuda/{i}"])
                torch.cuda.set_rng_state(state, i)

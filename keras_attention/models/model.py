import collections
import json
import warnings
from pathlib import Path

import keras
from keras import ops

from keras_attention.converters import huggingface
from keras_attention.models import hub
from keras_attention.models.unfilled import unfilled_weights
from keras_attention.ops import checks

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.weights.h5"

# Checkpoints of timm lie on the same hub, without a `model_type`.
TIMM = "timm"


class Model(keras.Model):
    """What the models of this package share, on top of `keras.Model`.

    A subclass lists sizes in `presets`, builds its functional graph in
    `__init__` and ends with `super().__init__(inputs=..., outputs=...,
    dtype=dtype, **kwargs)`. Its `get_config` is flat: one entry per argument.

    One that reads checkpoints of Hugging Face's says of which `model_type`
    (`huggingface_types`) and with which files beside configs and weights
    (`huggingface_files`), and defines `read_huggingface_config` and
    `from_huggingface_weights`.

    Args:
        *args: Passed to `keras.Model`.
        dtype: The policy its layers were made with.
        **kwargs: Passed to `keras.Model`.
    """

    presets: dict[str, dict] = {}
    huggingface_types: tuple[str, ...] = ()
    huggingface_files: tuple[str, ...] = ()

    def __init__(self, *args, dtype=None, **kwargs):
        unknown = sorted(
            set(kwargs) - {"inputs", "outputs", "name", "trainable"}
        )
        if unknown:
            raise ValueError(
                f"{type(self).__name__} must be made with arguments that it "
                f"has. Received: {', '.join(unknown)}. Check the spelling."
            )
        super().__init__(*args, **kwargs)
        if dtype is not None:
            self.dtype_policy = keras.dtype_policies.get(dtype)
        self._compiled_functions = {}

    @classmethod
    def from_preset(cls, preset: str | Path, **overrides):
        """Makes a model of a published size, or reads one that was saved.

        Args:
            preset: A name in `presets` (sizes, random weights); a folder
                written by `save_to_preset` (sizes and weights), or one with
                the files of a Hugging Face checkpoint, where the class reads
                such; or `hf://user/repo`, either of them on the Hugging Face
                hub (`hf://user/repo@revision` for one of its revisions).
            **overrides: Constructor arguments that replace the preset's.
                With weights, only those that leave them as they are.

        Returns:
            The model.

        Raises:
            ValueError: `preset` is none of them, or the folder holds another
                class, or its files do not fit together; or the hub cannot be
                reached and the files are not in its cache.
        """
        if preset in cls.presets:
            return cls(**{**cls.presets[str(preset)], **overrides})
        if str(preset).startswith(hub.PREFIX):
            folder = hub.download(str(preset), cls.choose_files)
        else:
            folder = Path(preset)
        if not (folder / CONFIG_FILE).is_file():
            raise ValueError(
                f"`preset` must be one of {sorted(cls.presets)} or a folder "
                f"with a {CONFIG_FILE}, as `save_to_preset` writes. Received: "
                f"preset={str(preset)!r}. Check the path."
            )
        if is_huggingface(folder):
            return cls.from_huggingface(folder, overrides)
        config = cls.read_preset_config(folder)
        model = cls.from_config({**config, **overrides})
        path = folder / WEIGHTS_FILE
        if not path.is_file():
            raise ValueError(
                f"A preset folder must hold {WEIGHTS_FILE}. "
                f"Received: {str(folder)!r} without one. Save it again."
            )
        try:
            model.load_weights(path)
        except (ValueError, OSError) as error:
            raise ValueError(
                f"The weights in {str(path)!r} must fit the model of the "
                f"{CONFIG_FILE} beside it and the arguments given. "
                f"Received: {error} Save the preset again, or leave out "
                "the arguments that change sizes."
            ) from error
        return model

    @classmethod
    def choose_files(cls, names: list[str]) -> list[str]:
        """Which files of a repository `from_preset` reads."""
        if WEIGHTS_FILE in names:
            parts = (CONFIG_FILE, WEIGHTS_FILE)
            return [x for x in names if x in parts or "_tokenizer/" in x]
        weights = huggingface.weight_files(names)
        if CONFIG_FILE not in names or not weights:
            return []
        wanted = (
            CONFIG_FILE,
            huggingface.GENERATION_CONFIG_FILE,
            *cls.huggingface_files,
            *weights,
        )
        return [name for name in names if name in wanted]

    @classmethod
    def from_huggingface(cls, folder, overrides):
        """Makes the model of a checkpoint's folder."""
        config = huggingface.read_json(folder / CONFIG_FILE)
        kind = config.get("model_type", TIMM)
        if kind not in cls.huggingface_types:
            raise ValueError(
                f"{cls.__name__} must be given a checkpoint that it reads, "
                f"with a `model_type` out of {list(cls.huggingface_types)}. "
                f"Received: {str(folder)!r} with model_type={kind!r}. Take "
                "another class, or another checkpoint."
            )
        weights = huggingface.read_weights(folder)
        arguments = cls.read_huggingface_config(folder, weights)
        return cls.from_arrays(
            {**arguments, **overrides},
            lambda model: model.from_huggingface_weights(weights),
        )

    @classmethod
    def from_arrays(cls, arguments, arrays_of):
        """Makes a model of weights that are there.

        Args:
            arguments: Those of the constructor.
            arrays_of: `arrays_of(model)` returns arrays by path, as
                `assign_weights` takes them, for all of its weights.
        """
        with unfilled_weights():
            model = cls(**arguments)
        arrays = arrays_of(model)
        assign_weights(model, arrays)
        left = len(model.weights) - len(arrays)
        if left:
            raise RuntimeError(f"{left} weights of {model.name} were not read.")
        return model

    @classmethod
    def read_huggingface_config(cls, folder, weights):
        """The constructor arguments in a checkpoint's folder.

        Args:
            folder: The folder.
            weights: The arrays in it by name.
        """
        raise NotImplementedError(f"{cls.__name__} reads no checkpoints.")

    def from_huggingface_weights(self, weights):
        """A checkpoint's arrays, by the paths of our variables."""
        raise NotImplementedError(f"{self.name} reads no checkpoints.")

    @classmethod
    def read_preset_config(cls, folder):
        """The constructor arguments in a preset folder, checked."""
        path = folder / CONFIG_FILE
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            name, config = saved["class_name"], saved["config"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{str(path)!r} must be what `save_to_preset` writes, JSON "
                f"with `class_name` and `config`. Received: {error!r}."
            ) from error
        if name != cls.__name__:
            raise ValueError(
                f"The preset must hold a {cls.__name__}. Received: "
                f"{str(folder)!r}, a {name}. Call {name}.from_preset."
            )
        return config

    def save_to_preset(self, folder: str | Path):
        """Writes the model to a folder that `from_preset` reads.

        Args:
            folder: Created if it is not there. Gets `config.json` and
                `model.weights.h5`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = self.write_preset_parts(folder, self.get_config())
        text = json.dumps(
            {"class_name": type(self).__name__, "config": config}, indent=2
        )
        (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
        self.save_weights(folder / WEIGHTS_FILE)

    def write_preset_parts(self, folder, config):
        """Writes what has files of its own; returns the rest of the config."""
        return config

    def enable_lora(
        self,
        rank: int,
        layer_names: tuple = ("query", "key", "value", "attention_output"),
    ):
        """Freezes the model but for low-rank updates of the named layers.

        Args:
            rank: Rank of the updates.
            layer_names: Names of the layers that get one.

        Raises:
            ValueError: No layer has such a name, or the rank is not positive.
        """
        checks.positive_int(rank, "rank")
        targets = [
            layer
            for layer in self._flatten_layers(include_self=False)
            if layer.name in layer_names and hasattr(layer, "enable_lora")
        ]
        if not targets:
            raise ValueError(
                "`layer_names` must name layers that can take a low-rank "
                f"update. Received: {layer_names}; none is in {self.name}."
            )
        for layer in self._flatten_layers(include_self=False):
            if not list(layer._flatten_layers(include_self=False)):
                layer.trainable = False
            else:
                freeze_own_variables(layer)
        for layer in targets:
            layer.trainable = True
            layer.enable_lora(rank)
        self._compiled_functions.clear()

    def quantize(self, *args, **kwargs):
        with warnings.catch_warnings():
            # Keras names every layer that has nothing to quantize.
            warnings.filterwarnings("ignore", message=".*`quantize` method")
            super().quantize(*args, **kwargs)
        self._compiled_functions.clear()

    def compile_function(self, key, function):
        """`function` of tensors, compiled once per `key` on each backend.

        One graph on TensorFlow (with XLA if the model is compiled so), one
        `jit` on JAX, eager without gradients on torch.

        Args:
            key: Hashable; what `function` depends on beside its arguments.
            function: Takes tensors and uses the model's weights.
        """
        if key not in self._compiled_functions:
            self._compiled_functions[key] = self._compile(function)
        return self._compiled_functions[key]

    def _run_through_graph(
        self, inputs, operation_fn=lambda layer: layer, call_fn=None
    ):
        """Keras's, but a result is forgotten once all layers have read it.

        Keras keeps all until the end, which in a compiled graph costs
        nothing: without gradients, torch would hold each block's output.
        """
        if keras.backend.backend() != "torch" or call_fn is not None:
            return super()._run_through_graph(inputs, operation_fn, call_fn)
        nodes = [
            node
            for _, nodes in sorted(self._nodes_by_depth.items(), reverse=True)
            for node in nodes
            if not node.is_input
        ]
        readers = collections.Counter(map(id, self.outputs))
        for node in nodes:
            readers.update(map(id, node.input_tensors))
        inputs = keras.tree.flatten(inputs)
        known = dict(zip(map(id, self.inputs), inputs, strict=True))
        for node in nodes:
            args, kwargs = node.arguments.fill_in(known)
            made = operation_fn(node.operation)(*args, **kwargs)
            made = keras.tree.flatten(made)
            known.update(zip(map(id, node.outputs), made, strict=True))
            for x in map(id, node.input_tensors):
                readers[x] -= 1
                if not readers[x]:
                    del known[x]
            del args, kwargs, made
        outputs = [known[id(x)] for x in self.outputs]
        return keras.tree.pack_sequence_as(self._outputs_struct, outputs)

    def _compile(self, function):
        backend = keras.backend.backend()
        if backend == "tensorflow":
            import tensorflow as tf

            # Nothing here is control flow of Python, and AutoGraph would
            # rewrite all that is called, which takes seconds.
            compiled = tf.function(
                function, autograph=False, jit_compile=bool(self.jit_compile)
            )
            # A call of `compiled` would warn of the few shapes that are meant
            # to be compiled.
            return lambda *args: compiled.get_concrete_function(*args)(*args)
        if backend == "jax":
            import jax

            seeds = [
                v for v in self.variables if v.name == "seed_generator_state"
            ]

            @jax.jit
            def stateless(values, *args):
                mapping = zip(self.variables, values, strict=True)
                with keras.StatelessScope(state_mapping=mapping) as scope:
                    result = function(*args)
                return result, list(map(scope.get_current_value, seeds))

            def stateful(*args):
                result, states = stateless(
                    [variable.value for variable in self.variables], *args
                )
                # What draws must not draw the same the next time.
                for seed, state in zip(seeds, states, strict=True):
                    seed.assign(state)
                return result

            return stateful
        import torch

        return torch.no_grad()(function)

    def get_config(self):
        config = {"name": self.name, "trainable": self.trainable}
        serialize = keras.dtype_policies.serialize
        policy = self.dtype_policy
        if not isinstance(policy, keras.dtype_policies.DTypePolicyMap):
            # Quantized layers keep policies of their own: without them the
            # reloaded model would not have the variables that were saved.
            quantized = keras.dtype_policies.DTypePolicyMap(
                default_policy=policy
            )
            for layer in self._flatten_layers():
                if layer.quantization_mode is not None:
                    quantized[layer.path] = layer.dtype_policy
            policy = quantized if len(quantized) else policy
        return {**config, "dtype": serialize(policy)}

    @classmethod
    def from_config(cls, config):
        """Makes the model of a config, and quantizes what was quantized.

        Layers are made with plain policies and quantized afterwards, each by
        its own: one that is handed the whole map can be read but not saved
        again (Keras's `Embedding` asks the map for its mode).
        """
        policy, quantized = _split_policy(config.get("dtype"))
        model = cls(**{**config, "dtype": policy})
        for layer in model._flatten_layers(include_self=False):
            if layer.path in quantized:
                layer.dtype_policy = quantized[layer.path]
        return model


def _split_policy(dtype):
    """A policy without its quantized entries, and those by layer path."""
    policy = None if dtype is None else keras.dtype_policies.get(dtype)
    if not isinstance(policy, keras.dtype_policies.DTypePolicyMap):
        return policy, {}
    quantized = {
        path: entry
        for path, entry in policy.items()
        if entry.quantization_mode is not None
    }
    rest = {path: policy[path] for path in policy if path not in quantized}
    if not rest:
        return policy.default_policy, quantized
    return (
        keras.dtype_policies.DTypePolicyMap(policy.default_policy, rest),
        quantized,
    )


def is_huggingface(folder):
    """Whether the `config.json` in a folder is one of Hugging Face's."""
    try:
        text = (folder / CONFIG_FILE).read_text(encoding="utf-8")
        saved = json.loads(text)
    except ValueError:
        return False
    names = "model_type", "architecture"
    return isinstance(saved, dict) and any(name in saved for name in names)


def assign_weights(model, arrays):
    """Gives the variables at these paths, `layer/name`, their values."""
    for path, variable in _weights_at(model, arrays).items():
        variable.assign(arrays[path])


def effective_weights(model, paths):
    """What the layers at these paths compute with, as float32 NumPy arrays.

    Low-rank updates are added to the kernels that they update.
    """
    return {
        path: ops.convert_to_numpy(ops.cast(weight, "float32"))
        for path, weight in _weights_at(model, paths).items()
    }


def _weights_at(model, paths):
    layers = {
        layer.path: layer
        for layer in model._flatten_layers(include_self=False)
        if layer.path is not None
    }
    weights = {}
    for path in paths:
        where, _, name = path.rpartition("/")
        layer = layers[where]
        if layer.quantization_mode is not None:
            raise ValueError(
                "The weights of a checkpoint are floats. Received: "
                f"{model.name}, whose layer {where!r} is quantized to "
                f"{layer.quantization_mode}. Quantize after reading and "
                "writing them."
            )
        weights[path] = getattr(layer, name)
    return weights


def freeze_own_variables(layer):
    """Freezes what a layer with sublayers holds itself."""
    own = {id(v) for child in layer._layers for v in child.variables}
    for variable in layer.variables:
        if id(variable) not in own:
            variable.trainable = False

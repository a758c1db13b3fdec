"""Writes models of timm, random, with what they compute; in a process apart.

timm needs torchvision to be imported, though not for its vision Transformers,
and torchvision has no build beside the torch that tests install: its names
stand for nothing here, in this process alone.

    python -m tests.timm_reference FOLDER < models.json
"""

import importlib.abc
import importlib.machinery
import json
import sys
from pathlib import Path
from unittest import mock


class Nothing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Any module of torchvision, without content."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = mock.MagicMock()
        module.__path__ = []
        module.__spec__ = spec
        module.__version__ = "0.0"
        return module

    def exec_module(self, module):
        pass


def main(folder):
    sys.meta_path.insert(0, Nothing())
    import numpy as np
    import timm
    import torch
    from timm.models._hub import save_for_hf

    for name, about in json.load(sys.stdin).items():
        path = Path(folder, name)
        model = timm.create_model(about["architecture"], **about["options"])
        if "npz" in about:
            model.load_pretrained(about["npz"])
        else:
            generator = torch.Generator().manual_seed(1)
            with torch.no_grad():
                for weight in model.parameters():
                    noise = torch.randn(weight.shape, generator=generator)
                    weight.copy_(0.3 * noise + (weight.ndim == 1) * 0.5)
            save_for_hf(model, path, safe_serialization=True)
        path.mkdir(exist_ok=True)
        model.eval()
        size = model.patch_embed.img_size
        rng = np.random.default_rng(0)
        found = {}
        for key, shape in (("", size), ("resized ", about.get("resize"))):
            if shape is None:
                continue
            if key:
                model.set_input_size(img_size=tuple(shape))
            images = rng.uniform(-1, 1, (2, *shape, 3)).astype("float32")
            with torch.no_grad():
                pixels = torch.tensor(images.transpose(0, 3, 1, 2))
                output = model(pixels)
                states = model.forward_intermediates(
                    pixels,
                    output_fmt="NLC",
                    intermediates_only=True,
                    return_prefix_tokens=False,
                )
            found[f"{key}images"] = images
            found[f"{key}output"] = output.numpy()
            found |= {f"{key}{i}": x.numpy() for i, x in enumerate(states)}
        np.savez(path / "reference.npz", **found)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Optional dependencies, imported where they are used."""

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional dependency, or says which extra brings it.

    Args:
        module: Name of the module to import, dots allowed.
        extra: The extra of this distribution that installs it.

    Returns:
        The imported module.

    Raises:
        ImportError: If the package that holds `module` is not installed. An
            error from inside an installed package is raised as it is.

    Examples:
        >>> require("json", extra="applications").dumps([1])
        '[1]'
        >>> require("no_such_package", extra="video")
        Traceback (most recent call last):
        ...
        ImportError: `no_such_package` is not installed. Install it with ...
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise ImportError(
            f"`{package}` is not installed. Install it with "
            f'`pip install "keras-attention-layers[{extra}]"`.',
            name=package,
        ) from error

"""What tells one application from another. Imports no backend."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from applications.common import choices


@dataclass(frozen=True)
class Application:
    """What the commands of an application are made of.

    Args:
        name: Of its package in `applications`.
        examples: What it looks at, such as "pictures".
        recipes: Its recipes by name.
        check_recipe: Raises a ValueError where choices do not go together.
        weights: Trained weights to name where some are missing.
    """

    name: str
    examples: str
    recipes: dict[str, Any]
    check_recipe: Callable[[Any], None]
    weights: str

    @property
    def recipe_class(self):
        """The class of all recipes."""
        return type(next(iter(self.recipes.values())))

    def make_recipe(self, name, changes=()):
        """One of the recipes, changed and checked.

        Args:
            name: Its name.
            changes: Strings `field=value`.
        """
        return choices.choose(
            self.recipes, self.check_recipe, name, list(changes)
        )

    def module(self, name) -> Any:
        """A module of its package, imported now: most import a backend.

        Args:
            name: Of the module.
        """
        return importlib.import_module(f"applications.{self.name}.{name}")

"""Recipes: frozen dataclasses of choices, changed by `field=value`."""

import ast
import types
import typing
from dataclasses import fields, replace


def choose(recipes: dict, check, name: str, changes: list[str] = ()):
    """A recipe with some fields changed.

    Args:
        recipes: Recipes of one class by name.
        check: Takes a recipe and raises a ValueError where its values do not
            suit its fields.
        name: One of the names.
        changes: Strings of the form `field=value`.

    Returns:
        The recipe.

    Raises:
        ValueError: There is no such recipe or field, or `check` says so.

    Examples:
        >>> from applications.translation.recipes import make_recipe
        >>> make_recipe("demo", ["attention=mean", "steps=500"]).steps
        500
        >>> make_recipe("demo", ["step=50"])
        Traceback (most recent call last):
        ...
        ValueError: A recipe's fields are dataset, ... Received: step=50.
    """
    if name not in recipes:
        raise ValueError(
            f"The recipes are {', '.join(recipes)}. Received: {name}."
        )
    recipe, values = recipes[name], {}
    types_of = typing.get_type_hints(type(recipe))
    for change in changes:
        field, equals, text = change.partition("=")
        if not equals or field not in types_of:
            raise ValueError(
                f"A recipe's fields are {', '.join(types_of)}; one is changed "
                f"by field=value. Received: {change}."
            )
        values[field] = parse_value(text, types_of[field])
    recipe = replace(recipe, **values)
    check(recipe)
    return recipe


def parse_value(text, annotation):
    """The value that `text` stands for; whole numbers may be floats."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = {"true": True, "false": False}.get(text, text)
    allowed = allowed_types(annotation)
    if type(value) is int and float in allowed and int not in allowed:
        value = float(value)
    return value


def allowed_types(annotation):
    if isinstance(annotation, types.UnionType):
        return typing.get_args(annotation)
    return (typing.get_origin(annotation) or annotation,)


def check(recipe, choices: dict, shares: tuple[str, ...]):
    """Refuses what no part of a run would refuse in clearer words.

    Args:
        recipe: A dataclass; its numbers must be positive.
        choices: The values that some fields may have.
        shares: Fields between 0 and 1, without 1.
    """
    for field, annotation in typing.get_type_hints(type(recipe)).items():
        value = getattr(recipe, field)
        if type(value) not in allowed_types(annotation):
            name = getattr(annotation, "__name__", None) or str(annotation)
            raise ValueError(
                f"`{field}` must be of type {name}. Received: {field}={value}."
            )
    for field, allowed in choices.items():
        if getattr(recipe, field) not in allowed:
            raise ValueError(
                f"`{field}` must be one of {', '.join(map(str, allowed))}. "
                f"Received: {field}={getattr(recipe, field)}."
            )
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if field.name in shares or isinstance(value, (bool, str)):
            continue
        if isinstance(value, (int, float)) and not value > 0:
            raise ValueError(
                f"`{field.name}` must be positive. Received: "
                f"{field.name}={value}."
            )
    for field in shares:
        if not 0 <= getattr(recipe, field) < 1:
            raise ValueError(
                f"`{field}` must be at least 0 and less than 1. Received: "
                f"{field}={getattr(recipe, field)}."
            )
    if recipe.budget_minutes is None and recipe.budget_clock != "cpu":
        raise ValueError(
            "A clock is for a budget of time. Received: budget_clock="
            f"{recipe.budget_clock}, budget_minutes=None. Add --set "
            "budget_minutes=20, for example."
        )


def refuse_unused(recipe, unused: dict):
    """Refuses choices that make no difference to a run.

    Args:
        recipe: A dataclass.
        unused: Names of fields that it has no use for, by the reason.
    """
    for reason, names in unused.items():
        for field in names:
            value = getattr(recipe, field)
            default = getattr(type(recipe), field)
            if value != default:
                raise ValueError(
                    f"{reason} Received: {field}={value}. Add --set "
                    f"{field}={default}."
                )


def from_json(kind, values: dict):
    """A recipe from what `json` read of it, which has no tuples.

    Args:
        kind: Its class.
        values: Its fields.
    """
    return kind(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
    )

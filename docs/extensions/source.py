"""Finds lines of the library by the names in it, as they stand now."""

import ast
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Source(NamedTuple):
    """Lines of a file: its path, the number of the first one, their text."""

    path: Path
    number: int
    text: str


def source_of(name, first=None, last=None):
    """The source of a function without its docstring, or a part of it.

    Args:
        name: Dotted, of a function, a method, or a function within one, such
            as `keras_attention.ops.windows.gaussian`.
        first: How the part's first statement begins, as no other one does.
        last: How its last one begins, further down in the same block; None
            for the first alone.

    Raises:
        LookupError: There is no such name, or not just one such statement.
    """
    path, node = _definition(name)
    lines = path.read_text("utf-8").splitlines()
    if first is None:
        spans = _spans(node)
    else:
        blocks = list(_blocks(node))
        block, begin = _only(blocks, lines, first, name)
        end = begin
        if last is not None:
            rest = block[block.index(begin) + 1 :]
            _, end = _only([rest], lines, last, name)
        spans = [(begin.lineno, end.end_lineno)]
    chosen = [line for a, b in spans for line in lines[a - 1 : b]]
    return Source(path, spans[0][0], textwrap.dedent("\n".join(chosen)))


def _definition(name):
    """The file and the syntax tree of what a dotted name names."""
    parts = name.split(".")
    for i in range(len(parts) - 1, 0, -1):
        path = ROOT.joinpath(*parts[:i]).with_suffix(".py")
        if path.is_file():
            node = ast.parse(path.read_text("utf-8"))
            for part in parts[i:]:
                found = [
                    x
                    for x in ast.walk(node)
                    if isinstance(x, (ast.FunctionDef, ast.ClassDef))
                    and x.name == part
                    and x is not node
                ]
                if len(found) != 1:
                    raise LookupError(
                        f"`{name}` must name one function. Received: {part!r} "
                        f"{len(found)} times in {path.relative_to(ROOT)}."
                    )
                node = found[0]
            return path, node
    raise LookupError(f"`{name}` must begin with a module of this package.")


def _spans(node):
    """First and last lines of a definition, around its docstring."""
    if ast.get_docstring(node) is None:
        return [(node.lineno, node.end_lineno)]
    text = node.body[0]
    return [
        (node.lineno, text.lineno - 1),
        (text.end_lineno + 1, node.end_lineno),
    ]


def _blocks(node):
    """The lists of statements in a definition, however deep."""
    for x in ast.walk(node):
        for name in ("body", "orelse"):
            block = getattr(x, name, None)
            if isinstance(block, list):
                yield block


def _only(blocks, lines, beginning, name):
    """The one statement that begins so, after the block it is in."""
    found = [
        (block, statement)
        for block in blocks
        for statement in block
        if lines[statement.lineno - 1].lstrip().startswith(beginning)
    ]
    if len(found) != 1:
        raise LookupError(
            f"One statement of `{name}` must begin with {beginning!r}. "
            f"Received: {len(found)}. Give more of it."
        )
    return found[0]

"""Reads our docstrings, which are Keras's kind of Markdown, for autodoc.

Also gives a layer the signature of its constructor: Keras's layers are made
by a `__new__` that takes anything.
"""

import functools
import importlib
import inspect
import re

from docs.names import public_names

# Where a deeper block after an empty line is a second paragraph of an item.
ITEM_SECTIONS = ("Args:", "Call arguments:", "Attributes:", "Raises:")
KERAS_MODULES = ("layers", "callbacks", "initializers", "losses", "metrics")
FIRST = 100  # before napoleon, which has 500


def setup(app):
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", process_docstring, FIRST)
    app.connect("autodoc-process-signature", process_signature)
    return {"parallel_read_safe": True}


def process_signature(app, what, name, obj, options, signature, returns):
    from sphinx.util.inspect import stringify_signature

    if what == "class" and not issubclass(obj, tuple):
        found = inspect.signature(obj.__init__)
        parameters = [
            parameter.replace(default=shown(parameter.default))
            for parameter in list(found.parameters.values())[1:]  # no `self`
        ]
        found = found.replace(
            parameters=parameters, return_annotation=inspect.Signature.empty
        )
        signature = stringify_signature(found)
    return tuple(
        text and re.sub(r"keras\.src(\.\w+)+", public_name, text)
        for text in (signature, returns)
    )


class Name:
    """Shows as a name."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return self.name


def shown(default):
    """A default value that shows as Python, also if it is a function."""
    if inspect.isroutine(default):
        return Name(f"{default.__module__}.{default.__qualname__}")
    return default


def public_name(found):
    """The name under which Keras offers what it defines elsewhere."""
    module, _, name = found[0].rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    keras = importlib.import_module("keras")
    for public in ("", *KERAS_MODULES):
        holder = getattr(keras, public) if public else keras
        if getattr(holder, name, None) is thing:
            return ".".join(filter(None, ("keras", public, name)))
    return found[0]


def process_docstring(app, what, name, obj, options, lines):
    lines[:] = to_rst(lines)


def to_rst(lines):
    """The lines of a docstring in Markdown as reStructuredText."""
    result, block, section = [], [], ""
    lines = mark_returns(lines)
    i = 0
    while i < len(lines):
        line = lines[i]
        if re.fullmatch(r"[A-Z][\w ]*:", line):
            section = line
        take = code_at(lines, i, section)
        if take is None:
            block.append(line)
            i += 1
            continue
        result += inline("\n".join(block)).split("\n") if block else []
        block = []
        end, converted = take
        result += converted
        i = end
    return result + (inline("\n".join(block)).split("\n") if block else [])


def mark_returns(lines):
    """Keeps napoleon from taking "A dict: ..." for the type of a result."""
    lines = list(lines)
    for i, line in enumerate(lines[:-1]):
        if line in ("Returns:", "Yields:") and lines[i + 1].startswith("    "):
            lines[i + 1] = "    : " + lines[i + 1].strip()
    return lines


def code_at(lines, start, section):
    """Where a block that is no prose ends, and what it becomes; or None."""
    text, space = lines[start].strip(), indent(lines[start])

    def until(condition, first=start + 1):
        """The first line that meets a condition, or the end."""
        later = range(first, len(lines))
        return next((i for i in later if condition(lines[i])), len(lines))

    if text.startswith("```"):
        end = until(lambda line: line.strip() == "```")
        code = lines[start + 1 : end]
        return end + 1, directive("code-block", text[3:] or "text", code, space)
    if text == "$$":
        end = until(lambda line: line.strip() == "$$")
        return end + 1, directive("math", "", lines[start + 1 : end], space)
    if text.startswith("|") and text.endswith("|"):
        end = until(lambda line: not line.lstrip().startswith("|"))
        return end, table(lines[start:end])
    if text.startswith(">>>"):
        end = until(lambda line: not line.strip())
        return end, lines[start:end]
    if is_indented_code(lines, start, section):
        end = until(lambda line: line.strip() and indent(line) < space)
        outer = outer_indent(lines, start)
        return end, directive("code-block", "text", lines[start:end], outer)
    return None


def is_indented_code(lines, i, section):
    """Whether a block of four more spaces begins here, after an empty line."""
    if not lines[i].strip() or i == 0 or lines[i - 1].strip():
        return False
    outer = outer_indent(lines, i)
    if outer is None or section in ITEM_SECTIONS and outer:
        return False
    return indent(lines[i]) >= outer + 4


def outer_indent(lines, i):
    for line in reversed(lines[:i]):
        if line.strip():
            return indent(line)
    return None


def indent(line):
    return len(line) - len(line.lstrip())


def directive(name, argument, content, space):
    content = list(content)
    while content and not content[-1].strip():
        content.pop()
    inner = min(indent(line) for line in content if line.strip())
    outer = " " * space
    body = [f"{outer}    {line[inner:]}".rstrip() for line in content]
    return ["", f"{outer}.. {name}:: {argument}".rstrip(), "", *body, ""]


def table(lines):
    space = " " * indent(lines[0])
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in lines
    ]
    result = ["", f"{space}.. list-table::", f"{space}    :header-rows: 1", ""]
    for row in [rows[0], *rows[2:]]:
        for i, cell in enumerate(row):
            bullet = "* -" if i == 0 else "  -"
            result.append(f"{space}    {bullet} {inline(cell)}")
    return [*result, ""]


# What stands in backticks, a formula or a link, in this order.
MARKUP = re.compile(
    r"``(?P<double>[^`]+)``|(?<!:)`(?P<code>[^`]+)`"
    r"|(?<![\w$])\$(?P<math>[^$\n]+)\$(?![\w$])"
    r"|\[(?P<text>[^\]]+)\]\((?P<url>https?://[^)\s]+)\)"
    r"|(?P<bar>\|)"
)
NAME = re.compile(r"keras(_attention)?(\.\w+)+")
MODULES = re.compile(r"keras_attention(\.[a-z_]+)*")


@functools.cache
def classes():
    """From the bare name of each public class to its dotted one."""
    return {
        name.rpartition(".")[2]: name
        for name in public_names()
        if name.rpartition(".")[2][0].isupper()
    }


def inline(text):
    """Markdown's inline markup as reStructuredText's."""

    def replace(found):
        code = found["double"] or found["code"]
        if code:
            code = " ".join(code.split())
            if MODULES.fullmatch(code):
                return f":py:mod:`{code}`"
            if NAME.fullmatch(code):
                return f":py:obj:`{code}`"
            if code in classes():
                return f":py:obj:`~{classes()[code]}`"
            return f"``{code}``"
        if found["math"]:
            return f":math:`{found['math']}`"
        if found["bar"]:
            return r"\|"
        return f"`{' '.join(found['text'].split())} <{found['url']}>`__"

    return MARKUP.sub(replace, text)

"""Shows rows of `benchmarks/RESULTS.md`, so that no number is typed twice.

    ```{benchmarks}
    rows: additive-512, additive-2048
    ```

shows these rows beside their peers, and

```{benchmarks}
growth: tensorflow
```

how the cost of each layer grows on that backend.
"""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from docs.extensions.results import (
    BACKENDS,
    GROWTH,
    RESULTS,
    read_growth,
    read_results,
)


def setup(app):
    app.add_directive("benchmarks", Benchmarks)
    return {"parallel_read_safe": True}


class Benchmarks(SphinxDirective):
    has_content = True

    def run(self):
        self.env.note_dependency(str(RESULTS))
        if self.content[0].startswith("growth:"):
            backend = self.content[0].partition(":")[2].strip()
            if GROWTH not in RESULTS.read_text("utf-8"):
                raise self.error(
                    f'{RESULTS.name} must have a part "{GROWTH}". Measure it '
                    "with `make bench`."
                )
            return [growth_table(backend), *growth_notes()]
        wanted = "".join(self.content).removeprefix("rows:").split(",")
        names = [name.strip() for name in wanted]
        measured, about, machine = read_results()
        missing = [name for name in names if name not in measured]
        if missing:
            raise self.error(
                f"The rows must be in {RESULTS.name}. Received: "
                f"{', '.join(missing)}. Measure them with `make bench`."
            )
        rows = [row for name in names for row in measured[name]]
        return [table(rows), *notes(names, about, machine)]


def growth_table(backend):
    """Each layer's cost at the longest T, and the exponents."""
    rows = [row for row in read_growth()[1] if row["backend"] == backend]
    longest = [name for name in rows[0] if "T=" in name]
    seconds = [name for name in longest if name.startswith("s,")][-1]
    megabytes = [name for name in longest if name.startswith("MB,")][-1]
    columns = {
        "layer": "layer",
        seconds: "CPU seconds" + seconds[1:],
        "time exponent": "exponent of time",
        megabytes: megabytes,
        "memory exponent": "exponent of memory",
    }
    return grid(
        list(columns.values()),
        ([plain(row[name]) for name in columns] for row in rows),
    )


def growth_notes():
    *_, machine = read_results()
    return [
        nodes.paragraph(text=read_growth()[0].replace("`", "")),
        nodes.paragraph("", "", nodes.emphasis(text=machine)),
    ]


COLUMNS = {
    "row": "row",
    "backend": "backend",
    "CPU s, ours": "CPU seconds",
    "times faster": "times faster than the peer",
    "MB, ours": "MB",
    "times lighter": "times lighter than the peer",
}


def table(rows):
    """The table, without columns that no row fills."""
    columns = [name for name in COLUMNS if any(row[name] for row in rows)]
    lines = []
    for row in rows:
        row = {**row, "backend": BACKENDS.get(row["backend"], row["backend"])}
        # The median; RESULTS.md has the least and the most as well.
        lines.append([plain(row[name].partition(" (")[0]) for name in columns])
    return grid([COLUMNS[name] for name in columns], lines)


def plain(cell):
    """Thousands without an exponent: 1.3e+03 as 1300."""
    return f"{float(cell):.0f}" if "e+" in cell else cell


def grid(head, rows):
    """A table of text."""
    result = nodes.table(classes=["benchmarks"])
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    top, body = nodes.thead(), nodes.tbody()
    top += table_row(head)
    body += [table_row(row) for row in rows]
    group += [top, body]
    result += group
    return result


def table_row(cells):
    row = nodes.row()
    for cell in cells:
        row += nodes.entry("", nodes.paragraph(text=cell))
    return row


def notes(names, about, machine):
    """What the rows are, as a list, and where they were measured."""
    items = nodes.bullet_list()
    for name in names:
        text = nodes.paragraph("", "", nodes.literal(text=name))
        text += nodes.Text(f": {about[name].replace('`', '')}")
        items += nodes.list_item("", text)
    return [items, nodes.paragraph("", "", nodes.emphasis(text=machine))]

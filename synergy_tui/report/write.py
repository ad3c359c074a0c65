"""Writes a report: one self-contained HTML file, and Markdown with its figures beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from synergy_tui.drawing import FORMATS
from synergy_tui.errors import UserError, require
from synergy_tui.files import make_folder, write_output
from synergy_tui.report.document import Document, context
from synergy_tui.report.figures import Plot
from synergy_tui.words import clean


def write_report(document: Document, html: Path) -> list[Path]:
    """Write ``REPORT.html``, and ``REPORT.md`` with ``REPORT-figures/`` beside it."""
    require("matplotlib.figure", "report")
    pictures = {plot.name: plot.render() for plot in document.figures}
    markdown, folder = html.with_suffix(".md"), html.with_name(f"{html.stem}-figures")
    inline = {name: _inline(name, picture) for name, picture in pictures.items()}
    write_output(html, _fill("report.html.j2", document, inline))
    make_folder(folder)
    for name, picture in pictures.items():
        write_output(folder / f"{name}.svg", picture)
    named = {name: quote(f"{folder.name}/{name}.svg") for name in pictures}
    write_output(markdown, _fill("report.md.j2", document, named))
    return [html, markdown, folder]


def write_figure(plots: Sequence[Plot], name: str, file: Path) -> None:
    """Write one figure, in the format that the file's suffix names."""
    require("matplotlib.figure", "report")
    plot = next((each for each in plots if each.name == name), None)
    if plot is None:
        known = ", ".join(each.name for each in plots)
        raise UserError(f"There is no figure '{name}' (there are: {known}).")
    suffix = file.suffix.removeprefix(".")
    if suffix not in FORMATS:
        raise UserError(f"{file}: a figure is written as {', '.join(FORMATS)}.")
    write_output(file, plot.render(suffix))


def _fill(template: str, document: Document, images: Mapping[str, Any]) -> str:
    jinja2 = require("jinja2", "report")
    is_html = template.endswith(".html.j2")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("synergy_tui.report"),
        autoescape=is_html,
        finalize=_cleaned if is_html else _in_markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["code"] = _code
    text: str = environment.get_template(template).render(**context(document, images))
    return text if is_html else re.sub(r"\n{3,}", "\n\n", text)


def _cleaned(value: Any) -> Any:
    """Text without controls; what is marked as safe is ours."""
    return clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _in_markdown(value: Any) -> Any:
    """Text that Markdown shows as it is: no HTML, links, code or emphasis, and one table cell."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    text = re.sub(r"([\\`*|]|\](?=[(\[])|<(?=[A-Za-z/!?])|(?<!\w)_|_(?!\w))", r"\\\1", clean(value))
    return re.sub(r"&(?=#?\w+;)", "&amp;", text)


def _code(value: Any) -> Any:
    """A code span of Markdown: between more backquotes than the text has in a row."""
    import markupsafe

    text = clean(value).replace("|", "¦")  # a bar would end the cell of a table
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " if "`" in text else ""
    return markupsafe.Markup(f"{fence}{blank}{text}{blank}{fence}")


def _inline(name: str, picture: bytes) -> str:
    """An SVG for the inside of an HTML page: no prologue, and ids that no other figure has."""
    svg = picture.decode()
    svg = svg[svg.index("<svg") :]
    prefix = re.sub(r"[^\w-]", "_", name)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(xlink:href|href)="#', rf'\1="#{prefix}-', svg)
    return re.sub(r"url\(#", f"url(#{prefix}-", svg)

"""Write a figure or a table in all its formats, with the numbers behind it.

Equal input, code and commit give equal bytes: no dates, fixed identifiers, fonts embedded.
"""

import html
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.content.cells import harmless
from workflow_scripts.figures.identity import identity
from workflow_scripts.settings.files import atomic_path

CSS = (
    "body{font:15px/1.45 'DejaVu Sans',Verdana,sans-serif;margin:24px;color:#111}table{border-collapse:collapse;"
    "border-top:2px solid;border-bottom:2px solid}th,td{padding:5px 10px;text-align:center;white-space:nowrap}"
    "th{border-bottom:1px solid;font-weight:600;vertical-align:bottom}th:first-child,td:first-child{text-align:left}"
    "td:first-child{min-width:12em;white-space:normal}"
    "small{color:#555;font-size:12px;font-weight:400}p{max-width:70em}svg{max-width:100%;height:auto}"
)
METADATA: dict[str, dict[str, str | None]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
TEX = str.maketrans(
    {
        **{character: rf"\{character}" for character in "%&_#${}"},
        **{character: f"${character}$" for character in "<>"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\N{MINUS SIGN}": "$-$",
        "\N{GREEK CAPITAL LETTER DELTA}": r"$\Delta$",
        "\N{PLUS-MINUS SIGN}": r"$\pm$",
        "\N{EN DASH}": "--",
    }
)
"""How LaTeX is told a character, in its oldest font encoding too, where < and > are others."""
CARRIES = {"pdf": "Keywords", "svg": "Identifier", "png": "Comment"}
"""Where each format carries what the figure was made of; see identity.py."""


def beside(stem: Path, extension: str) -> Path:
    """The stem with an extension; names may hold dots."""
    return stem.parent / f"{stem.name}.{extension}"


def save_figure(figure: Figure, behind: pd.DataFrame, stem: Path, dpi: int = 300) -> None:
    """Write <stem>.pdf, .svg, .png (dpi dots an inch) and .csv, what was drawn, a row a mark."""
    if figure.get_layout_engine() is not None:
        # one layout for all formats
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    made_of = identity(stem)
    for kind, plain in METADATA.items():
        metadata = plain if made_of is None else {**plain, CARRIES[kind]: made_of}
        with atomic_path(beside(stem, kind)) as partial:
            figure.savefig(partial, format=kind, dpi=dpi, metadata=metadata)
    save_csv(behind, stem)


def save_csv(behind: pd.DataFrame, stem: Path) -> None:
    """Write <stem>.csv, numbers in full, no cell a formula."""
    with atomic_path(beside(stem, "csv")) as partial:
        texts = {name: behind[name].map(harmless) for name in behind.select_dtypes(exclude=["number", "bool"])}
        behind.assign(**texts).to_csv(partial, index=False, lineterminator="\n")


def save_table(header: Sequence[str], rows: Sequence[Sequence[str]], note: str, stem: Path, picture: str = "") -> None:
    """Write <stem>.md, <stem>.tex (booktabs) and <stem>.html, a page of its own.

    Cells are text; `**x**` is bold, a line break splits a cell in two. The first column is left-aligned, the others are
    centred. note: what the cells are, below the table. picture: SVG to show below it in the page.
    """
    lines = [_md_row(header), _md_row([":--", *[":-:"] * (len(header) - 1)]), *map(_md_row, rows), "", note, ""]
    with atomic_path(beside(stem, "md")) as partial:
        partial.write_text("\n".join(lines), encoding="utf-8")
    body = [
        r"{\footnotesize\setlength{\tabcolsep}{3pt}%",
        rf"\begin{{tabular}}{{@{{}}l{'c' * (len(header) - 1)}@{{}}}}",
        r"\toprule",
        _tex_row(header),
        r"\midrule",
        *map(_tex_row, rows),
        r"\bottomrule",
        r"\end{tabular}}",
    ]
    text = ["% needs \\usepackage{booktabs}", *(f"% {line}" for line in note.splitlines()), *body, ""]
    with atomic_path(beside(stem, "tex")) as partial:
        partial.write_text("\n".join(text), encoding="utf-8")
    table = [
        f"<thead>{_html_row(header, 'th')}</thead>",
        "<tbody>",
        *(_html_row(row, "td") for row in rows),
        "</tbody>",
    ]
    page = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(stem.name)}</title>',
        f"<style>{CSS}</style></head><body><table>",
        *table,
        f"</table><p>{html.escape(note)}</p>{picture}</body></html>\n",
    ]
    with atomic_path(beside(stem, "html")) as partial:
        partial.write_text("\n".join(page), encoding="utf-8")


def svg_text(figure: Figure) -> str:
    """A figure as SVG for a page: the element alone."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=METADATA["svg"])
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _html_row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_html_cell(cell)}</{tag}>" for cell in cells) + "</tr>"


def _html_cell(cell: str) -> str:
    first, *rest = (html.escape(line) for line in cell.split("\n"))
    if first.startswith("**"):
        first = f"<strong>{first[2:-2]}</strong>"
    return "".join([first, *(f"<br><small>{line}</small>" for line in rest)])


def _md_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"


def _tex_row(cells: Sequence[str]) -> str:
    return " & ".join(_tex_cell(cell) for cell in cells) + r" \\"


def _tex_cell(cell: str) -> str:
    lines = [_tex(line) for line in cell.split("\n")]
    if len(lines) == 1:
        return lines[0]
    first, *rest = lines
    return r"\shortstack{" + r"\\".join([first, *(rf"\scriptsize {line}" for line in rest)]) + "}"


def _tex(text: str) -> str:
    bold = text.startswith("**") and text.endswith("**") and len(text) > 4
    plain = (text[2:-2] if bold else text).translate(TEX)
    return rf"\textbf{{{plain}}}" if bold else plain

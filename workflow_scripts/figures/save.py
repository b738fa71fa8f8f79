"""Write a figure or a table in all its formats, with the numbers behind it.

Equal input gives equal bytes: no dates, fixed identifiers, fonts embedded.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from workflow_scripts.settings.files import atomic_path

METADATA: dict[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def beside(stem: Path, extension: str) -> Path:
    """The stem with an extension; names may hold dots."""
    return stem.parent / f"{stem.name}.{extension}"


def save_figure(figure: Figure, behind: pd.DataFrame, stem: Path, dpi: int = 300) -> None:
    """Write <stem>.pdf, .svg, .png (dpi dots an inch) and .csv, what was drawn, a row a mark."""
    for kind, metadata in METADATA.items():
        with atomic_path(beside(stem, kind)) as partial:
            figure.savefig(partial, format=kind, dpi=dpi, metadata=metadata)
    save_csv(behind, stem)


def save_csv(behind: pd.DataFrame, stem: Path) -> None:
    """Write <stem>.csv, numbers in full."""
    with atomic_path(beside(stem, "csv")) as partial:
        behind.to_csv(partial, index=False, lineterminator="\n")


def save_table(header: Sequence[str], rows: Sequence[Sequence[str]], note: str, stem: Path) -> None:
    """Write <stem>.md and <stem>.tex (booktabs). Cells are text; `**x**` is bold, a line break splits a cell in two.

    The first column is left-aligned, the others are centred. note: what the cells are, below the table.
    """
    lines = [_md_row(header), _md_row([":--", *[":-:"] * (len(header) - 1)]), *map(_md_row, rows), "", note, ""]
    with atomic_path(beside(stem, "md")) as partial:
        partial.write_text("\n".join(lines), encoding="utf-8")
    body = [
        rf"\begin{{tabular}}{{@{{}}l{'c' * (len(header) - 1)}@{{}}}}",
        r"\toprule",
        _tex_row(header),
        r"\midrule",
        *map(_tex_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    text = ["% needs \\usepackage{booktabs}", *(f"% {line}" for line in note.splitlines()), *body, ""]
    with atomic_path(beside(stem, "tex")) as partial:
        partial.write_text("\n".join(text), encoding="utf-8")


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
    plain = text[2:-2] if bold else text
    for character, escaped in (("\\", r"\textbackslash{}"), ("%", r"\%"), ("&", r"\&"), ("_", r"\_"), ("#", r"\#")):
        plain = plain.replace(character, escaped)
    plain = plain.replace("\N{MINUS SIGN}", "$-$").replace("Δ", r"$\Delta$").replace("±", r"$\pm$")
    return rf"\textbf{{{plain}}}" if bold else plain

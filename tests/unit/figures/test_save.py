"""Tables in three formats: what a cell says is the same in each, whatever characters it holds."""

import html
import re
from pathlib import Path

from workflow_scripts.figures.save import save_table

TRICKY = r"a_b & c% #1 $x {y} ~z ^w \v <0.01 >2 | −3 Δ ± –"
TEX = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", "$-$": "−", r"$\Delta$": "Δ",
    r"$\pm$": "±", "--": "–", "$<$": "<", "$>$": ">",
    **{rf"\{character}": character for character in "%&_#${}"},
}  # fmt: skip


def read_tex(text: str) -> str:
    """What LaTeX would print."""
    pattern = "|".join(re.escape(written) for written in TEX)
    assert not re.search(r"[%&_#${}~^\\<>]", re.sub(pattern, "", text)), "a character that LaTeX reads as a command"
    return re.sub(pattern, lambda found: TEX[found[0]], text)


def test_a_cell_says_the_same_in_every_format(tmp_path: Path) -> None:
    save_table(["name", "value"], [["first", TRICKY], ["**bold**", "1\n[0, 2]"]], "a note", tmp_path / "table")
    tex = (tmp_path / "table.tex").read_text().splitlines()
    cell = next(line for line in tex if line.startswith("first")).removeprefix("first & ").removesuffix(r" \\")
    assert read_tex(cell) == TRICKY
    assert r"\textbf{bold} & \shortstack{1\\\scriptsize [0, 2]} \\" in tex
    page = (tmp_path / "table.html").read_text()
    assert f"<td>{html.escape(TRICKY)}</td>" in page
    assert "<td><strong>bold</strong></td><td>1<br><small>[0, 2]</small></td>" in page
    row = next(line for line in (tmp_path / "table.md").read_text().splitlines() if line.startswith("| first"))
    assert [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] == ["first", TRICKY.replace("|", r"\|")]

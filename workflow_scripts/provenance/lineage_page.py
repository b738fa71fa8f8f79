"""The page of a figure's lineage: HTML and a picture in SVG, complete in one file, without scripts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_scripts.provenance.lineage import Lineage

WIDTH, GAP, LINE, PAD = 196, 44, 17, 10
"""Of a box, between boxes, of a line of text, around it; pixels."""
LETTERS = 26
"""That fit on a line of a box."""
PACKAGES = (
    "snakemake", "torch", "transformers", "peft", "accelerate", "deepspeed", "lmms-eval", "av", "pillow", "numpy",
)  # fmt: skip
"""Packages whose versions are shown; provenance/study.json has all."""
SHOWN = 100
"""Quarantined videos that are named; the CSV files have all."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2em auto; max-width: 1240px; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.1em; margin-top: 2em }
table { border-collapse: collapse } td, th { text-align: left; padding: .2em 1.2em .2em 0; vertical-align: top }
th { border-bottom: 1px solid #999; font-weight: 600 } td.n, th.n { text-align: right }
td { overflow-wrap: anywhere } code { font-size: .9em } svg { max-width: 100%; height: auto }
svg text { font: 12.5px system-ui, sans-serif; fill: #222 } svg .t { font-weight: 600 }
svg rect { fill: #f4f7fa; stroke: #0072b2; stroke-width: 1.3 } svg .out { fill: #fdf3e7; stroke: #d55e00 }
svg path { fill: none; stroke: #777; stroke-width: 1.3 }
"""


@dataclass
class Box:
    """A step: its column, title, lines, and the titles of the steps that it feeds.

    below: it stands under all others, so that its arrows pass under them.
    """

    column: int
    title: str
    lines: list[str]
    feeds: tuple[str, ...] = ()
    left_out: bool = False
    below: bool = False
    x: float = 0
    y: float = 0

    @property
    def height(self) -> float:
        return 2 * PAD + LINE * (1 + len(self.lines)) - 3


def page(found: Lineage) -> str:
    """The whole page."""
    title = f"Where {found.figure} comes from"
    place = f"results/{escape(found.study)}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>Study <b>{escape(found.study)}</b>. Each count is of files and rows in <code>{place}/</code>. To verify "
        "every checksum behind it: <code>python -m workflow_scripts.provenance.audit "
        f"{place}/figures/{escape(found.figure)}.csv</code></p>",
        picture(boxes(found)),
        *_left_out(found),
        *_runs(found),
        *_cost(found),
        *_versions(found),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def boxes(found: Lineage) -> list[Box]:
    """The steps from the sources to the figure."""
    trained, evaluated = bool(found.runs), bool(found.evaluations)
    measured = "Evaluation" if evaluated else "Measurement"
    revision = f"commit {found.revision[:12]}" if found.revision else "no commit of the hub"
    quarantined = f"{_count(len(found.quarantined), 'video')} left out"
    steps = [
        Box(0, "Annotations", [found.dataset, revision, _count(found.annotation_files, "file"),
                               _count(found.annotation_records, "record"), f"{found.malformed:,} malformed"],
            ("Sample",)),
        Box(0, "Videos", [f"{found.opened:,} opened and checked"], ("Sample", "Quarantine")),
        Box(1, "Sample", [_count(found.samples, "sample"), _count(found.videos, "video")],
            ("Budgets",) if trained else ("Figure",)),
        Box(1, "Quarantine", [quarantined, *_reasons(found.quarantined)], left_out=True),
    ]  # fmt: skip
    if trained:
        means = [f"{mean:.3g} {name}" for name, mean in found.allocations.items()]
        samples = sum(one.get("samples", 0) for one in found.runs)
        steps += [
            Box(2, "Budgets", [_count(len(means), "allocation"), "mean frames a sample:", *_few(means, 5)],
                ("Fine-tuning",)),
            Box(0, "Base models", _few(found.models, 6), ("Fine-tuning", measured), below=True),
            Box(3, "Fine-tuning", [_count(len(found.runs), "run"), f"{samples:,} samples seen"], (measured,)),
        ]  # fmt: skip
    if evaluated:
        questions = [f"{name}: {count:,}" for name, count in found.questions.items()]
        done = [f"{count} {kind}" for kind, count in found.evaluations.items()]
        steps += [
            Box(0, "Benchmarks", [_count(sum(found.questions.values()), "question"), *_few(questions, 8)],
                ("Evaluation",), below=True),
            Box(4, "Evaluation", [_count(found.evaluations.total(), "evaluation"), *done,
                                  _count(found.answers, "answer")], ("Figure",)),
        ]  # fmt: skip
    elif trained:
        steps.append(Box(4, "Measurement", ["of the trained models"], ("Figure",)))
    return [*steps, Box(5 if trained else 2, "Figure", [found.figure, _count(found.rows, "row") + " of data"])]


def picture(steps: Sequence[Box]) -> str:
    """The steps as boxes in columns, with an arrow from each to those that it feeds."""
    columns = 1 + max(box.column for box in steps)
    tallest = 2.0
    for below in (False, True):
        ends = [tallest] * columns
        for box in steps:
            if box.below is below:
                box.x, box.y = 2 + box.column * (WIDTH + GAP), ends[box.column]
                ends[box.column] += box.height + GAP / 2
        tallest = max(ends)
    by_title = {box.title: box for box in steps}
    arrows = [_arrow(box, by_title[name]) for box in steps for name in box.feeds]
    width = columns * (WIDTH + GAP) - GAP + 4
    marker = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#777;stroke:none"/></marker></defs>'
    )
    words = ", ".join(f"{box.title} to {' and '.join(box.feeds)}" for box in steps if box.feeds)
    drawn = f"<title>{escape(words)}</title>{marker}" + "".join([*arrows, *map(_drawn, steps)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{tallest:.0f}" '
        f'viewBox="0 0 {width} {tallest:.0f}" role="img">{drawn}</svg>'
    )


def _drawn(box: Box) -> str:
    kind = ' class="out"' if box.left_out else ""
    text = [f'<text class="t" x="{box.x + PAD}" y="{box.y + PAD + 11}">{escape(box.title)}</text>']
    for number, line in enumerate(box.lines, 1):
        short = line if len(line) <= LETTERS else f"{line[: LETTERS - 1]}…"
        text.append(f'<text x="{box.x + PAD}" y="{box.y + PAD + 11 + LINE * number}">{escape(short)}</text>')
    outline = f'<rect{kind} x="{box.x}" y="{box.y}" width="{WIDTH}" height="{box.height}" rx="5"/>'
    return outline + "".join(text)


def _arrow(start: Box, end: Box) -> str:
    x0, y0, x1, y1 = start.x + WIDTH, start.y + start.height / 2, end.x - 2, end.y + end.height / 2
    turn, bend = x1 - GAP + 2, GAP * 0.6
    return f'<path marker-end="url(#head)" d="M{x0} {y0}H{turn}C{turn + bend} {y0} {x1 - bend} {y1} {x1} {y1}"/>'


def _left_out(found: Lineage) -> Iterable[str]:
    yield "<h2>Quarantined videos</h2>"
    if not found.quarantined:
        yield "<p>None.</p>"
        return
    rows = [[entry.get("video", ""), entry.get("reason", ""), entry.get("detail", "")] for entry in found.quarantined]
    yield _rows(["video", "reason", "detail"], rows[:SHOWN])
    if len(rows) > SHOWN:
        yield f"<p>and {len(rows) - SHOWN:,} more in the quarantine files of curation/ and frames/.</p>"


def _runs(found: Lineage) -> Iterable[str]:
    if found.runs:
        yield "<h2>Training runs</h2>"
        yield _rows(
            ["run", "samples", "steps", "GPU-hours", "samples left out"],
            [[one["path"], one.get("samples", 0), one.get("steps", 0), _hours(one.get("gpu_hours")),
              _left(one.get("left_out"))] for one in found.runs],
        )  # fmt: skip


def _cost(found: Lineage) -> Iterable[str]:
    yield "<h2>Cost</h2>"
    rows = [[cost.stage, cost.jobs, _time(cost.wall_s), _time(cost.cpu_s)] for cost in found.costs]
    wall, cpu = (sum(getattr(cost, name) for cost in found.costs) for name in ("wall_s", "cpu_s"))
    rows.append(["all", sum(cost.jobs for cost in found.costs), _time(wall), _time(cpu)])
    yield _rows(["stage", "jobs", "by the clock", "of CPUs"], rows)
    gpu = [one["gpu_hours"] for one in found.runs if one.get("gpu_hours") is not None]
    trained = f"Training took {_hours(sum(gpu))} GPU-hours. " if gpu else ""
    yield f"<p>{trained}Jobs shared with other figures count in each. Energy was not measured.</p>"


def _versions(found: Lineage) -> Iterable[str]:
    record = found.record
    changed = record.get("changed")
    state = "" if not changed else f", with {len(changed)} files changed since: {', '.join(map(str, changed[:10]))}"
    machine = record.get("machine", {})
    yield "<h2>Versions</h2>"
    yield _rows(
        ["what", "version"],
        [
            ["this repository", f"{record.get('commit') or 'not under git'}{state}"],
            ["Python", record.get("python", "")],
            *([name, record["packages"][name]] for name in PACKAGES if name in record.get("packages", {})),
            [
                "machine",
                f"{machine.get('system', '')}, {machine.get('processor', '')}, {machine.get('cores', '?')} cores",
            ],
            ["GPUs", ", ".join(machine.get("gpus", [])) or "none"],
            ["recorded", record.get("recorded", "")],
        ],
    )


def _reasons(quarantined: Iterable[dict[str, str]]) -> list[str]:
    return _few([f"{count} {reason}" for reason, count in Counter(e.get("reason", "") for e in quarantined).items()], 6)


def _left(left_out: Any) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in (left_out or {}).items()) or "none"


def _few(lines: Sequence[str], most: int) -> list[str]:
    return list(lines) if len(lines) <= most else [*lines[: most - 1], f"and {len(lines) - most + 1} more"]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _hours(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _time(seconds: float) -> str:
    if seconds < 300:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _rows(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; numbers to the right."""
    numeric = [all(isinstance(row[i], int) or _is_number(row[i]) for row in rows) for i in range(len(header))]
    kinds = [' class="n"' if one else "" for one in numeric]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(header, kinds, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{kind}>{escape(f'{value:,}' if isinstance(value, int) else str(value))}</td>"
            for value, kind in zip(row, kinds, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _is_number(value: Any) -> bool:
    return re.fullmatch(r"[\d.,e+-]+( s| min| h)?", str(value)) is not None

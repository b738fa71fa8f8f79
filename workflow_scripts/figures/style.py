"""How every figure looks: sizes, type, colours, names.

Widths are those of a two-column paper; type is 7 points or more at that width. Colours are Okabe and Ito's, told apart
with any colour vision and, through markers and line styles, without colour. DejaVu Sans comes with matplotlib, so a
figure has the same bytes on every machine.
"""

import re
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

COLUMN_IN = 3.35
DOUBLE_IN = 6.9
SMALL_PT = 7.0

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#6E6E6E"
LIGHT = "#D9D9D9"
SUITE_COLOUR = {"image": BLUE, "video": VERMILION}
SUITE_MARKER = {"image": "o", "video": "s"}

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": SMALL_PT,
    "ytick.labelsize": SMALL_PT,
    "legend.fontsize": SMALL_PT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "axes.grid": False,
    "grid.linewidth": 0.4,
    "grid.color": LIGHT,
    "lines.linewidth": 1.1,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "figure.dpi": 100,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "temporal-trap",
    "axes.unicode_minus": True,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.h_pad": 0.03,
}

BENCHMARKS = {
    "mme": "MME", "mmstar": "MMStar", "mmbench": "MMBench", "pope": "POPE", "videomme": "Video-MME",
    "video-mme": "Video-MME", "video_mme": "Video-MME", "mvbench": "MVBench", "tempcompass": "TempCompass",
    "videommmu": "Video-MMMU", "video-mmmu": "Video-MMMU", "video_mmmu": "Video-MMMU", "image": "Image mean",
    "video": "Video mean",
}  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """How one allocation is drawn, the same in every figure."""

    colour: str
    marker: str


MARKS = {
    "hybrid-dinov2": Mark(ORANGE, "^"),
    "hybrid-qwen2.5-vl-3b": Mark(VERMILION, "D"),
    "hybrid-qwen3-vl-8b": Mark(PURPLE, "v"),
    "hybrid-oracle": Mark(BLACK, "*"),
    "hybrid-random": Mark(GREY, "X"),
}
UNIFORM = Mark(BLUE, "o")
OTHERS = (Mark(GREEN, "P"), Mark(SKY, "h"), Mark(YELLOW, "<"))


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure in the common style."""
    matplotlib.rcParams.update(RC)  # type: ignore[arg-type]
    return Figure(figsize=(width_in, height_in), layout="constrained")


def mark(allocation: str) -> Mark:
    """The colour and marker of an allocation."""
    if uniform_frames(allocation) is not None:
        return UNIFORM
    return MARKS.get(allocation) or OTHERS[sum(map(ord, allocation)) % len(OTHERS)]


def uniform_frames(allocation: str) -> int | None:
    """8 for `uniform-8`; None for a hybrid allocation."""
    match = re.fullmatch(r"uniform-(\d+)", allocation)
    return int(match.group(1)) if match else None


def benchmark_label(name: str) -> str:
    return BENCHMARKS.get(name, name)


def model_label(name: str) -> str:
    """`qwen2.5-vl-7b` as `Qwen2.5-VL-7B`."""
    spelled = {"vl": "VL", "llava": "LLaVA", "next": "NeXT", "dinov2": "DINOv2"}
    words = [
        spelled.get(word) or (word.upper() if re.fullmatch(r"\d+b", word) else word.capitalize())
        for word in name.split("-")
    ]
    return "-".join(words)


def allocation_label(name: str) -> str:
    """`uniform-8` as `uniform 8`, `hybrid-qwen3-vl-8b` as `hybrid Qwen3-VL-8B`."""
    family, _, rest = name.partition("-")
    if family == "hybrid" and rest not in ("oracle", "random"):
        rest = model_label(rest)
    return f"{family} {rest}" if rest else family


def darker(colour: str) -> str:
    """A colour dark enough for text on white."""
    red, green, blue = (0.72 * part for part in to_rgb(colour))
    return to_hex((red, green, blue))


def zero_line(axes: Axes, vertical: bool = True) -> None:
    """Where nothing has changed."""
    draw = axes.axvline if vertical else axes.axhline
    draw(0, color=GREY, linewidth=0.7, zorder=0.5)


def count(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

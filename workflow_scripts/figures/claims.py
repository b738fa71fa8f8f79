"""The paper's claims beside what this study measured: supported, contradicted or not decided.

Comes in: for each experiment its settings, scores.csv and deltas.csv. Goes out: a table (.md, .tex, .html) and its
numbers (.csv), a row a claim and model. Claims whose experiment was not run are left out.

A verdict needs intervals, not means: a change is above or below zero where its whole 95 % interval is, and one change
is above another where their intervals do not meet. Since compared changes share base and questions, that is a strict
test: "not decided" may hide a small difference. No verdict says that nothing changed; the minimal detectable difference
beside each change says how large a change may have been missed.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from workflow_scripts.figures.save import save_csv, save_table
from workflow_scripts.figures.selection import Selection, select
from workflow_scripts.figures.style import allocation_label, benchmark_label, model_label, uniform_frames
from workflow_scripts.settings import ExperimentSettings
from workflow_scripts.settings.cli import json_of, run

Verdict = Literal["supported", "contradicted", "not decided"]
HYBRID = "hybrid-qwen3-vl-8b"
NOTE = (
    "Measured: change after Video-SFT in points of 100, with 95% intervals. A change counts as above or below zero, or "
    "another change, only where the whole interval is. Not decided is not unchanged: a true change as large as the "
    "detectable one would still have been missed in one of five such studies. Image, video: unweighted mean of the "
    "suite's benchmarks. Base, blind: scores of the base model, and of the base model shown a grey picture."
)


@dataclass(frozen=True)
class Change:
    """A change in points of 100 and its interval; the base and the blind score (nan: not evaluated) in percent of the
    maximum; the minimal detectable difference."""

    label: str
    value: float
    low: float
    high: float
    base: float
    blind: float
    detectable: float

    def __str__(self) -> str:
        numbers = f"{self.value:+.1f} [{self.low:+.1f}, {self.high:+.1f}]".replace("-", "\N{MINUS SIGN}")
        blind = "" if math.isnan(self.blind) else f", blind {self.blind:.1f}"
        return f"{self.label}: {numbers} (detectable {self.detectable:.1f}; base {self.base:.1f}{blind})"


@dataclass(frozen=True)
class Finding:
    """What was measured of one claim of the paper. ``claim``: in the paper's sense, our words; ``of``: what changed."""

    claim: str
    model: str
    of: str
    measured: tuple[Change, ...]
    verdict: Verdict


def verdict(supported: bool, contradicted: bool) -> Verdict:
    """The word for it. Both at once cannot be."""
    assert not (supported and contradicted)
    return "supported" if supported else "contradicted" if contradicted else "not decided"


def above(first: Change, second: Change) -> bool:
    """Is the first change above the second, interval and all."""
    return first.low > second.high


def _change(selection: Selection, model: str, allocation: str, benchmark: str, label: str | None = None) -> Change:
    row: Mapping[str, Any] = selection.change(model, allocation, benchmark)
    name = benchmark if benchmark in selection.suites else benchmark_label(benchmark)
    scores = (float(row[key]) for key in ("delta", "ci_low", "ci_high", "base", "blind", "mdd"))
    return Change(name if label is None else label, *scores)


def overview(selection: Selection) -> Iterator[Finding]:
    """Claims 1 and 5: gain on video, cost on images, in every model."""
    for model, allocation in itertools.product(selection.models, selection.allocations):
        image, video = (_change(selection, model, allocation, suite) for suite in ("image", "video"))
        yield Finding("Video-SFT improves video", model, "suite mean", (video,), verdict(video.low > 0, video.high < 0))
        yield Finding(
            "Video-SFT worsens images, or improves them less than video",
            model,
            "suite means",
            (image, video),
            verdict(image.high < 0 or above(video, image), image.low > 0 and above(image, video)),
        )


def architectures(selection: Selection) -> Iterator[Finding]:
    """Claim 1: LLaVA-1.5 drops most on images, LLaVA-NeXT-Video less, Qwen2.5-VL least."""
    order = [m for m in ("llava-1.5-7b", "llava-next-video-7b", "qwen2.5-vl-7b") if m in selection.models]
    images = [_change(selection, m, selection.allocations[0], "image", model_label(m)) for m in order]
    pairs = list(itertools.pairwise(images))
    if pairs:
        yield Finding(
            f"Image cost falls from {' over '.join(model_label(m) for m in order)}",
            "",
            "images, by model",
            tuple(images),
            verdict(all(above(b, a) for a, b in pairs), any(above(a, b) for a, b in itertools.combinations(images, 2))),
        )


def scale(selection: Selection) -> Iterator[Finding]:
    """Claim 2: larger is milder."""
    sizes = selection.changes.drop_duplicates("model").set_index("model")["size_b"].sort_values()
    if len(sizes) > 1:
        ends = (str(sizes.index[0]), str(sizes.index[-1]))
        small, large = (_change(selection, m, selection.allocations[0], "image", model_label(m)) for m in ends)
        yield Finding(
            "The largest model loses less on images than the smallest",
            "",
            "images, by model",
            (small, large),
            verdict(above(large, small), above(small, large)),
        )


def frames(selection: Selection) -> Iterator[Finding]:
    """Claim 3: what rises with the number of training frames, and what does not."""
    uniform = [name for name in selection.allocations if uniform_frames(name) is not None]
    for model in selection.models if len(uniform) > 1 else ():
        of = {
            name: [_change(selection, model, a, name, str(uniform_frames(a))) for a in uniform]
            for name in ("video", *selection.benchmarks)
        }
        for name, label in (("video", "Video"), ("mmstar", "MMStar")):
            if name in of:
                first, last = of[name][0], of[name][-1]
                claim = f"{label} rises with the number of training frames"
                yield Finding(
                    claim,
                    model,
                    f"{label}, by training frames",
                    tuple(of[name]),
                    verdict(above(last, first), above(first, last)),
                )
        if "mme" in of:
            changes = of["mme"]
            yield Finding(
                "MME stays below the base at every number of frames",
                model,
                "MME, by training frames",
                tuple(changes),
                verdict(all(c.high < 0 for c in changes), any(c.low > 0 for c in changes)),
            )
        for name in ("mmbench", "pope"):
            if name in of and len(uniform) > 2:
                first, *inner, last = of[name]
                peak = max(inner, key=lambda change: change.value)
                claim = f"{benchmark_label(name)} rises with the number of frames, then falls"
                inside = above(peak, first) and above(peak, last)
                at_an_end = any(all(above(end, change) for change in inner) for end in (first, last))
                yield Finding(
                    claim,
                    model,
                    f"{benchmark_label(name)}, by training frames",
                    tuple(of[name]),
                    verdict(inside, at_an_end),
                )


def hybrid(selection: Selection) -> Iterator[Finding]:
    """Claim 4: Qwen3-VL-8B's budgets are better for images than many frames, and keep the video gain."""
    rivals = [name for name in ("uniform-32", "uniform-64") if name in selection.allocations]
    if HYBRID not in selection.allocations:
        return
    for model in selection.models:
        for name in ("mmstar", "pope") if rivals else ():
            if name in selection.benchmarks:
                own = _change(selection, model, HYBRID, name, allocation_label(HYBRID))
                others = [_change(selection, model, rival, name, str(uniform_frames(rival))) for rival in rivals]
                yield Finding(
                    f"On {benchmark_label(name)}, budgets from Qwen3-VL-8B are better than 32 and 64 frames",
                    model,
                    f"{benchmark_label(name)}, by training frames",
                    (own, *others),
                    verdict(all(above(own, c) for c in others), any(above(c, own) for c in others)),
                )
        video = _change(selection, model, HYBRID, "video")
        claim = "Budgets from Qwen3-VL-8B keep a gain on video"
        yield Finding(claim, model, "suite mean", (video,), verdict(video.low > 0, video.high < 0))


CLAIMS: dict[str, Callable[[Selection], Iterator[Finding]]] = {
    "overview": overview,
    "architectures": architectures,
    "scale": scale,
    "frames": frames,
    "hybrid": hybrid,
}


def findings(selections: Mapping[str, Selection]) -> list[Finding]:
    """Of the experiments at hand, in the order of CLAIMS. No claim is known of other experiments."""
    return [
        finding for figure, judge in CLAIMS.items() if figure in selections for finding in judge(selections[figure])
    ]


def numbers(found: list[Finding]) -> pd.DataFrame:
    """A row a measured change: claim, model, verdict, what, change, ci_low, ci_high."""
    rows = [
        (f.claim, f.model, f.verdict, c.label, c.value, c.low, c.high, c.base, c.blind, c.detectable)
        for f in found
        for c in f.measured
    ]
    scores = ["change", "ci_low", "ci_high", "base", "blind", "mdd"]
    return pd.DataFrame(rows, columns=["claim", "model", "verdict", "measured", *scores])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--experiment",
        action="append",
        nargs=3,
        metavar=("SETTINGS", "SCORES", "DELTAS"),
        required=True,
        help="an experiment as JSON, its scores.csv and deltas.csv; once for each experiment",
    )
    parser.add_argument("--output-stem", type=Path, required=True, help="path of the output without its extension")
    arguments = parser.parse_args()
    selections, held = dict[str, Selection](), set[str]()
    for text, scores, deltas in arguments.experiment:
        settings = json_of(ExperimentSettings)(text)
        selection = select(argparse.Namespace(settings=settings, scores=Path(scores), deltas=Path(deltas)))
        selections[settings.figure] = selection
        held.add(selection.held_text)
    found = findings(selections)
    rows = [
        [f.claim, model_label(f.model) if f.model else "", "\n".join([f.of, *map(str, f.measured)]), f.verdict]
        for f in found
    ]
    note = f"{NOTE} {'; '.join(sorted(held))}."
    save_table(["Claim of the paper", "Model", "Measured", "Verdict"], rows, note, arguments.output_stem)
    save_csv(numbers(found), arguments.output_stem)


if __name__ == "__main__":
    run(main)

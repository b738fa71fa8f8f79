"""Put a label beside each point without covering points, bars or other labels."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

DISTANCES_PT = (5, 9, 14, 20, 27)
DIRECTIONS = tuple((np.cos(angle), np.sin(angle)) for angle in np.arange(0.25, 2, 0.25) * np.pi)
LEADER_FROM_PT = 12


def place_labels(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    colours: Sequence[str],
    bars: Sequence[tuple[tuple[float, float], tuple[float, float]]],
    size_pt: float,
) -> None:
    """Write texts near points, in data coordinates, at the nearest free place; a thin line leads to a far one.

    bars: line segments, ((x0, y0), (x1, y1)), that labels should not cross. Call when limits and layout are final.
    """
    figure = axes.figure
    canvas = FigureCanvasAgg(figure.get_figure(root=True))  # type: ignore[arg-type]
    canvas.draw()
    renderer = canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    pixel = figure.dpi / 72
    centres = [axes.transData.transform(point) for point in points]
    taken = [Bbox.from_bounds(x - 4 * pixel, y - 4 * pixel, 8 * pixel, 8 * pixel) for x, y in centres]
    segments = [axes.transData.transform(bar) for bar in bars]
    for index in sorted(range(len(points)), key=lambda i: -centres[i][1]):
        if not texts[index]:
            continue
        best: tuple[float, float, float, str, str] | None = None
        for distance in DISTANCES_PT:
            for dx, dy in ((1.0, 0.0), (-1.0, 0.0), *DIRECTIONS):
                across = "left" if dx > 0.1 else "right" if dx < -0.1 else "center"
                up = "bottom" if dy > 0.1 else "top" if dy < -0.1 else "center"
                text = axes.annotate(
                    texts[index], points[index], (dx * distance, dy * distance), textcoords="offset points",
                    ha=across, va=up, fontsize=size_pt,
                )  # fmt: skip
                box = text.get_window_extent(renderer).padded(0.8 * pixel)
                text.remove()
                cost = distance * 0.12 + 8 * sum(box.overlaps(other) for other in taken)
                cost += 0.7 * sum(_crosses(box, segment) for segment in segments)
                cost += 20 * (
                    not (frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
                )
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, dx * distance, dy * distance, across, up)
        assert best is not None
        _, dx, dy, across, up = best
        far = np.hypot(dx, dy) > LEADER_FROM_PT
        leader = {"arrowstyle": "-", "lw": 0.4, "color": colours[index], "shrinkA": 1, "shrinkB": 3} if far else None
        text = axes.annotate(
            texts[index], points[index], (dx, dy), textcoords="offset points", ha=across, va=up, fontsize=size_pt,
            color=colours[index], zorder=6, arrowprops=leader,
            path_effects=[withStroke(linewidth=1.6, foreground="white")],
        )  # fmt: skip
        taken.append(text.get_window_extent(renderer).padded(0.8 * pixel))


def _crosses(box: Bbox, segment: np.ndarray) -> bool:
    """Does a segment [2, 2] (pixels) pass through the box; sampled."""
    steps = np.linspace(0, 1, 60)[:, None]
    path = segment[0] * (1 - steps) + segment[1] * steps
    inside = (path[:, 0] > box.x0) & (path[:, 0] < box.x1) & (path[:, 1] > box.y0) & (path[:, 1] < box.y1)
    return bool(inside.any())

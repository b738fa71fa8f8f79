"""Scenes: what is there, where, when; drawn from a seed.

A scene is a description only: ``render`` draws its frames, ``questions`` asks about it. It is the same on every machine
(Python's ``random.Random`` with a string seed).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from workflow_scripts.miniature.evidence import BUDGETS, Window, brief_passage, brief_windows

SIDE = 64  # pixels, width and height of every frame
COLORS = ("red", "green", "blue", "yellow", "purple", "cyan")
PATTERNS = ("solid", "striped", "checked", "dotted", "framed")
PLACES = ("top left", "top right", "bottom left", "bottom right")
DIRECTIONS = ("left", "right", "up", "down")
DURATIONS_S = {
    "5 seconds": (4.2, 5.5),
    "10 seconds": (9.0, 11.0),
    "20 seconds": (18.0, 22.0),
    "40 seconds": (36.0, 40.0),
}
SHAPES = ("square", "round")
EVENTS = ("flashes", "order", "change", "appearance", "disappearance", "direction")
# The ten sources, by the root of their paths in LLaVA-Video-178K, and the look each gives its scenes.
SOURCES = (
    "charades",
    "activitynet",
    "youcook2",
    "nextqa-academic",
    "ego4d",
    "youtube",
    "hdvila",
    "nextqa",
    "activitynetqa",
    "perceptiontest",
)


@dataclass(frozen=True)
class Style:
    """How a source looks: brightness at the top and bottom (0-255), tint, noise (s.d.), outlines, camera shake (px)."""

    top: int
    bottom: int
    tint: tuple[float, float, float]
    noise: float
    outline: bool
    shake: int


STYLES = {
    "charades": Style(70, 70, (1.0, 1.0, 1.0), 0.0, False, 0),
    "activitynet": Style(40, 90, (0.9, 1.0, 0.9), 0.0, False, 1),
    "youcook2": Style(110, 80, (1.0, 0.95, 0.85), 3.0, False, 0),
    "nextqa-academic": Style(60, 40, (1.0, 1.0, 1.0), 4.0, True, 0),
    "ego4d": Style(50, 50, (0.9, 0.9, 1.0), 6.0, False, 2),
    "youtube": Style(20, 20, (1.0, 1.0, 1.0), 0.0, True, 0),
    "hdvila": Style(90, 30, (1.0, 0.9, 0.9), 3.0, False, 1),
    "nextqa": Style(60, 40, (1.0, 1.0, 1.0), 4.0, True, 0),
    "activitynetqa": Style(30, 60, (1.0, 1.0, 0.9), 0.0, False, 0),
    "perceptiontest": Style(100, 100, (0.95, 1.0, 1.0), 2.0, False, 0),
}


@dataclass(frozen=True)
class Thing:
    """An object: its looks, its centre (pixels), the frames in which it is there, and its path if it moves.

    ``window`` None means always there. A mover goes from ``center`` to ``target`` in a straight line over ``window``.
    ``turns`` is a colour it shows during ``turn_window``.
    """

    color: str
    pattern: str
    shape: str
    large: bool
    place: str
    center: tuple[int, int]
    window: Window | None = None
    target: tuple[int, int] | None = None
    turns: str | None = None
    turn_window: Window | None = None


@dataclass(frozen=True)
class Scene:
    """A still (one frame) or a clip. ``timestamps_s``: presentation time of each frame in seconds, rising from 0."""

    seed: int
    source: str
    things: tuple[Thing, ...]
    timestamps_s: tuple[float, ...] = (0.0,)
    duration_class: str = ""
    flashes: tuple[Window, ...] = ()
    event: str = ""
    direction: str = ""
    visitors: tuple[Thing, ...] = field(default=())  # things that come and go, in order of appearance
    leaver: Thing | None = None

    @property
    def n_frames(self) -> int:
        return len(self.timestamps_s)

    @property
    def residents(self) -> tuple[Thing, ...]:
        """The things that are there all the time and stay where they are."""
        return tuple(thing for thing in self.things if thing.window is None)


def _center(rng: random.Random, place: str) -> tuple[int, int]:
    x = 16 if "left" in place else 48
    y = 16 if "top" in place else 48
    return x + rng.randint(-4, 4), y + rng.randint(-4, 4)


def _thing(rng: random.Random, color: str, pattern: str, place: str, window: Window | None = None) -> Thing:
    return Thing(color, pattern, rng.choice(SHAPES), rng.random() < 0.5, place, _center(rng, place), window)


def draw_image_scene(seed: int, source: str | None = None) -> Scene:
    """A still with one to four things, each in its own quarter; two may share a colour or a pattern."""
    rng = random.Random(f"image-{seed}")
    count = rng.randint(1, 4)
    places = rng.sample(PLACES, count)
    colors = rng.sample(COLORS, count)
    patterns = rng.sample(PATTERNS, count)
    if count > 2 and rng.random() < 0.3:
        colors[1] = colors[0]
    if count > 2 and rng.random() < 0.3:
        patterns[-1] = patterns[0]
    things = tuple(_thing(rng, *looks) for looks in zip(colors, patterns, places, strict=True))
    return Scene(seed, source or rng.choice(SOURCES), things)


def _timestamps(rng: random.Random, duration_s: float, variable: bool) -> tuple[float, ...]:
    fps = rng.choice((8, 10)) if duration_s * 8 >= 64 else 16
    n_frames = max(64, int(duration_s * fps))
    if not variable:
        return tuple(i / fps for i in range(n_frames))
    steps = [rng.choice((1, 1, 2, 3)) for _ in range(n_frames)]
    unit = duration_s / sum(steps)
    ticks = [0]
    for step in steps[:-1]:
        ticks.append(ticks[-1] + step)
    return tuple(round(tick * unit, 3) for tick in ticks)


def draw_video_scene(
    seed: int, source: str | None = None, event: str | None = None, budget: int | None = None, variable: bool = False
) -> Scene:
    """A clip of 4 to 40 s: residents that stay, and one event that ``budget`` uniform frames show and half do not."""
    rng = random.Random(f"video-{seed}")
    source = source or rng.choice(SOURCES)
    event = event or rng.choice(EVENTS)
    budget = budget or rng.choice(BUDGETS)
    duration_class = rng.choice(tuple(DURATIONS_S))
    timestamps = _timestamps(rng, rng.uniform(*DURATIONS_S[duration_class]), variable)
    n = len(timestamps)
    count = rng.randint(1, 2)
    colors = rng.sample(COLORS, len(COLORS))
    patterns = rng.sample(PATTERNS, len(PATTERNS))
    if event == "direction":
        return _passage(rng, seed, source, budget, duration_class, timestamps, colors, patterns, count)
    places = rng.sample(PLACES, 4)
    residents = [_thing(rng, colors[i], patterns[i], places[i]) for i in range(count)]
    flashes: list[Window] = []
    visitors: list[Thing] = []
    leaver = None
    if event == "flashes":
        flashes = brief_windows(rng, n, budget, rng.randint(1, 4))
    elif event == "order":
        for i, window in enumerate(brief_windows(rng, n, budget, 2)):
            visitors.append(_thing(rng, colors[2 + i], patterns[2 + i], places[2 + i], window))
    elif event == "appearance":
        [window] = brief_windows(rng, n, budget)
        visitors.append(_thing(rng, colors[2], patterns[2], places[2], window))
    elif event == "disappearance":
        stop = rng.randint(n // 3, 2 * n // 3)
        leaver = _thing(rng, colors[2], patterns[2], places[2], Window(0, stop))
    elif event == "change":
        [window] = brief_windows(rng, n, budget)
        changed = residents[0]
        residents[0] = Thing(
            changed.color,
            changed.pattern,
            changed.shape,
            changed.large,
            changed.place,
            changed.center,
            turns=colors[2],
            turn_window=window,
        )
    things = (*residents, *visitors, *((leaver,) if leaver else ()))
    return Scene(
        seed,
        source,
        things,
        timestamps,
        duration_class,
        tuple(flashes),
        event,
        visitors=tuple(visitors),
        leaver=leaver,
    )


def _passage(
    rng: random.Random,
    seed: int,
    source: str,
    budget: int,
    duration_class: str,
    timestamps: tuple[float, ...],
    colors: list[str],
    patterns: list[str],
    count: int,
) -> Scene:
    """A clip in which one thing crosses a half of the picture; the residents keep to the other half."""
    n = len(timestamps)
    direction = rng.choice(DIRECTIONS)
    window = Window(0, n, count=2) if budget == BUDGETS[0] else brief_passage(rng, n, budget)
    low, high = 12, SIDE - 12
    if direction in ("left", "right"):
        half = rng.choice(("top", "bottom"))
        free = [place for place in PLACES if half not in place]
        y = (16 if half == "top" else 48) + rng.randint(-3, 3)
        ends = ((low, y), (high, y))
    else:
        half = rng.choice(("left", "right"))
        free = [place for place in PLACES if half not in place]
        x = (16 if half == "left" else 48) + rng.randint(-3, 3)
        ends = ((x, low), (x, high))
    start, target = ends if direction in ("right", "down") else ends[::-1]
    places = rng.sample(free, count)
    residents = [_thing(rng, colors[i], patterns[i], places[i]) for i in range(count)]
    mover = Thing(
        colors[2], patterns[2], rng.choice(SHAPES), rng.random() < 0.5, "", start, window=window, target=target
    )
    return Scene(
        seed, source, (*residents, mover), timestamps, duration_class, (), "direction", direction, visitors=(mover,)
    )

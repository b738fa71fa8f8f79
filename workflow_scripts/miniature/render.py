"""Draws a scene's frames: 64 x 64 pixels, RGB, uint8."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.miniature.scene import SIDE, STYLES, Scene, Thing

RGB = {
    "red": (225, 45, 45),
    "green": (40, 190, 60),
    "blue": (50, 80, 235),
    "yellow": (240, 225, 50),
    "purple": (185, 60, 210),
    "cyan": (60, 215, 225),
}
RADIUS = {False: 8, True: 12}  # pixels from the centre to the edge, small and large

Frame = NDArray[np.uint8]


@functools.lru_cache(maxsize=4096)
def _sprite(color: str, pattern: str, shape: str, large: bool, outline: bool) -> tuple[Frame, NDArray[np.bool_]]:
    """Pixels (uint8 [D, D, 3]) and mask (bool [D, D]) of a thing, D = 2 x radius."""
    radius = RADIUS[large]
    y, x = np.mgrid[0 : 2 * radius, 0 : 2 * radius]
    if shape == "round":
        mask = (x - radius + 0.5) ** 2 + (y - radius + 0.5) ** 2 <= radius**2
        depth = radius - np.hypot(x - radius + 0.5, y - radius + 0.5)
    else:
        mask = np.ones_like(x, dtype=bool)
        depth = np.minimum.reduce([x, y, 2 * radius - 1 - x, 2 * radius - 1 - y]) + 0.5
    bright = {
        "solid": np.ones_like(x, dtype=bool),
        "striped": (y // 3) % 2 == 0,
        "checked": ((x // 4) + (y // 4)) % 2 == 0,
        "dotted": ((x % 5) < 2) & ((y % 5) < 2),
        "framed": depth < 3,
    }[pattern]
    rgb = np.array(RGB[color], dtype=np.float32)
    pixels = np.where(bright[..., None], rgb, rgb * 0.3)
    if outline:
        pixels = np.where((depth < 1)[..., None], 245.0, pixels)
    return pixels.astype(np.uint8), mask


def _position(thing: Thing, index: int) -> tuple[int, int]:
    """The centre of a thing at a frame, in pixels."""
    if thing.target is None or thing.window is None:
        return thing.center
    span = max(1, thing.window.stop - 1 - thing.window.start)
    share = (index - thing.window.start) / span
    (x0, y0), (x1, y1) = thing.center, thing.target
    return round(x0 + share * (x1 - x0)), round(y0 + share * (y1 - y0))


def _paste(frame: Frame, thing: Thing, index: int, outline: bool, shift: tuple[int, int]) -> None:
    turned = thing.turns if thing.turn_window and thing.turn_window.start <= index < thing.turn_window.stop else None
    pixels, mask = _sprite(turned or thing.color, thing.pattern, thing.shape, thing.large, outline)
    x, y = _position(thing, index)
    radius = RADIUS[thing.large]
    left, top = x - radius + shift[0], y - radius + shift[1]
    x0, y0, x1, y1 = max(0, left), max(0, top), min(SIDE, left + 2 * radius), min(SIDE, top + 2 * radius)
    patch = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    frame[y0:y1, x0:x1][mask[patch]] = pixels[patch][mask[patch]]


def object_box(thing: Thing, index: int = 0) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) of a thing at a frame, in pixels, without camera shake."""
    x, y = _position(thing, index)
    radius = RADIUS[thing.large]
    return x - radius, y - radius, x + radius, y + radius


@functools.lru_cache(maxsize=16)
def _background(source: str) -> NDArray[np.float32]:
    style = STYLES[source]
    ramp = np.linspace(style.top, style.bottom, SIDE, dtype=np.float32)[:, None, None]
    return np.broadcast_to(ramp * np.array(style.tint, dtype=np.float32), (SIDE, SIDE, 3)).copy()


def render(scene: Scene, index: int = 0) -> Frame:
    """Frame ``index`` of a scene, uint8 [64, 64, 3], RGB; the same for the same scene and index."""
    style = STYLES[scene.source]
    background = _background(scene.source)
    rng = None
    if style.noise or style.shake:
        rng = np.random.default_rng((scene.seed, index))
    if rng is not None and style.noise:
        background = background + rng.normal(0.0, style.noise, (SIDE, SIDE, 1)).astype(np.float32)
    frame = np.clip(background, 0, 255).astype(np.uint8)
    shift = (0, 0)
    if rng is not None and style.shake:
        dx, dy = rng.integers(-style.shake, style.shake + 1, 2)
        shift = (int(dx), int(dy))
    for thing in scene.things:
        if thing.window is None or thing.window.start <= index < thing.window.stop:
            _paste(frame, thing, index, style.outline, shift)
    if any(window.start <= index < window.stop for window in scene.flashes):
        frame = (frame // 4 + 190).astype(np.uint8)
    return frame

"""The registry of model families: a row each, with what must be known of a family before any of its models is loaded.

A new family is a row here and the one module of `vlm/families/` that the row names.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """How a family cuts a video's frames into tokens.

    side: pixels, a side, of the square that becomes one token; of one patch where `grid` is given. merge: patches a
    token, a side. together: frames that share their tokens. grid: patches a side of the one size to which every frame
    is scaled; 0: frames keep their shape and have as many pixels as they are given. pool: stride of the pooling over
    that grid; 0: the model's setting video_pool_stride.
    """

    side: int
    merge: int
    together: int
    grid: int
    pool: int


@dataclass(frozen=True)
class FamilyRow:
    """One family.

    adapter: module of `vlm/families` and class in it, `module:Class`. geometry: of the published models; a local
    folder's config.json says its own. timed: whether real time reaches the model; else time is the order of the frames.
    projector: linear layers of the projector, by the last part of their name. vision_b: parameters of the vision tower,
    in 10^9.
    """

    adapter: str
    geometry: Geometry
    timed: bool
    projector: tuple[str, ...]
    vision_b: float


FAMILIES = {
    "qwen2.5-vl": FamilyRow(
        adapter="qwen2_5_vl:Qwen25VL",
        geometry=Geometry(side=28, merge=2, together=2, grid=0, pool=1),
        timed=True,
        projector=("0", "2"),
        vision_b=0.67,
    ),
    "qwen3-vl": FamilyRow(
        adapter="qwen3_vl:Qwen3VL",
        geometry=Geometry(side=32, merge=2, together=2, grid=0, pool=1),
        timed=True,
        projector=("linear_fc1", "linear_fc2"),
        vision_b=0.58,
    ),
    "llava-next-video": FamilyRow(
        adapter="llava_next_video:LlavaNextVideo",
        geometry=Geometry(side=14, merge=1, together=1, grid=24, pool=2),
        timed=False,
        projector=("linear_1", "linear_2"),
        vision_b=0.30,
    ),
    "llava-1.5": FamilyRow(
        adapter="llava_1_5:Llava15",
        geometry=Geometry(side=14, merge=1, together=1, grid=24, pool=0),
        timed=False,
        projector=("linear_1", "linear_2"),
        vision_b=0.30,
    ),
}


def known_family(name: str) -> str:
    """The name, if the registry has it. Raises ValueError."""
    if name not in FAMILIES:
        raise ValueError(f"is {name!r}; expected one of {', '.join(map(repr, FAMILIES))}")
    return name

"""Where the training videos are, and how the sample of them is drawn."""

from typing import Literal

from pydantic import Field, field_validator

from .section import Place, Section

DURATIONS = ("0_30_s", "30_60_s", "1_2_m", "2_3_m")
SUBSETS = tuple(
    [
        f"{duration}_{corpus}"
        for corpus in ("academic_v0_1", "youtube_v0_1", "activitynetqa", "nextqa")
        for duration in DURATIONS
    ]
    + [f"{duration}_perceptiontest" for duration in DURATIONS[:2]]
)

Format = Literal["caption", "open_ended", "multiple_choice"]
Duration = Literal["0_30_s", "30_60_s", "1_2_m", "2_3_m"]


class DatasetSettings(Section):
    """LLaVA-Video-178K on disk, in its own layout."""

    root: Place = Field("data/LLaVA-Video-178K", description="Folder that holds the subset folders.")
    repository: str = Field("lmms-lab/LLaVA-Video-178K", min_length=1, description="Where the dataset comes from.")
    revision: str | None = Field(
        None, description="Commit of the dataset; annotation files have been re-uploaded. null: resources/pins.json's."
    )
    ready: Place | None = Field(
        None, description="A file that exists once the dataset is in place; curation waits for it. null: it is there."
    )
    subsets: tuple[str, ...] = Field(SUBSETS, min_length=1, description="Subset folders to draw from.")
    archives: int | None = Field(
        None,
        ge=1,
        description="Video archives to fetch from, chosen before the videos in them; a number of each subset's, in "
        "proportion to how many it has, at least one. null: all, about 250 of 5.3 GB.",
    )
    reserve: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Videos to fetch and to open beyond the sample, as a share of it: they replace unusable ones.",
    )

    @field_validator("subsets")
    @classmethod
    def _known(cls, subsets: tuple[str, ...]) -> tuple[str, ...]:
        for subset in subsets:
            if subset not in SUBSETS:
                raise ValueError(f"unknown subset {subset!r}; allowed: {', '.join(SUBSETS)}")
        if len(set(subsets)) < len(subsets):
            raise ValueError("a subset is listed twice")
        return subsets


class Shares(Section):
    """Wanted shares of the sample. An empty mapping keeps the dataset's own shares."""

    format: dict[Format, float] = Field(
        {}, description="Share of each record format: caption, open_ended, multiple_choice; sum 1."
    )
    duration: dict[Duration, float] = Field({}, description="Share of each duration class, e.g. 0_30_s; sum 1.")

    @field_validator("format", "duration")
    @classmethod
    def _sum_to_one(cls, shares: dict[str, float]) -> dict[str, float]:
        if shares and (min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-6):
            raise ValueError(f"shares are {shares}; expected numbers >= 0 whose sum is 1")
        return shares


class CurationSettings(Section):
    """The sample of videos to train on."""

    videos: int = Field(20_000, ge=1, description="Number of videos to draw (paper: 20,000).")
    seed: int = Field(0, ge=0, description="Seed of the draw.")
    shares: Shares = Field(Shares(), description="Wanted shares by format and duration (the paper does not give them).")
    probe_timeout_s: float = Field(
        60.0, gt=0, description="Seconds after which a video that does not open counts as broken."
    )
    probe_shards: int = Field(
        16, ge=1, le=10_000, description="Parts that the videos to open are cut into; one job each."
    )

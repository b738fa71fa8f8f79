"""How a run trains."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from .section import Name, Section

TemporalPositions = Literal["real_time", "integer_rate", "constant"]
Batching = Literal["packed", "bucketed", "padded"]
Attention = Literal["sdpa", "flash_attention_2"]
MITIGATIONS = ("replay", "gradient_projection", "interpolation")
"""Settings that are there to keep what Video-SFT costs on images; freezing a part is one too, by its rate."""


@dataclass(frozen=True)
class View:
    """How videos are shown to a model: the same in its training, its evaluation and that of the base beside it."""

    temporal_positions: TemporalPositions = "real_time"
    total_pixels: int | None = None

    @property
    def name(self) -> str:
        """What is not as by default, as part of a path: `integer_rate`, `total-802816`; empty for the default."""
        positions = "" if self.temporal_positions == "real_time" else self.temporal_positions
        pixels = "" if self.total_pixels is None else f"total-{self.total_pixels}"
        return "-".join(filter(None, (positions, pixels)))


class LearningRates(Section):
    """Peak learning rate of each part of the model; 0 freezes the part."""

    vision_tower: float = Field(2e-6, ge=0, description="Vision tower.")
    projector: float = Field(1e-5, ge=0, description="Projector between vision and language.")
    language_model: float = Field(1e-5, ge=0, description="Language model.")


class LoraSettings(Section):
    """Low-rank adapters; read only where method is lora."""

    rank: int = Field(64, ge=1, description="Rank.")
    alpha: int = Field(128, ge=1, description="Scale, alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the adapters' input.")
    targets: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        min_length=1,
        description="Linear layers that get adapters, by the last part of their name.",
    )


class RecipeSettings(Section):
    """One way to train. The paper gives none of these numbers; they are this project's choice."""

    name: Name = Field(description="The recipe's name in paths and figures; the key in the configuration.")
    like: str | None = Field(
        None, description="Another recipe, by name, whose settings hold where this one has none of its own. null: none."
    )
    method: Literal["full", "lora"] = Field("full", description="full: all weights move; lora: adapters only.")
    learning_rates: LearningRates = Field(
        LearningRates(), description="Peak learning rate by part; 0 freezes the part."
    )
    lora: LoraSettings = Field(LoraSettings(), description="Adapters, where method is lora.")
    epochs: float = Field(1.0, gt=0, le=1000, description="Passes over the sample.")
    batch_size: int = Field(128, ge=1, description="Samples an optimizer step, over all processes.")
    batching: Batching = Field(
        "packed",
        description="How the samples of an optimizer step share forward passes; the loss is the same. packed: behind "
        "each other in one row, without padding; bucketed: padded to the longest, neighbours in length together; "
        "padded: the same in the drawn order, for comparison.",
    )
    micro_batch_size: int = Field(8, ge=1, description="Most samples a forward pass of one process.")
    micro_batch_tokens: int | None = Field(
        8192,
        ge=1,
        description="Most tokens a forward pass of one process, padding included; a longer sample has a pass of its "
        "own. null: only samples are counted.",
    )
    attention: Attention = Field(
        "sdpa",
        description="sdpa: torch's own kernels, on a GPU flash attention where no row is padded; flash_attention_2: "
        "the package flash-attn, which the environment does not hold.",
    )
    fused_kernels: bool = Field(
        False,
        description="Fused norms, rotary positions and feed-forward layers of the package liger-kernel, which the "
        "environment does not hold; for GPUs.",
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's weight decay.")
    warmup_ratio: float = Field(0.03, ge=0, lt=1, description="Share of the steps in which the rate rises from 0.")
    schedule: Literal["cosine"] = Field("cosine", description="How the rate falls after that.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this norm.")
    temporal_positions: TemporalPositions = Field(
        "real_time",
        description="Temporal positions of video tokens, in training and evaluation. real_time: from the timestamps; "
        "integer_rate: truncated to an integer as transformers <= 5.17 did; constant: the processor's fixed rate.",
    )
    total_pixels: int | None = Field(
        None,
        ge=1,
        description="Pixels of all frames of a clip together, in training and evaluation, divided evenly: more frames "
        "are smaller ones. null: a frame has its model's video_max_pixels at every budget.",
    )
    deepspeed: Literal["zero2", "zero3"] | None = Field(
        "zero3", description="DeepSpeed stage. null: without DeepSpeed."
    )
    offload: Literal["none", "optimizer", "parameters"] = Field(
        "none",
        description="What DeepSpeed keeps in the machine's memory and not on the GPU. optimizer: AdamW's moments and "
        "the float32 copy of the weights, and the step with them; parameters: the weights too (zero3 only). For models "
        "that fit on no other way: it is slower.",
    )
    activation_checkpointing: bool = Field(
        True, description="Recompute activations in the backward pass to save memory."
    )
    snapshots: tuple[int, ...] = Field(
        (), description="Percentages of the steps after which weights are kept under snapshots/."
    )

    replay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of each optimizer step's samples that are image conversations, added to its batch_size "
        "videos: videos, their order and the number of steps stay. null: none.",
    )
    gradient_projection: int | None = Field(
        None,
        ge=1,
        description="Image conversations whose mean gradient each optimizer step compares the videos' with; where "
        "their inner product is negative, the component along it is taken out (A-GEM, arXiv 1812.00420). "
        "null: not done.",
    )
    interpolation: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Nothing is trained: the weights lie so far on the way from the base to a run of the recipe that "
        "this one is like, which differs from it in nothing else. null: trained.",
    )

    @property
    def needs_images(self) -> bool:
        """Whether its runs learn from image conversations, or are held against them."""
        return self.interpolation is None and (self.replay is not None or self.gradient_projection is not None)

    @property
    def view(self) -> View:
        """How its runs, and the base models beside them, are shown videos."""
        return View(self.temporal_positions, self.total_pixels)

    @field_validator("snapshots")
    @classmethod
    def _percentages(cls, snapshots: tuple[int, ...]) -> tuple[int, ...]:
        if list(snapshots) != sorted(set(snapshots)) or any(not 0 < percent < 100 for percent in snapshots):
            raise ValueError(f"snapshots are {list(snapshots)}; expected distinct percentages between 1 and 99, rising")
        return snapshots

    @model_validator(mode="after")
    def _consistent(self) -> "RecipeSettings":
        if self.offload == "optimizer" and self.deepspeed is None:
            raise ValueError("offload is optimizer, and deepspeed null; expected deepspeed: zero2 or zero3")
        if self.offload == "parameters" and self.deepspeed != "zero3":
            raise ValueError(
                f"offload is parameters, and deepspeed {self.deepspeed or 'null'}; expected deepspeed: zero3"
            )
        rates = self.learning_rates
        if not (rates.vision_tower or rates.projector or rates.language_model):
            raise ValueError("learning_rates are all 0; expected at least one part that trains")
        if self.gradient_projection is not None and self.deepspeed is not None:
            raise ValueError(
                f"gradient_projection is {self.gradient_projection}, and deepspeed {self.deepspeed}; expected "
                "deepspeed: null, since DeepSpeed steps within its backward pass, before gradients can be changed"
            )
        if self.gradient_projection is not None and self.replay is not None:
            raise ValueError(
                f"gradient_projection is {self.gradient_projection}, and replay {self.replay:g}; expected one of them"
            )
        if self.interpolation is not None and self.like is None:
            raise ValueError(
                f"interpolation is {self.interpolation:g}, and like null; expected the recipe whose runs it starts from"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_done(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Mitigations that a recipe does without are left out, so that its specifications read as ever."""
        dumped: dict[str, Any] = dump(self)
        return {key: value for key, value in dumped.items() if value is not None or key not in MITIGATIONS}


def filled(recipes: Any) -> Any:
    """Recipes by name, as the configuration holds them, each with the settings of the one it is `like`.

    Raises ValueError where there is none of that name, or that one is like another.

    >>> filled({"full": {"epochs": 2, "batch_size": 8}, "short": {"like": "full", "epochs": 1}})["short"]
    {'epochs': 1, 'batch_size': 8, 'like': 'full'}
    """
    if not isinstance(recipes, dict):
        return recipes
    return {name: _filled(name, recipe, recipes) for name, recipe in recipes.items()}


def _filled(name: str, recipe: Any, recipes: dict[str, Any]) -> Any:
    like = recipe.get("like") if isinstance(recipe, dict) else None
    if like is None:
        return recipe
    first = recipes.get(like) if isinstance(like, str) else None
    if not isinstance(first, dict) or first.get("like") is not None:
        plain = [other for other, entry in recipes.items() if isinstance(entry, dict) and entry.get("like") is None]
        raise ValueError(f"{name}.like is {like!r}; expected a recipe that is like no other: {', '.join(plain)}")
    return _merged(first, recipe)


def _merged(first: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """As overlays merge: mappings key by key, anything else replaced."""
    merged = dict(first)
    for key, value in own.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged

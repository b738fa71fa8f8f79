"""Load a model of any family with its processor, at the resolution and with the time of the settings."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoProcessor, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.utils import logging

from workflow_scripts.settings import InputError, ModelSettings
from workflow_scripts.settings.families import FAMILIES
from workflow_scripts.settings.recipes import Attention, TemporalPositions
from workflow_scripts.vlm.attention import implementation
from workflow_scripts.vlm.conversation import Skeleton
from workflow_scripts.vlm.families import Family, get_family


@dataclass
class VLM:
    """A model with all that is needed to talk to it.

    Attributes:
        settings: what was asked for.
        family: the adapter of its family.
        model: the model; absent (an AttributeError on use) if loaded with ``with_model=False``.
        processor: tokenizer, image processor, video processor and chat template.
        config: the model's configuration.
        temporal_positions: how real time becomes temporal positions.
        total_pixels: pixels of all frames of a clip together, divided evenly; None: a frame has ``video_max_pixels``.
        skeletons: rendered chat templates, by roles and media; filled on first use.
        option_ids: tokens of answer options; filled on first use.
    """

    settings: ModelSettings
    family: Family
    model: PreTrainedModel
    processor: ProcessorMixin
    config: Any
    temporal_positions: TemporalPositions = "real_time"
    total_pixels: int | None = None
    skeletons: dict[Any, Skeleton] = field(default_factory=dict, repr=False)
    option_ids: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The processor's tokenizer."""
        tokenizer: PreTrainedTokenizerBase = self.processor.tokenizer  # type: ignore[attr-defined]
        return tokenizer

    @property
    def device(self) -> torch.device:
        """Where the model computes; of a spread one the first device, which takes the inputs."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """What the model computes in."""
        return self.model.dtype

    @property
    def placeholder_ids(self) -> tuple[int, ...]:
        """Token ids of the family's media placeholders."""
        return tuple(int(self.tokenizer.convert_tokens_to_ids(token)) for token in self.family.placeholders)


def load(
    settings: ModelSettings,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    adapter: Path | None = None,
    merge: bool = True,
    temporal_positions: TemporalPositions = "real_time",
    total_pixels: int | None = None,
    with_model: bool = True,
    spread: bool = False,
    attention: Attention | None = None,
) -> VLM:
    """Load a model from a local folder or the hub: safetensors only, no remote code.

    Args:
        settings: name, family, source, revision, pixels and precision.
        device: where the model goes.
        dtype: overrides the settings' precision.
        adapter: folder of a LoRA adapter.
        merge: whether the adapter goes into the weights, rounded to their precision, or works beside them in float32.
        temporal_positions: ``real_time``, ``integer_rate`` or ``constant``.
        total_pixels: pixels of all frames of a clip together; None: a frame has the settings' at every budget.
        with_model: False for the processor alone, as data workers need it.
        spread: whether a model on ``cuda`` is shared out over all visible GPUs, layer by layer. For inference only.
        attention: how a model to be trained attends, so that it takes packed rows. None: torch's kernel, rows padded.

    Raises:
        InputError: the source is missing or of another family, a spread model is larger than the GPUs, or pixels are to
            be divided where every frame is scaled to one size.
    """
    family = get_family(settings.family)
    if total_pixels is not None and FAMILIES[settings.family].geometry.grid:
        raise InputError(
            f"model {settings.name}: total_pixels is {total_pixels}; expected none, since family {settings.family} "
            "scales every frame to one size"
        )
    source = settings.source
    logging.disable_progress_bar()
    where = f"model {settings.name}: source {source}"
    revision = {"revision": settings.revision} if settings.revision else {}
    spread = spread and _can_spread(torch.device(device))
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, **revision)
        if config.model_type != family.model_type:
            expected = f"{family.model_type} ({settings.family})"
            raise InputError(f"{where} is of type {config.model_type}; expected {expected}")
        processor = AutoProcessor.from_pretrained(source, trust_remote_code=False, **revision)
        family.configure(processor, config, settings)
        vlm = VLM(settings, family, None, processor, config, temporal_positions, total_pixels)  # type: ignore[arg-type]
        if not with_model:
            return vlm
        model = family.model_class.from_pretrained(
            source,
            config=config,
            dtype=dtype or getattr(torch, settings.precision),
            attn_implementation=implementation(attention) if attention else "sdpa",
            use_safetensors=True,
            trust_remote_code=False,
            **({"device_map": "auto"} if spread else {}),
            **revision,
        )
    except OSError as error:
        raise InputError(f"{where} cannot be loaded: {str(error).splitlines()[0]}") from error
    if adapter is not None:
        from peft import PeftModel

        try:
            tuned = PeftModel.from_pretrained(model, str(adapter))
        except (OSError, ValueError) as error:
            raise InputError(f"adapter {adapter} cannot be loaded: {str(error).splitlines()[0]}") from error
        # Without the wrapper: the adapter's layers are in the model itself.
        model = tuned.merge_and_unload() if merge else tuned.get_base_model()
    family.adapt(model, settings)
    if spread:
        _check_spread(model, settings)
    elif not is_deepspeed_zero3_enabled():  # DeepSpeed places its shards
        model = model.to(device)
    vlm.model = model.eval()
    return vlm


def _can_spread(device: torch.device) -> bool:
    """Whether there are several GPUs and none of them is named."""
    return device.type == "cuda" and device.index is None and torch.cuda.device_count() > 1


def _check_spread(model: Any, settings: ModelSettings) -> None:
    """Refuse a model of which a part was left to the CPU or the disk, from where it would come anew at every token.

    Raises:
        InputError: a part is on no GPU.
    """
    left = sorted(name for name, place in model.hf_device_map.items() if place in ("cpu", "disk"))
    if left:
        raise InputError(
            f"model {settings.name}: {len(left)} modules, {left[0]} first, do not fit the {torch.cuda.device_count()} "
            "visible GPUs; expected GPUs that hold the whole model"
        )

"""Small models of the real transformers classes with random weights, real processors and their own tokenizer.

Frames are 64x64. Patches of 8 give every vision tower an 8x8 grid. The four sizes of Qwen2.5-VL share the shape of
the vision tower, the two LLaVAs that of the CLIP tower, so that trained towers can be copied between them.
Weights start at 0.08, about 1/sqrt(width): transformers' 0.02 starves models this narrow.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    BaseImageProcessor,
    BitImageProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2Model,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    LlavaNextVideoProcessor,
    LlavaNextVideoVideoProcessor,
    LlavaProcessor,
    PreTrainedModel,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from workflow_scripts.miniature.tokenizer import LLAVA_TEMPLATE, QWEN_TEMPLATE, llava_tokenizer, qwen_tokenizer
from workflow_scripts.settings import InputError

RESOLUTION = 64
PATCH = 8
MAX_LENGTH = 4096
VOCABULARY = 896
"""Learnt tokens; special tokens come on top."""
INITIALIZER_RANGE = 0.08


@dataclass(frozen=True)
class TextSize:
    """Width, depth and attention of a language model; heads are 32 wide."""

    hidden: int
    layers: int
    key_value_heads: int
    intermediate: int
    tied: bool = False

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.hidden // 32

    def config(self) -> dict[str, object]:
        """Give the keys that all language model configurations share."""
        return {
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": MAX_LENGTH,
            "initializer_range": INITIALIZER_RANGE,
            "tie_word_embeddings": self.tied,
        }


QWEN25_SIZES = {
    "qwen2.5-vl-3b": TextSize(128, 4, 2, 320),
    "qwen2.5-vl-7b": TextSize(128, 5, 2, 320),
    "qwen2.5-vl-32b": TextSize(128, 7, 2, 320),
    "qwen2.5-vl-72b": TextSize(128, 9, 2, 320),
}


def build(name: str, corpus: Iterable[str], folder: Path, seed: int) -> None:
    """Write a model with random weights, its processor, tokenizer and chat template, loadable by Auto classes.

    Args:
        name: one of ``NAMES``.
        corpus: texts of the miniature world, for the tokenizer.
        folder: where to write; created.
        seed: of the weights.

    Raises:
        InputError: no such name.
    """
    if name not in _BUILDERS:
        raise InputError(f"miniature model is {name!r}; expected one of {', '.join(_BUILDERS)}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, processor = _BUILDERS[name](name, corpus)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _qwen25(name: str, corpus: Iterable[str]) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Build a Qwen2.5-VL: window attention over quarters of a frame, every second block over the whole frame."""
    size = QWEN25_SIZES[name]
    tokenizer = qwen_tokenizer(corpus, VOCABULARY, MAX_LENGTH)
    token = {text: tokenizer.convert_tokens_to_ids(text) for text in tokenizer.all_special_tokens}
    config = Qwen2_5_VLConfig(
        text_config={
            **size.config(),
            "vocab_size": len(tokenizer),
            "bos_token_id": token["<|endoftext|>"],
            "eos_token_id": token["<|im_end|>"],
            "pad_token_id": token["<|endoftext|>"],
            # Sections alternate between time, height and width, so that each axis has fast and slow frequencies.
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0, "mrope_section": [2, 1, 1] * 4},
        },
        vision_config={
            "depth": 4,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
            "window_size": RESOLUTION // 2,
            "fullatt_block_indexes": [1, 3],
            "out_hidden_size": size.hidden,
            "initializer_range": INITIALIZER_RANGE,
            "rope_parameters": {"rope_type": "axial", "rope_theta": 100.0},
        },
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=size.tied,
        initializer_range=INITIALIZER_RANGE,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = _generation(token["<|im_end|>"], token["<|endoftext|>"])
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=_limits(), **_GRID),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=_limits(), cap_pixels_per_frame=False, **_GRID),
        chat_template=QWEN_TEMPLATE,
    )
    return model, processor


def _qwen3(name: str, corpus: Iterable[str]) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Build a Qwen3-VL, with one intermediate layer of vision features added to the language model."""
    size = TextSize(96, 2, 1, 160, tied=True)
    tokenizer = qwen_tokenizer(corpus, VOCABULARY, MAX_LENGTH)
    token = {text: tokenizer.convert_tokens_to_ids(text) for text in tokenizer.all_special_tokens}
    config = Qwen3VLConfig(
        text_config={
            **size.config(),
            "head_dim": 32,
            "vocab_size": len(tokenizer),
            "pad_token_id": token["<|endoftext|>"],
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 4,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": size.hidden,
            "num_position_embeddings": (RESOLUTION // PATCH) ** 2,
            "deepstack_visual_indexes": [1],
            "initializer_range": INITIALIZER_RANGE,
            "rope_parameters": {"rope_type": "axial", "rope_theta": 100.0},
        },
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=size.tied,
    )
    model = Qwen3VLForConditionalGeneration(config)
    model.generation_config = _generation(token["<|im_end|>"], token["<|endoftext|>"])
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=_limits(), **_GRID),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(
            size=_limits(), cap_pixels_per_frame=False, do_sample_frames=False, **_GRID
        ),
        chat_template=QWEN_TEMPLATE,
    )
    return model, processor


def _llava(name: str, corpus: Iterable[str]) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Build a LLaVA: a CLIP tower of which, as in the real ones, the last but one layer is used; Llama behind it."""
    video = name == "llava-next-video-7b"
    size = TextSize(128, 5, 2, 320)
    tokenizer = llava_tokenizer(corpus, VOCABULARY, MAX_LENGTH, ("<image>", "<video>") if video else ("<image>",))
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    cells = (RESOLUTION // PATCH) ** 2
    parts = {
        "vision_config": CLIPVisionConfig(
            hidden_size=64,
            intermediate_size=192,
            num_hidden_layers=5,
            num_attention_heads=4,
            image_size=RESOLUTION,
            patch_size=PATCH,
            initializer_range=INITIALIZER_RANGE,
        ),
        "text_config": LlamaConfig(
            **size.config(),
            vocab_size=len(tokenizer),
            bos_token_id=start,
            eos_token_id=end,
            pad_token_id=pad,
            rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        ),
        "image_token_index": tokenizer.convert_tokens_to_ids("<image>"),
        "image_seq_length": cells,
    }
    edge = {"size": {"shortest_edge": RESOLUTION}, "crop_size": {"height": RESOLUTION, "width": RESOLUTION}}
    shared = {
        "tokenizer": tokenizer,
        "patch_size": PATCH,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
        "chat_template": LLAVA_TEMPLATE,
    }
    model: PreTrainedModel
    processor: ProcessorMixin
    if video:
        tilings = [[RESOLUTION, RESOLUTION]]
        model = LlavaNextVideoForConditionalGeneration(
            LlavaNextVideoConfig(
                **parts,
                video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
                video_seq_length=cells // 4,
                image_grid_pinpoints=tilings,
            )
        )
        processor = LlavaNextVideoProcessor(
            video_processor=LlavaNextVideoVideoProcessor(**edge),
            image_processor=LlavaNextImageProcessor(image_grid_pinpoints=tilings, **edge),
            **shared,
        )
    else:
        model = LlavaForConditionalGeneration(LlavaConfig(**parts))
        processor = LlavaProcessor(image_processor=CLIPImageProcessor(**edge), **shared)
    model.generation_config = _generation(end, pad, start)
    return model, processor


def _dinov2(name: str, corpus: Iterable[str]) -> tuple[PreTrainedModel, BaseImageProcessor]:
    """Build a DINOv2 image encoder; it reads no text."""
    model = Dinov2Model(
        Dinov2Config(
            hidden_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            image_size=RESOLUTION,
            patch_size=PATCH,
            initializer_range=INITIALIZER_RANGE,
        )
    )
    edge = {"size": {"shortest_edge": RESOLUTION}, "crop_size": {"height": RESOLUTION, "width": RESOLUTION}}
    return model, BitImageProcessor(**edge)


_GRID = {"patch_size": PATCH, "merge_size": 2, "temporal_patch_size": 2}


def _limits() -> dict[str, int]:
    """Smallest and largest image in pixels: one size only."""
    return {"shortest_edge": RESOLUTION**2, "longest_edge": RESOLUTION**2}


def _generation(end: int, pad: int, start: int | None = None) -> GenerationConfig:
    """Give a generation_config with the model's own tokens."""
    return GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=pad, bos_token_id=start)


_BUILDERS: dict[str, Callable[[str, Iterable[str]], tuple[PreTrainedModel, ProcessorMixin | BaseImageProcessor]]] = {
    **dict.fromkeys(QWEN25_SIZES, _qwen25),
    "llava-next-video-7b": _llava,
    "llava-1.5-7b": _llava,
    "qwen3-vl-8b": _qwen3,
    "dinov2": _dinov2,
}

NAMES = tuple(_BUILDERS)
"""Names that ``build`` knows."""

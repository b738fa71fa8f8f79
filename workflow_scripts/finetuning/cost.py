"""What a sample costs to train on, relative to others, before it is encoded: so that processes get even shares.

Multiplications of a forward pass through linear layers and attention, from the model's shapes and the sample's clip.
The backward pass and recomputation cost a multiple of it, nearly the same for every sample. The clip's frames and their
size are the store's; only the tokens of the text are estimated, from its length.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from workflow_scripts.settings.context import geometry, image_tokens, visual_tokens
from workflow_scripts.vlm.conversation import Turn
from workflow_scripts.vlm.load import VLM

BYTES_A_TOKEN = 4  # of English text, for vocabularies of the models' size
TURN_TOKENS = 5  # marks around what a speaker says


class CostModel:
    """Costs of samples under one model. `vlm` needs no weights."""

    def __init__(self, vlm: VLM) -> None:
        self.settings = vlm.settings
        text, vision = vlm.config.text_config, vlm.config.vision_config
        cut = geometry(vlm.settings)
        assert cut is not None
        self.patches_a_token = (cut.merge * (cut.pool or 1)) ** 2
        self.patches_an_image_token = cut.merge**2
        self.frames_together = cut.together
        self.text_layer = _layer(text), text.num_hidden_layers, text.hidden_size
        depth = getattr(vision, "depth", None) or vision.num_hidden_layers
        self.vision_layer = _layer(vision), depth, vision.hidden_size
        self.whole_frame_layers = len(getattr(vision, "fullatt_block_indexes", None) or range(depth))
        self.tokens = cache(lambda frames, pixels: visual_tokens(vlm.settings, frames, pixels, vlm.total_pixels) or 0)

    def __call__(self, turns: Sequence[Turn], frames: int, pixels: int) -> float:
        """Cost of a conversation on a clip of `frames` frames, each stored with `pixels` pixels; above 0."""
        seen = self.tokens(frames, pixels)
        return self._cost(turns, seen, seen * self.patches_a_token, max(1, -(-frames // self.frames_together)))

    def of_image(self, turns: Sequence[Turn], pixels: int) -> float:
        """Cost of a conversation on a picture of so many pixels; above 0."""
        seen = image_tokens(self.settings, pixels) or 0
        return self._cost(turns, seen, seen * self.patches_an_image_token, 1)

    def _cost(self, turns: Sequence[Turn], seen: int, patches: int, cells: int) -> float:
        """Cost of a conversation with `seen` visual tokens, of patches in so many cells that are attended to apart."""
        said = sum(len(turn.text.encode()) / BYTES_A_TOKEN + TURN_TOKENS for turn in turns)
        length = seen + said
        linear, layers, width = self.text_layer
        language = layers * length * (linear + width * length)  # half of the square is masked
        linear, layers, width = self.vision_layer
        in_frame = patches / cells
        vision = patches * (layers * linear + self.whole_frame_layers * 2 * width * in_frame)
        return float(language + vision)


def _layer(config: Any) -> int:
    """Weights of the linear layers of one transformer block."""
    heads = getattr(config, "num_attention_heads", None) or config.num_heads
    shared = getattr(config, "num_key_value_heads", None) or heads
    attention = 2 * config.hidden_size**2 * (1 + shared / heads)
    gated = 3 if config.hidden_act == "silu" else 2
    return int(attention + gated * config.hidden_size * config.intermediate_size)

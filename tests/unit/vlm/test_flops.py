"""Operations counted from layers and grids, against what torch really runs and against sums by hand."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from workflow_scripts.settings import ModelSettings, RecipeSettings
from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import collate, encode
from workflow_scripts.vlm.families import get_family
from workflow_scripts.vlm.flops import Flops, ModelFlops, Work
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.loss import token_loss
from workflow_scripts.vlm.trainable import prepare

from .conftest import DIALOGUE, MODELS, clip

ALL = {"vision_tower": 1e-4, "projector": 1e-4, "language_model": 1e-4}
LANGUAGE = {"vision_tower": 0, "projector": 0, "language_model": 1e-4}
RECIPES: dict[str, dict[str, Any]] = {
    "full": {"learning_rates": ALL},
    "projector": {"learning_rates": {**ALL, "vision_tower": 0, "language_model": 0}},
    "language model": {"learning_rates": LANGUAGE},
    "lora": {"method": "lora", "learning_rates": LANGUAGE, "lora": {"rank": 4, "dropout": 0}},
}
FRAMES = 6


def torch_runs(compute: Callable[[], object]) -> int:
    """Operations that torch runs, each attention as two whole matrix products."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())


def unused(vlm: VLM) -> int:
    """Operations of CLIP's last layer, which runs although the features are those of the layer before."""
    if not hasattr(vlm.config, "vision_feature_layer"):
        return 0
    vision = vlm.config.vision_config
    hidden = torch.zeros(FRAMES, (vision.image_size // vision.patch_size) ** 2 + 1, vision.hidden_size)
    layer = vlm.model.model.vision_tower.encoder.layers[-1]  # type: ignore[union-attr]
    return torch_runs(lambda: layer(hidden, None))


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(MODELS))
def test_counts_what_torch_runs_to_the_operation(family: str, settings_of: Callable[[str], ModelSettings]) -> None:
    vlm = load(settings_of(family))
    encoded = encode(vlm, Example(DIALOGUE, clip(FRAMES)), supervise=True)
    batch, work, behind = collate(vlm, [encoded]), vlm.family.work(vlm.config, encoded), unused(vlm)
    for name, changes in RECIPES.items():
        model: Any = prepare(vlm, RecipeSettings(name="r", **changes))[0].train()

        def runs(model: Any = model) -> int:
            return torch_runs(lambda: token_loss(model, batch, 1.0).backward()) - behind

        kept = ModelFlops(model)(work)
        once = runs()
        assert (kept.total + kept.masked, kept.recomputed) == (once, 0), name

        vlm.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        repeated = ModelFlops(model)(work)
        assert (repeated.total, repeated.masked) == (kept.total, kept.masked)
        # Attention is whole when it is repeated, too, and its forward pass is a third of it.
        assert repeated.recomputed + repeated.masked // 3 == runs() - once, name
        vlm.model.activation_checkpointing_disable()


class Attention(nn.Module):
    """Attention of width 4 over 6 features, in the family's names."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(6, 12), nn.Linear(4, 6)


def test_by_hand() -> None:
    model = nn.ModuleDict({"visual": Attention(), "lm_head": nn.Linear(6, 10)})
    work = Work(rows={"lm_head": 2, "visual": 5}, pairs={"visual": 15}, masked={"visual": 10})
    products = 5 * (6 * 12 + 4 * 6) + 2 * 6 * 10
    attention = 15 * 4 * 2
    assert ModelFlops(model)(work) == Flops(
        forward=2 * (products + attention),
        backward=4 * (products + attention) - 2 * 5 * 6 * 12,  # no gradient of the first layer's input
        masked=3 * 2 * 10 * 4 * 2,
    )
    for parameter in model["visual"].parameters():
        parameter.requires_grad_(False)
    # Nothing before the head moves: of the backward pass only the gradient of its weight is left.
    assert ModelFlops(model)(work) == Flops(2 * (products + attention), backward=2 * 2 * 6 * 10, masked=2 * 10 * 4 * 2)


def test_a_layer_that_nobody_speaks_for_is_named() -> None:
    with pytest.raises(ValueError, match=r"layer .*lm_head belongs to none of visual"):
        ModelFlops(nn.ModuleDict({"lm_head": nn.Linear(2, 2)}))(Work({"visual": 1}, {}))


def test_windows_at_the_edges_are_smaller() -> None:
    """Patches of 14, windows of 112 pixels: 8 patches a side; 20 x 12 patches are cut in 8+8+4 by 8+4."""
    vision = SimpleNamespace(spatial_merge_size=2, window_size=112, patch_size=14, depth=3, fullatt_block_indexes=[1])
    inputs = {
        "input_ids": torch.zeros(300, dtype=torch.long),
        "labels": torch.tensor([-100] * 290 + [1] * 10),
        "video_grid_thw": torch.tensor([[4, 20, 12]]),
    }
    work = get_family("qwen2.5-vl").work(SimpleNamespace(vision_config=vision), inputs)
    windows = 2 * 64**2 + 2 * 32**2 + 32**2 + 16**2
    assert work.pairs == {
        "visual.blocks.0": 4 * windows,
        "visual.blocks.1": 4 * 240**2,
        "visual.blocks.2": 4 * windows,
        "language_model": 300 * 301 // 2,
    }
    assert work.rows == {"visual.merger": 240, "visual": 960, "lm_head": 10, "language_model": 300}
    assert work.masked == {"language_model": 300 * 299 // 2}

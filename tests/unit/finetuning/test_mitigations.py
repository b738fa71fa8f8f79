"""Runs with image conversations beside the videos: replayed, or held against their gradient."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from workflow_scripts.finetuning.batching import StepSampler
from workflow_scripts.finetuning.spec import check_unchanged, read_spec
from workflow_scripts.finetuning.trainer import VideoTrainer
from workflow_scripts.settings import InputError, RecipeSettings
from workflow_scripts.vlm.loss import token_loss

REPLAY = {"replay": 0.4}
PROJECTION = {"gradient_projection": 3}
LORA = {
    "method": "lora",
    "learning_rates": {"vision_tower": 0, "projector": 0, "language_model": 1e-2},
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.1, "targets": ["q_proj", "v_proj"]},
}


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def summary(run: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return result


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


# ---- what goes into a step


def steps(videos: int, images: int, **more: Any) -> list[list[int]]:
    return list(StepSampler([1.0] * videos, batch_size=8, epochs=1, seed=3, image_costs=[0.5] * images, **more))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_replay_adds_its_share_and_leaves_the_videos_as_they_are(share: float) -> None:
    plain, mixed = steps(100, 0), steps(100, 30, replay=share)
    assert [[n for n in step if n < 100] for step in mixed] == plain
    taken = np.cumsum([sum(n >= 100 for n in step) for step in mixed])
    seen = np.cumsum([len(step) for step in plain])
    assert np.abs(taken / (taken + seen) - share).max() < 0.5 / 8
    assert taken[-1] == round(100 * share / (1 - share))


def test_every_image_comes_once_before_any_comes_again() -> None:
    drawn = [n for step in steps(100, 30, replay=0.5) for n in step if n >= 100]
    for start in (0, 30, 60):
        assert sorted(drawn[start : start + 30]) == list(range(100, 130))
    assert drawn[:30] != drawn[30:60]
    assert sorted(drawn[90:]) == sorted(set(drawn[90:]))


@pytest.mark.parametrize("more", [{"replay": 0.4}, {"reference": 3}, {"reference": 1}])
def test_processes_share_out_what_one_would_compute(more: dict[str, Any]) -> None:
    """Of a reference, each process has a part of its own, or a stand-in: all must meet in both backward passes."""
    alone = steps(20, 9, **more)
    parts = [steps(20, 9, rank=rank, processes=2, **more) for rank in range(2)]
    for whole, *shares in zip(alone, *parts, strict=True):
        real = [n for share in shares for n in share if n >= 0]
        assert sorted(real) == sorted(whole)
        for share in shares:
            assert any((~n if n < 0 else n) < 20 for n in share) or "replay" in more
            assert any((~n if n < 0 else n) >= 20 for n in share) or "replay" in more


# ---- what a run does


def test_a_run_with_replay(world: Any, run_train: Callable[..., Path]) -> None:
    plain, mixed = run_train("plain"), run_train("mixed", **REPLAY)
    for before, after in zip(lines(plain), lines(mixed), strict=True):
        assert after["sample_ids"] == before["sample_ids"]
        assert after["budgets"] == before["budgets"]
        assert after["tokens"] == before["tokens"] + after["image_tokens"]
        assert "image_ids" not in before
    ids = [image for line in lines(mixed) for image in line["image_ids"]]
    assert sorted(ids[:7]) == sorted(set(ids[:7])) == [f"still/{number}" for number in range(7)]
    tokens = sum(line["image_tokens"] for line in lines(mixed))
    assert summary(mixed)["images"] == {"samples": 14, "distinct": 7, "tokens": tokens}  # 21 x 0.4 / 0.6
    assert summary(mixed)["samples"] == summary(plain)["samples"] == 21
    assert any(not torch.equal(a, b) for a, b in zip(weights(plain).values(), weights(mixed).values(), strict=True))
    assert "images" not in summary(plain)


def test_a_run_with_projection_takes_out_what_conflicts(
    world: Any, run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each step: the gradient that is left against gradients taken apart, from the model as it was then.

    In every other step the images' loss counts with the other sign, so that some gradients conflict and some do not.
    """
    sign = {"images": 1.0}

    def turned(model: Any, batch: dict[str, torch.Tensor], tokens: Any) -> torch.Tensor:
        return token_loss(model, batch, tokens) * (sign["images"] if "pixel_values" in batch else 1.0)

    monkeypatch.setattr("workflow_scripts.finetuning.trainer.token_loss", turned)
    seen: list[tuple[float, float, bool, float]] = []
    step = VideoTrainer.training_step

    def flat(model: Any) -> torch.Tensor:
        return torch.cat([p.grad.flatten().double() for p in model.parameters() if p.grad is not None])

    def watched(self: VideoTrainer, model: Any, inputs: Any, items: Any = None) -> torch.Tensor:
        gradients = []
        sign["images"] = -1.0 if self.state.global_step % 2 else 1.0
        for batches in (inputs.reference, inputs.micro_batches):
            tokens = sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)
            for batch in batches:
                self.compute_loss(model, batch, num_items_in_batch=torch.tensor(float(tokens))).backward()
            gradients.append(flat(model))
            model.zero_grad()
        loss = step(self, model, inputs, items)
        image, video = gradients
        inner = float(image @ video)
        left = flat(model)
        expected = video if inner >= 0 else video - inner / float(image @ image) * image
        error = float((left - expected).norm() / expected.norm())
        seen.append((inner, float(left @ image) / float(left.norm() * image.norm()), self.line["projected"], error))
        return loss

    monkeypatch.setattr(VideoTrainer, "training_step", watched)
    run = run_train("run", micro_batch_size=2, **PROJECTION)
    log, total = lines(run), summary(run)
    assert len(seen) == len(log) == 6
    for line, (inner, after, projected, error) in zip(log, seen, strict=True):
        assert error < 1e-4
        assert line["inner_product"] == pytest.approx(inner, rel=1e-3, abs=1e-7)
        assert line["projected"] == projected == (inner < 0)
        assert after > -1e-4
        assert len(line["image_ids"]) == 3
    conflicts = [after for inner, after, _, _ in seen if inner < 0]
    assert 0 < len(conflicts) < 6
    assert all(abs(after) < 1e-4 for after in conflicts)
    assert total["projection"]["projected_steps"] == len(conflicts)
    # 21 samples of 1 to 3 answers; of the images' answers none is learned from
    assert total["supervised_tokens"] == sum(line["supervised_tokens"] for line in log)
    assert total["images"]["samples"] == 18


@pytest.mark.parametrize("recipe", [REPLAY, {**PROJECTION, **LORA}], ids=["replay", "projection, lora"])
def test_a_killed_run_goes_on_to_the_same_weights(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any]
) -> None:
    whole = run_train("whole", **recipe)
    write = VideoTrainer.log

    def die_at_step_4(self: VideoTrainer, logs: dict[str, float], start_time: float | None = None) -> None:
        write(self, logs, start_time)
        if self.state.global_step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(VideoTrainer, "log", die_at_step_4)
        with pytest.raises(KeyboardInterrupt):
            run_train("killed", "--save-minutes", "0", **recipe)
    resumed = run_train("killed", **recipe)
    expected, found = weights(whole), weights(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    for before, after in zip(lines(whole), lines(resumed), strict=True):
        assert {**before, "seconds": None} == {**after, "seconds": None}


# ---- what is refused


def test_images_that_changed_or_are_not_asked_for_are_refused(world: Any, tmp_path: Path) -> None:
    spec = read_spec(world.spec(tmp_path / "replay", **REPLAY))
    check_unchanged(spec, [world.store])
    assert spec.images is not None
    assert "images" not in (world.spec(tmp_path / "plain")).read_text()
    kept = world.images.read_bytes()
    try:
        world.images.write_bytes(world.budgets.read_bytes())
        with pytest.raises(InputError, match=r"images.parquet changed since spec.yaml was written"):
            check_unchanged(spec, [world.store])
    finally:
        world.images.write_bytes(kept)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"gradient_projection": 8}, "deepspeed zero3; expected deepspeed: null"),
        ({"gradient_projection": 8, "replay": 0.1, "deepspeed": None}, "and replay 0.1; expected one of them"),
        ({"interpolation": 0.5}, "and like null"),
        ({"replay": 1.0}, "less than 1"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        RecipeSettings(name="r", **changes)


def test_a_recipe_without_mitigations_reads_as_ever() -> None:
    held: Sequence[str] = list(RecipeSettings(name="r").model_dump())
    assert not {"replay", "gradient_projection", "interpolation"} & set(held)
    assert RecipeSettings(name="r", replay=0.5).model_dump()["replay"] == 0.5

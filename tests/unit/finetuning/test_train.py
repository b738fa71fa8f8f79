"""The rule `train`, on one process."""

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from workflow_scripts.finetuning import checkpoints, finished, train
from workflow_scripts.finetuning.lease import held
from workflow_scripts.finetuning.run_log import utilization
from workflow_scripts.finetuning.trainer import VideoTrainer
from workflow_scripts.settings import InputError

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


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_full_run(world: Any, run_train: Callable[..., Path]) -> None:
    run = run_train(epochs=3, snapshots=[50])
    log, total = lines(run), summary(run)

    assert [line["step"] for line in log] == list(range(1, 19))
    assert total["loss"]["mean_of_last_tenth"] < 0.7 * total["loss"]["first"]
    assert total["steps"] == 18
    assert total["samples"] == 3 * world.samples
    seen = [sample for line in log[:6] for sample in line["sample_ids"]]
    assert sorted(seen) == [f"plain/{number:02d}" for number in range(21)]
    assert world.quarantined_sample not in seen
    assert total["left_out"] == {"plain/broken.mkv": 1}
    assert total["samples_by_budget_and_frames"] == [
        {"budget": 2, "frames": 2, "samples": 21},
        {"budget": 4, "frames": 4, "samples": 21},
        {"budget": 64, "frames": 16, "samples": 21},
    ]
    assert total["frames"] == 3 * 7 * (2 + 4 + 16)
    assert total["visual_tokens"] == total["frames"] * 8  # 16 tokens a frame pair
    assert total["flops"] == total["hardware_flops"] == sum(line["flops"] for line in log)
    # At the least 2 operations forward and 4 backward for each weight and supervised token.
    assert total["flops"] > 6 * sum(total["trainable_parameters"].values()) * total["supervised_tokens"]
    assert (total["device"], total["mfu"]) == (None, None)  # no GPU is known here
    assert total["peak_memory_bytes"] > 0

    assert log[5]["rates"]["projector"] == pytest.approx(10 * log[5]["rates"]["vision_tower"])
    base = weights(Path(world.model["source"]))
    tuned = weights(run / "model")
    assert base.keys() == tuned.keys()
    assert total["trainable_parameters"] == {
        "vision_tower": sum(v.numel() for k, v in base.items() if ".visual." in f".{k}" and "merger" not in k),
        "projector": sum(v.numel() for k, v in base.items() if "merger" in k),
        "language_model": sum(v.numel() for k, v in base.items() if "visual" not in k),
    }

    model = AutoModelForImageTextToText.from_pretrained(run / "model")
    assert torch.equal(model.lm_head.weight, tuned["lm_head.weight"])
    assert AutoProcessor.from_pretrained(run / "model").tokenizer.eos_token == "<|im_end|>"
    assert weights(run / "snapshots" / "50").keys() == base.keys()
    assert not list((run.parent / "checkpoints").glob("*/checkpoint-*"))


def test_utilization_is_of_all_gpus_and_all_time() -> None:
    whole = {"flops": 989.4e12 * 10, "seconds": {"data": 2.0, "compute": 17.0, "other": 1.0}}
    assert utilization(whole, 2, 989.4e12) == pytest.approx(0.25)
    assert utilization(whole, 2, None) is None
    assert utilization(whole, 0, 989.4e12) is None


@pytest.mark.parametrize("frozen", ["vision_tower", "projector", "language_model"])
def test_rate_zero_freezes_bit_for_bit(world: Any, run_train: Callable[..., Path], frozen: str) -> None:
    rates = {"vision_tower": 1e-3, "projector": 1e-3, "language_model": 1e-3, frozen: 0}
    run = run_train(learning_rates=rates, epochs=0.5)
    base, tuned = weights(Path(world.model["source"])), weights(run / "model")

    def part(name: str) -> str:
        return "projector" if "merger" in name else "vision_tower" if "visual" in name else "language_model"

    for name in base:
        assert torch.equal(base[name], tuned[name]) == (part(name) == frozen), name
    assert set(lines(run)[0]["rates"]) == set(rates) - {frozen}
    trainable = summary(run)["trainable_parameters"]
    for each in rates:
        assert trainable[each] == (each != frozen) * sum(v.numel() for name, v in base.items() if part(name) == each)


def test_lora_keeps_the_adapter_and_merges_it(world: Any, run_train: Callable[..., Path]) -> None:
    run = run_train(**LORA)
    base, tuned = weights(Path(world.model["source"])), weights(run / "model")
    moved = {name for name in base if not torch.equal(base[name], tuned[name])}
    assert moved
    assert all(name.endswith(("q_proj.weight", "v_proj.weight")) and "visual" not in name for name in moved)
    adapter = load_file(run / "adapter" / "adapter_model.safetensors")
    assert sum(value.numel() for value in adapter.values()) == summary(run)["trainable_parameters"]["language_model"]
    assert not list((run / "adapter").glob("*.bin"))

    name = sorted(moved)[0]
    down, up = (next(v for k, v in adapter.items() if f"lora_{side}" in k and _layer(name) in k) for side in "AB")
    torch.testing.assert_close(tuned[name], base[name] + 8 / 4 * up @ down)


def _layer(name: str) -> str:
    return ".".join(name.split(".")[-5:-1])


def test_a_rate_that_moves_nothing_is_refused(run_train: Callable[..., Path]) -> None:
    rates = {"vision_tower": 0, "projector": 1e-3, "language_model": 1e-3}
    with pytest.raises(InputError, match=r"learning_rates.projector is 0.001, but no linear layer"):
        run_train(**{**LORA, "learning_rates": rates})


@pytest.mark.parametrize("recipe", [{}, LORA], ids=["full", "lora"])
def test_a_killed_run_goes_on_to_the_same_weights(
    world: Any, run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any]
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

    assert (resumed / "spec.yaml").read_bytes() == (whole / "spec.yaml").read_bytes()
    expected, found = weights(whole / "model"), weights(resumed / "model")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    for before, after in zip(lines(whole), lines(resumed), strict=True):
        assert {**before, "seconds": None} == {**after, "seconds": None}


def test_a_run_told_to_stop_saves_and_says_so(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = VideoTrainer.training_step

    def signalled(self: VideoTrainer, *arguments: Any) -> torch.Tensor:
        if self.state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *arguments)

    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        patched.setattr(VideoTrainer, "training_step", signalled)
        with pytest.raises(SystemExit) as stopped:
            run_train()
    assert stopped.value.code == 75
    assert "stopped: SIGTERM at step 3 of 6; the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == handler
    assert len(lines(run_train())) == 6


def test_a_loss_that_is_no_number_stops_the_run(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_number(model: Any, batch: dict[str, torch.Tensor], tokens: Any) -> torch.Tensor:
        return next(model.parameters()).sum() * float("nan")

    monkeypatch.setattr("workflow_scripts.finetuning.trainer.token_loss", no_number)
    with pytest.raises(SystemExit) as stopped:
        run_train()
    assert stopped.value.code == 1
    message = capsys.readouterr().err
    assert "loss is nan" in message
    assert message.count("plain/") == 4


@pytest.mark.parametrize(
    ("error", "named", "advised"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            "out of memory on the GPU",
            "lower recipes.small.micro_batch_",
        ),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            "the job's memory is used up",
            "--set-resources train:mem_mb=<MB>",
        ),
    ],
    ids=["GPU", "machine"],
)
def test_out_of_memory_is_named_with_what_to_change(
    run_train: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: RuntimeError,
    named: str,
    advised: str,
) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr(VideoTrainer, "training_step", full)
    with pytest.raises(SystemExit) as stopped:
        run_train()
    assert stopped.value.code == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: ")
    assert named in message
    assert advised in message


def test_a_second_writer_is_turned_away(world: Any, run_train: Callable[..., Path], tmp_path: Path) -> None:
    folder = checkpoints.run_folder(tmp_path / "checkpoints", world.spec(tmp_path / "run"))
    with (
        held(folder),
        pytest.raises(InputError, match=rf"process {os.getpid()} on .* is training this run"),
    ):
        run_train("run")


def test_a_run_that_is_finished_is_not_trained_again(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake deletes the declared outputs before a job, and may start one that a job left over just finished."""
    run = run_train()
    whole = {name: (run / name).read_bytes() for name in finished.DECLARED}
    for name in finished.DECLARED:
        (run / name).unlink()
    with monkeypatch.context() as patched:
        patched.setattr(VideoTrainer, "training_step", None)
        run_train()
    assert {name: (run / name).read_bytes() for name in finished.DECLARED} == whole

    (run / "model" / "model.safetensors").unlink()
    assert (run_train() / "model" / "model.safetensors").is_file()


def test_a_full_disk_stops_the_run_and_keeps_what_was_whole(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    save = VideoTrainer.save_model

    def full(self: VideoTrainer, folder: str | None = None, **rest: Any) -> None:
        save(self, folder, **rest)
        if self.state.global_step == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(VideoTrainer, "save_model", full)
        with pytest.raises(SystemExit) as stopped:
            run_train("run", "--save-minutes", "0")
    assert stopped.value.code == 1
    message = capsys.readouterr().err
    assert "no room on its disk for the checkpoint of step 3" in message
    assert "the checkpoint of step 2 is whole" in message
    assert not list(tmp_path.glob("checkpoints/*/.partial"))
    assert [line["step"] for line in lines(run_train("run"))] == [1, 2, 3, 4, 5, 6]


def test_a_specification_of_other_data_is_refused(world: Any, tmp_path: Path) -> None:
    copy = tmp_path / "manifest.parquet"
    copy.write_bytes(world.manifest.read_bytes())
    spec = type(world)(**{**world.__dict__, "manifest": copy}).spec(tmp_path)
    copy.write_bytes(world.budgets.read_bytes())
    with pytest.raises(InputError, match=r"changed since spec.yaml was written"):
        train.main(world.arguments(spec, tmp_path / "checkpoints", tmp_path))

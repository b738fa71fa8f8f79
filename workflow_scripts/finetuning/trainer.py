"""transformers' Trainer over whole optimizer steps.

The Trainer asks its data loader for one item an optimizer step (`batching.Step`), so its own gradient accumulation
stays at 1 and a step may hold any number of micro-batches; they are run one after the other in `training_step`.
"""

import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType, gather_object
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

from workflow_scripts.finetuning import checkpoints
from workflow_scripts.finetuning.batching import Step, StepCollator, StepSampler, supervised
from workflow_scripts.finetuning.cost import CostModel
from workflow_scripts.finetuning.images import Samples
from workflow_scripts.finetuning.lease import Lease
from workflow_scripts.finetuning.parameters import optimizer_groups
from workflow_scripts.finetuning.projection import Alignment, take_out
from workflow_scripts.finetuning.run_log import RunLog
from workflow_scripts.finetuning.spec import RunSpec
from workflow_scripts.finetuning.stopping import STOP_SIGNALS
from workflow_scripts.vlm.flops import Flops, ModelFlops
from workflow_scripts.vlm.loss import token_loss


class NonFiniteError(Exception):
    """Loss or gradient is not a finite number; the message names the step and its samples."""


class VideoTrainer(Trainer):
    """Trains `model` on `dataset` as `spec` says and writes a line a step to `log`.

    `model` was loaded for the recipe's attention. `part_of`: the part of each of its parameters, by name. `lease`: the
    first process's right to write.
    """

    loss_is_scaled_for_ga = True  # compute_loss divides by the tokens of the whole step

    def __init__(
        self,
        spec: RunSpec,
        model: nn.Module,
        part_of: Mapping[str, str],
        dataset: Samples,
        log: RunLog,
        arguments: TrainingArguments,
        callbacks: Sequence[TrainerCallback] = (),
        lease: Lease | None = None,
    ) -> None:
        super().__init__(model=model, args=arguments, train_dataset=dataset, callbacks=list(callbacks))
        self.spec = spec
        self.part_of = part_of
        self.run_log = log
        self.lease = lease
        self.flops = ModelFlops(model)
        self.saving = False
        self.seconds = {"data": 0.0, "compute": 0.0}
        self.line: dict[str, Any] = {}
        self.line_began = self.backward_ended = time.perf_counter()

    def get_train_dataloader(self) -> DataLoader[Any]:
        dataset = self.train_dataset
        assert isinstance(dataset, Samples)
        videos, images = dataset.costs(CostModel(dataset.vlm))
        sampler = StepSampler(
            videos,
            batch_size=self.spec.recipe.batch_size,
            epochs=self.spec.recipe.epochs,
            seed=self.spec.seed,
            rank=self.args.process_index,
            processes=self.args.world_size,
            image_costs=images,
            replay=self.spec.recipe.replay,
            reference=self.spec.recipe.gradient_projection,
        )
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=StepCollator(dataset.vlm, self.spec.recipe),
            num_workers=self.args.dataloader_num_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # else each start draws from the generator that dropout uses
        )

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if getattr(self, "optimizer", None) is None:
            trained = self.model if model is None else model
            kind, settings = self.get_optimizer_cls_and_kwargs(self.args, trained)
            decayed = frozenset(self.get_decay_parameter_names(trained))
            self.optimizer = kind(optimizer_groups(trained, self.part_of, self.spec.recipe, decayed), **settings)
        return self.optimizer

    def get_batch_samples(
        self, epoch_iterator: Iterator[Step], num_batches: int, device: torch.device
    ) -> tuple[list[Step], torch.Tensor]:
        """The next step, and the number of supervised tokens in it over all processes.

        DeepSpeed's processes meet in every forward and backward pass, so each gets as many micro-batches as the one
        with the most.
        """
        began = time.perf_counter()
        step = next(epoch_iterator)
        self.seconds["data"] = time.perf_counter() - began
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED and self.args.world_size > 1:
            step = step.padded(max(gather_object([len(step.micro_batches)])))
        flops = sum((self.flops(sample.work) for sample in step.samples if sample.work), Flops())
        videos = [sample for sample in step.samples if not sample.image]
        mine: dict[str, Any] = {
            "sample_ids": [sample.sample_id for sample in videos],
            "budgets": [sample.budget for sample in videos],
            "frames": [sample.frames for sample in videos],
            "tokens": sum(sample.tokens for sample in step.samples),
            "padding": step.computed_tokens - sum(sample.tokens for sample in step.samples),
            "supervised_tokens": step.supervised_tokens,
            "visual_tokens": sum(sample.visual_tokens for sample in step.samples),
            "micro_batches": len(step.micro_batches),
            "padding_micro_batches": step.padding,
            "flops": flops.total,
            "hardware_flops": flops.hardware,
        }
        if self.spec.recipe.needs_images:
            images = [sample for sample in step.samples if sample.image]
            mine |= {
                "image_ids": [sample.sample_id for sample in images],
                "image_tokens": sum(sample.tokens for sample in images),
                "reference_tokens": supervised(step.reference),
            }
        shares = gather_object([mine]) if self.args.world_size > 1 else [mine]
        # concatenates the lists and adds the numbers
        self.line = {name: sum((share[name] for share in shares[1:]), shares[0][name]) for name in mine}
        return [step], torch.tensor(float(self.line["supervised_tokens"]), device=device)

    def training_step(
        self, model: nn.Module, inputs: Any, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Forward and backward over the micro-batches of a step (`inputs`, a Step); returns its loss, a scalar.

        Leaves the step's gradient, averaged over processes, and projected where the recipe says so.
        """
        began = time.perf_counter()
        reference, held = self._reference_gradient(model, inputs)
        loss = self._backward(model, inputs.micro_batches, num_items_in_batch)
        value = self._mean(loss)
        self._require_finite(loss=value)
        self.line |= {
            "loss": value,
            "rates": {group["part"]: group["lr"] for group in self.optimizer.param_groups},
        }
        if held is not None:
            found = self._project(model, held)
            self._require_finite(reference_loss=reference, inner_product_with_images=found.inner)
            self.line |= {
                "reference_loss": reference,
                "inner_product": found.inner,
                "cosine": found.cosine,
                "projected": found.projected,
            }
        self.backward_ended = time.perf_counter()
        self.seconds["compute"] = self.backward_ended - began
        return loss

    def _backward(
        self, model: nn.Module, batches: Sequence[dict[str, Any]], tokens: torch.Tensor | int | None
    ) -> torch.Tensor:
        """Add up the gradient of the mean loss over `tokens` in `batches`, over all processes; returns the loss."""
        loss = torch.zeros((), device=self.args.device)
        for number, batch in enumerate(batches, start=1):
            last = number == len(batches)
            self.accelerator.gradient_state._set_sync_gradients(last)
            local = not last and self.accelerator.distributed_type != DistributedType.DEEPSPEED
            with self.accelerator.no_sync(model) if local else nullcontext():
                loss += super().training_step(model, batch, tokens)
        return loss

    def _mean(self, value: torch.Tensor) -> float:
        """Over processes."""
        mean: float = self.accelerator.gather(value.reshape(1)).mean().item()
        return mean

    def _reference_gradient(
        self, model: nn.Module, step: Step
    ) -> tuple[float, list[torch.Tensor | None]] | tuple[float, None]:
        """Loss and gradient of the step's reference, and no gradient left behind; None without a reference."""
        if not step.reference:
            return 0.0, None
        tokens = torch.tensor(float(self.line["reference_tokens"]), device=self.args.device)
        loss = self._mean(self._backward(model, step.reference, tokens))
        held = [parameter.grad for parameter in self._trained(model)]
        model.zero_grad(set_to_none=True)
        return loss, held

    def _project(self, model: nn.Module, reference: Sequence[torch.Tensor | None]) -> Alignment:
        """Take what conflicts with the reference out of the gradient. All processes go by the same products."""
        for parameter, held in zip(self._trained(model), reference, strict=True):
            if parameter.grad is None and held is not None:
                parameter.grad = torch.zeros_like(held)
        gradients = [parameter.grad for parameter in self._trained(model)]
        return take_out(gradients, reference, lambda sums: self.accelerator.reduce(sums, "mean"))

    @staticmethod
    def _trained(model: nn.Module) -> list[nn.Parameter]:
        return [parameter for parameter in model.parameters() if parameter.requires_grad]

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        assert num_items_in_batch is not None
        # gradients are averaged over processes, and the step's mean runs over all processes' tokens
        return token_loss(model, inputs, num_items_in_batch) * self.accelerator.num_processes

    def floating_point_ops(self, inputs: Any) -> int:
        """Not here: transformers' estimate leaves out the vision tower. A step's line has its `flops`."""
        return 0

    def note_optimizer_step(self) -> None:
        """Count the time since the backward pass (clipping, optimizer) as compute."""
        self.seconds["compute"] += time.perf_counter() - self.backward_ended

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write the step's line; the Trainer calls this after every step, and once more at the end."""
        if "grad_norm" not in logs:
            return
        self._require_finite(grad_norm=logs["grad_norm"])
        now = time.perf_counter()
        other = now - self.line_began - sum(self.seconds.values())
        self.check_lease()
        if self.is_world_process_zero():
            self.run_log.append(
                {
                    "step": self.state.global_step,
                    "loss": self.line["loss"],
                    "grad_norm": logs["grad_norm"],
                    "rates": self.line["rates"],
                    **{name: value for name, value in self.line.items() if name not in ("loss", "rates")},
                    "seconds": {name: round(value, 4) for name, value in {**self.seconds, "other": other}.items()},
                }
            )
        self.line_began = now

    def _require_finite(self, **values: float) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise NonFiniteError(
                    f"step {self.state.global_step}: {name} is {value}; the step's samples are "
                    f"{', '.join(self.line['sample_ids'])}"
                )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load weights, all of them or none.

        The Trainer reads the file's names as they are, but `save_pretrained` writes the hub's older names, which differ
        for the Qwen and LLaVA classes; it then warns of missing keys and goes on from the base's weights.
        """
        target = self.model if model is None else model
        if hasattr(target, "peft_config"):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(target).from_pretrained(resume_from_checkpoint, dtype=target.dtype, use_safetensors=True)
        target.load_state_dict(saved.state_dict(), strict=True)

    def _get_output_dir(self, trial: Any) -> str:
        folder = Path(self.args.output_dir)
        return str(checkpoints.staging(folder) if self.saving else folder)

    def check_lease(self) -> None:
        """End the process if another writer took over."""
        if self.lease is not None:
            self.lease.check()

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = Path(self.args.output_dir)
        self.check_lease()
        self.saving = True
        with checkpoints.room_on_disk(folder, wanted=f"the checkpoint of step {self.state.global_step}"):
            super()._save_checkpoint(model, trial)
        self.saving = False
        self.accelerator.wait_for_everyone()
        self.check_lease()
        if self.args.should_save:
            checkpoints.commit(folder, self.state.global_step)
        self.accelerator.wait_for_everyone()


def _start_worker(number: int) -> None:
    """A loader process leaves stopping to the main process, which a signal to the whole group would otherwise lose."""
    for stop in STOP_SIGNALS:
        signal.signal(stop, signal.SIG_IGN)
    torch.set_num_threads(1)

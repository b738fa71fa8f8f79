"""What jobs ask of the machine."""

from pydantic import Field

from .section import Section


class ThreadsSettings(Section):
    """CPU threads of one job, by stage."""

    miniature: int = Field(1, ge=1, description="Making the miniature world.")
    curation: int = Field(16, ge=1, description="Probing videos.")
    frames: int = Field(8, ge=1, description="Decoding videos.")
    budgets: int = Field(8, ge=1, description="Predicting budgets.")
    finetuning: int = Field(8, ge=1, description="Training, for each GPU.")
    evaluation: int = Field(8, ge=1, description="Evaluating.")


class ComputeSettings(Section):
    """Hardware."""

    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Device of the models: auto, cuda or cpu."
    )
    gpu_memory_gb: float | None = Field(
        80.0,
        gt=0,
        description="Memory of one GPU in GB; with a model's size it gives the GPUs a job asks for. null: no GPUs.",
    )
    gpus_per_node: int = Field(
        8, ge=1, description="GPUs of one machine; a training run that needs more takes several, started by srun."
    )
    checkpoint_minutes: float = Field(
        30.0, ge=0, description="Minutes from the end of one checkpoint of a training run to the next checkpoint."
    )
    threads: ThreadsSettings = Field(ThreadsSettings(), description="CPU threads of one job, by stage.")

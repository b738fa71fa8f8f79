"""What a training run reads, what it asks for, and how it starts."""

# SLURM sends the signal of `sbatch --signal` to all processes of a job. Snakemake, which it would end, leaves it to the
# training, which saves; a handler, unlike ignoring it, is not inherited.
signal.signal(signal.SIGUSR1, lambda *_: None)


def image_files(wildcards):
    """Table and store of the image conversations that a recipe needs; none for others."""
    needed = STUDY.recipes[wildcards.recipe].needs_images
    return [f"<results>/curation/images.{kind}" for kind in ("parquet", "arrow")] if needed else []


def run_towards(wildcards):
    """Folder of the run on whose way an interpolation lies."""
    like = STUDY.recipes[wildcards.recipe].like
    run = plan.Run(like, wildcards.model, wildcards.allocation, int(wildcards.seed))
    return f"<results>/finetuning/{run.path}"


def training_gpus(wildcards):
    """GPUs of a training run."""
    return demand.gpus(STUDY, base_model(wildcards), STUDY.recipes[wildcards.recipe])


def training_minutes(wildcards):
    """Time limit of a training run."""
    recipe = STUDY.recipes[wildcards.recipe]
    return demand.training(STUDY, base_model(wildcards), recipe, wildcards.allocation).minutes


def training_memory_mb(wildcards):
    """Memory of each machine of a training run."""
    _, most = demand.frames(STUDY, wildcards.allocation)
    return demand.host_mb(STUDY, base_model(wildcards), STUDY.recipes[wildcards.recipe], most)


def training_nodes(wildcards):
    """Machines of a training run."""
    return demand.nodes(STUDY, base_model(wildcards), STUDY.recipes[wildcards.recipe])


def several_nodes(value):
    """A resource that only a training run on several machines has; `value` may be a function of its wildcards."""
    return lambda wildcards: (
        None if training_nodes(wildcards) == 1 else value(wildcards) if callable(value) else value
    )


def checkpoint_minutes(wildcards, resources):
    """Minutes between checkpoints. A function of resources is no reason to train again: Snakemake does not record it."""
    return STUDY.compute.checkpoint_minutes


def launcher(wildcards, resources):
    """How a training run starts: python, or one process a GPU through torchrun's module, by srun on several machines.

    DeepSpeed takes even a single process's place among the others from torchrun's variables. The shell runs on the
    first machine, where the processes meet, at a port that follows from the job's number. torchrun passes signals on
    and gives the processes an hour to save before it kills them.
    """
    count, nodes = training_gpus(wildcards), training_nodes(wildcards)
    torchrun = (
        f"python -m torch.distributed.run --nproc-per-node {max(count // nodes, 1)} --shutdown-timeout 3600"
        " --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    )
    if nodes > 1:
        return (
            f"srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1"
            f" --cpus-per-task={training_threads(wildcards)} --gpus-per-node={count // nodes} --kill-on-bad-exit=1"
            f" {torchrun} --nnodes {nodes} --rdzv-backend c10d --rdzv-id $SLURM_JOB_ID"
            " --rdzv-endpoint $(hostname):$((20000 + SLURM_JOB_ID % 10000))"
        )
    if count > 1 or STUDY.recipes[wildcards.recipe].deepspeed is not None:
        return f"{torchrun} --standalone"
    return "python"


def training_threads(wildcards):
    """CPU threads of a training run on each of its machines."""
    return STUDY.compute.threads.finetuning * max(training_gpus(wildcards) // training_nodes(wildcards), 1)

"""Stage finetuning: one run is one recipe, model, allocation and seed, described by its spec.yaml alone."""

RUN_NAME = "{recipe}/{model}/{allocation}/seed-{seed}"
RUN = f"<results>/finetuning/{RUN_NAME}"
TRAINED = any_of(name for name, recipe in STUDY.recipes.items() if recipe.interpolation is None)
INTERPOLATED = any_of(name for name, recipe in STUDY.recipes.items() if recipe.interpolation is not None)


rule spec:
    input:
        images=image_files,
        manifest="<results>/curation/manifest.parquet",
        budgets="<results>/budgets/{allocation}.parquet",
        store=shards(),
    output:
        f"{RUN}/spec.yaml",
    log:
        f"<logs>/finetuning/{RUN_NAME}/spec.log",
    benchmark:
        f"<benchmarks>/finetuning/{RUN_NAME}/spec.jsonl"
    wildcard_constraints:
        recipe=TRAINED,
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        code=code("finetuning.spec"),
        weights=base_content,
        study=STUDY.study,
        images=lambda wildcards, input: ["--images", input.images[0]] if input.images else [],
        recipe=lambda wildcards: to_json(STUDY.recipes[wildcards.recipe]),
        model=lambda wildcards: to_json(STUDY.models[wildcards.model]),
    message:
        "describing the run {wildcards.recipe}/{wildcards.model}/{wildcards.allocation}/seed-{wildcards.seed}"
    shell:
        "python -m workflow_scripts.finetuning.spec --study {params.study} --recipe {params.recipe:q}"
        " --model {params.model:q} --allocation {wildcards.allocation} --seed {wildcards.seed}"
        " --manifest {input.manifest:q} --budgets {input.budgets:q} --store {input.store:q} {params.images:q}"
        " --output {output:q} > {log:q} 2>&1"


# Of the model only config.json is declared, as the folder is put in place whole. Checkpoints are not declared:
# Snakemake deletes declared outputs before a job and after a failed one; the next attempt is to resume from them.
rule train:
    input:
        images=image_files,
        spec=f"{RUN}/spec.yaml",
        store=shards(),
    output:
        model=f"{RUN}/model/config.json",
        log=f"{RUN}/log.jsonl",
        summary=f"{RUN}/summary.json",
    log:
        f"<logs>/finetuning/{RUN_NAME}/train.log",
    benchmark:
        f"<benchmarks>/finetuning/{RUN_NAME}/train.jsonl"
    wildcard_constraints:
        recipe=TRAINED,
    threads: training_threads
    resources:
        mem_mb=training_memory_mb,
        runtime=training_minutes,
        gpu=training_gpus,
        # On several machines the rule calls srun itself, one task a machine; the SLURM plugin reads these.
        mpi=several_nodes("srun"),
        nodes=several_nodes(training_nodes),
        tasks=several_nodes(training_nodes),
        tasks_per_gpu=several_nodes(0),
    params:
        code=code("finetuning.train"),
        launcher=launcher,
        minutes=checkpoint_minutes,
        folder=subpath(output.summary, parent=True),
    message:
        "fine-tuning {wildcards.model} on {wildcards.allocation}, recipe {wildcards.recipe}, seed {wildcards.seed}"
    shell:
        # The shell waits while the training saves; without the trap SIGTERM would end it, and with it the job.
        "trap : TERM USR1; {params.launcher} -m workflow_scripts.finetuning.train"
        " --spec {input.spec:q} --store {input.store:q} --checkpoints {params.folder:q}/checkpoints"
        " --save-minutes {params.minutes} --threads {threads} --output {params.folder:q} > {log:q} 2>&1"


rule interpolate:
    input:
        spec=lambda wildcards: f"{run_towards(wildcards)}/spec.yaml",
        model=lambda wildcards: f"{run_towards(wildcards)}/model/config.json",
        summary=lambda wildcards: f"{run_towards(wildcards)}/summary.json",
    output:
        spec=f"{RUN}/spec.yaml",
        model=f"{RUN}/model/config.json",
        summary=f"{RUN}/summary.json",
    log:
        f"<logs>/finetuning/{RUN_NAME}/interpolate.log",
    benchmark:
        f"<benchmarks>/finetuning/{RUN_NAME}/interpolate.jsonl"
    wildcard_constraints:
        recipe=INTERPOLATED,
    resources:
        mem_mb=8000,
        runtime=training_minutes,
    params:
        code=code("finetuning.interpolate"),
        weights=base_content,
        recipe=lambda wildcards: to_json(STUDY.recipes[wildcards.recipe]),
        towards=subpath(input.summary, parent=True),
        folder=subpath(output.summary, parent=True),
    message:
        "weights between {wildcards.model} and its fine-tuning on {wildcards.allocation}, recipe {wildcards.recipe}"
    shell:
        "python -m workflow_scripts.finetuning.interpolate --recipe {params.recipe:q} --towards {params.towards:q}"
        " --output {params.folder:q} > {log:q} 2>&1"

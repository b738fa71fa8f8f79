"""What the evaluations of a study are told by its settings."""

from .conftest import Snakemake

RUN = "results/paper/evaluation/tuned/{}/qwen2.5-vl-7b/uniform-8/seed-1/video/frames-64/scores.json"
OVERLAY = """
evaluation: {merge_adapters: false, judge: true}
recipes: {low-rank: {method: lora, deepspeed: null, learning_rates: {vision_tower: 0, projector: 0}}}
experiments:
  - {figure: frames, recipe: low-rank, models: [qwen2.5-vl-7b], allocations: [uniform-8], seeds: [1], eval_frames: [64]}
"""


def test_answers_are_kept_in_a_folder_that_is_no_output(snakemake: Snakemake) -> None:
    done = snakemake(RUN.format("full"), "--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "--answers results/paper/evaluation/answers --output results/paper/evaluation/tuned/full/" in said
    # Named in commands alone, by no output or input.
    assert all("workflow_scripts.evaluation" in line for line in said.splitlines() if "evaluation/answers" in line)
    assert "--judge" not in said
    assert "--adapter" not in said


def test_an_adapter_and_a_judge_are_used_where_the_settings_say_so(snakemake: Snakemake) -> None:
    done = snakemake(RUN.format("low-rank"), "--dry-run", "--printshellcmds", overlay=OVERLAY)
    assert done.returncode == 0, done.stderr
    [command] = [
        line for line in (done.stdout + done.stderr).splitlines() if "evaluation.evaluate" in line and "tuned" in line
    ]
    assert "--adapter results/paper/finetuning/low-rank/qwen2.5-vl-7b/uniform-8/seed-1/adapter --judge " in command
    assert '"source": "Qwen/Qwen2.5-VL-7B-Instruct"' in command

"""The paper's study, as `config.yaml` holds it: the entries that have no default of their own.

The paper gives the models, the predictors, the benchmarks, the budgets 8 to 64 and what each figure compares. It does
not give how runs trained, how many frames evaluation saw, or which budget stands behind the comparisons of models.
These are this project's choices: 16 frames wherever models are compared, the largest budget at which the 144 tokens a
frame of LLaVA-NeXT-Video fit the 4,096 tokens of its context together with the text; 64 frames, the largest budget,
wherever allocations are compared.
"""

from typing import Any

QWEN = "qwen2.5-vl"
UNIFORM = ["uniform-8", "uniform-16", "uniform-32", "uniform-64"]
HYBRID = ["hybrid-dinov2", "hybrid-qwen2.5-vl-3b", "hybrid-qwen3-vl-8b"]
MVBENCH = [
    "action_antonym",
    "action_count",
    "action_localization",
    "action_prediction",
    "action_sequence",
    "character_order",
    "counterfactual_inference",
    "egocentric_navigation",
    "episodic_reasoning",
    "fine_grained_action",
    "fine_grained_pose",
    "moving_attribute",
    "moving_count",
    "moving_direction",
    "object_existence",
    "object_interaction",
    "object_shuffle",
    "scene_transition",
    "state_change",
    "unexpected_action",
]


def _qwen(size: str, size_b: float) -> dict[str, Any]:
    return {"family": QWEN, "source": f"Qwen/Qwen2.5-VL-{size}-Instruct", "size_b": size_b}


def _by_task(metric: str, maximum: float, prefix: str, categories: list[str]) -> list[dict[str, Any]]:
    """The mean over a benchmark's tasks, then each task."""
    whole = {"metric": metric, "maximum": maximum}
    parts = [{**whole, "task": f"{prefix}_{category}", "category": category} for category in categories]
    return [whole, *parts]


MODELS = {
    "qwen2.5-vl-3b": _qwen("3B", 3.75),
    "qwen2.5-vl-7b": _qwen("7B", 8.29),
    "qwen2.5-vl-32b": _qwen("32B", 33.45),
    "qwen2.5-vl-72b": _qwen("72B", 73.41),
    "llava-next-video-7b": {
        "family": "llava-next-video",
        "source": "llava-hf/LLaVA-NeXT-Video-7B-hf",
        "size_b": 7.06,
        "max_pixels": 672 * 672,
        "video_max_pixels": 336 * 336,
        "max_length": 4096,
    },
    "llava-1.5-7b": {
        "family": "llava-1.5",
        "source": "llava-hf/llava-1.5-7b-hf",
        "size_b": 7.06,
        "max_pixels": 336 * 336,
        "video_max_pixels": 336 * 336,
        "video_pool_stride": 2,
        "max_length": 4096,
    },
}

PREDICTORS = {
    "qwen2.5-vl-3b": {"model": _qwen("3B", 3.75)},
    "qwen3-vl-8b": {"model": {"family": "qwen3-vl", "source": "Qwen/Qwen3-VL-8B-Instruct", "size_b": 8.77}},
}

TEMPCOMPASS = ["multi_choice", "yes_no", "caption_matching"]
VIDEO_MMMU = ["perception", "comprehension", "adaptation"]
BENCHMARKS = {
    "mme": {
        "suite": "image",
        "tasks": ["mme"],
        "metrics": [
            {"metric": "mme_perception_score", "maximum": 2000},
            {"metric": "mme_cognition_score", "maximum": 800, "category": "cognition"},
        ],
        "dataset": "lmms-lab-encoder/MME",
        "questions": 2374,
    },
    "mmstar": {
        "suite": "image",
        "tasks": ["mmstar"],
        "metrics": [
            {"metric": "average", "maximum": 1},
            *(
                {"metric": category, "maximum": 1, "category": category}
                for category in (
                    "coarse perception",
                    "fine-grained perception",
                    "instance reasoning",
                    "logical reasoning",
                    "science & technology",
                    "math",
                )
            ),
        ],
        "dataset": "Lin-Chen/MMStar",
        "questions": 1500,
    },
    "mmbench": {
        "suite": "image",
        "tasks": ["mmbench_en_dev_static"],
        "metrics": [{"metric": "gpt_eval_score", "maximum": 100}],
        "dataset": "lmms-lab-encoder/MMBench",
        "questions": 4329,
    },
    "pope": {
        "suite": "image",
        "tasks": ["pope"],
        "metrics": [
            {"metric": f"pope_{name}", "maximum": 1} for name in ("accuracy", "precision", "recall", "f1_score")
        ],
        "dataset": "lmms-lab-encoder/POPE",
        "questions": 9000,
    },
    "videomme": {
        "suite": "video",
        "tasks": ["videomme"],
        "metrics": [{"metric": "videomme_perception_score", "maximum": 100}],
        "dataset": "lmms-eval/Video-MME",
        "questions": 2700,
    },
    "mvbench": {
        "suite": "video",
        "tasks": [f"mvbench_{category}" for category in MVBENCH],
        "metrics": _by_task("mvbench_accuracy", 100, "mvbench", MVBENCH),
        "dataset": "OpenGVLab/MVBench",
        "questions": 4000,
    },
    "tempcompass": {
        "suite": "video",
        "tasks": [f"tempcompass_{category}" for category in TEMPCOMPASS],
        "metrics": _by_task("avg_accuracy", 100, "tempcompass", TEMPCOMPASS),
        "dataset": "lmms-eval/TempCompass",
        "questions": 5536,
    },
    "video_mmmu": {
        "suite": "video",
        "tasks": [f"video_mmmu_{category}" for category in VIDEO_MMMU],
        "metrics": _by_task("mmmu_acc", 1, "video_mmmu", VIDEO_MMMU),
        "dataset": "lmms-eval/VideoMMMU",
        "questions": 900,
        # "The image for this question is at the end of the video".
        "last_frame": True,
    },
}

COMPARE_MODELS = {"recipe": "full", "allocations": ["uniform-16"], "seeds": [1, 2, 3], "eval_frames": [16]}
COMPARE_ALLOCATIONS = {"recipe": "full", "models": ["qwen2.5-vl-7b"], "seeds": [1, 2, 3], "eval_frames": [64]}
EXPERIMENTS = [
    {"figure": "overview", "models": list(MODELS), **COMPARE_MODELS},
    {"figure": "architectures", "models": ["qwen2.5-vl-7b", "llava-next-video-7b", "llava-1.5-7b"], **COMPARE_MODELS},
    {
        "figure": "scale",
        "models": ["qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen2.5-vl-32b", "qwen2.5-vl-72b"],
        **COMPARE_MODELS,
    },
    {
        "figure": "attention",
        "recipe": "full",
        "models": ["qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen2.5-vl-32b", "qwen2.5-vl-72b"],
        "allocations": ["uniform-16"],
        "seeds": [1, 2, 3],
    },
    {"figure": "abilities", "models": ["qwen2.5-vl-7b"], **COMPARE_MODELS},
    {"figure": "frames", "allocations": UNIFORM, **COMPARE_ALLOCATIONS},
    {"figure": "trade_off", "allocations": UNIFORM + HYBRID, **COMPARE_ALLOCATIONS},
    {"figure": "predictors", "allocations": HYBRID, **COMPARE_ALLOCATIONS},
    {"figure": "hybrid", "allocations": [*UNIFORM, "hybrid-qwen3-vl-8b"], **COMPARE_ALLOCATIONS},
]

PAPER: dict[str, Any] = {
    "images": {},
    "budgets": {"predictors": PREDICTORS},
    "models": MODELS,
    "recipes": {"full": {}},
    "benchmarks": {
        "suites": {
            "image": ["mme", "mmstar", "mmbench", "pope"],
            "video": ["videomme", "mvbench", "tempcompass", "video_mmmu"],
        },
        "registry": BENCHMARKS,
    },
    "experiments": EXPERIMENTS,
}

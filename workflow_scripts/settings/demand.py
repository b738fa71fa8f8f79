"""What a job asks of a cluster, from the sizes in the settings. A simple model, meant to be enough rather than exact.

GPU memory in bytes a parameter: 2 to run a model in bfloat16; 18 to train all weights (2 for the weights in bfloat16,
4 for gradients added up in float32, 8 for AdamW's two moments and 4 for its master copy), sharded over the GPUs; 2.5
for low-rank adapters. A quarter more is for activations. GPUs come in powers of two. Without GPUs
(`compute.gpu_memory_gb: null`) none are asked for.
"""

import math

from .models import ModelSettings
from .recipes import RecipeSettings
from .study import StudySettings

TRAINING_BYTES = {"full": 18.0, "lora": 2.5}
INFERENCE_BYTES = 2.0
ACTIVATIONS = 1.25
HOST_MB_A_BILLION = 6_000
"""Memory of each machine, in MB for 10^9 parameters: the weights are read once in float32, with room to spare."""
HOST_MB = 6_000


def gpus(study: StudySettings, model: ModelSettings, recipe: RecipeSettings | None = None) -> int:
    """GPUs to train a model by a recipe or, without one, to run it."""
    memory_gb = study.compute.gpu_memory_gb
    if memory_gb is None:
        return 0
    bytes_each = TRAINING_BYTES[recipe.method] if recipe else INFERENCE_BYTES
    return 2 ** math.ceil(math.log2(max(model.size_b * bytes_each * ACTIVATIONS / memory_gb, 1)))


def nodes(study: StudySettings, model: ModelSettings, recipe: RecipeSettings) -> int:
    """Machines to train a model: a power of two, so that all have the same number of GPUs."""
    return 2 ** math.ceil(math.log2(max(gpus(study, model, recipe) / study.compute.gpus_per_node, 1)))


def memory_mb(model: ModelSettings) -> int:
    """Memory of each machine for a job with this model, in MB."""
    return round(HOST_MB + HOST_MB_A_BILLION * model.size_b)


def training_minutes(study: StudySettings, model: ModelSettings, recipe: RecipeSettings) -> int:
    """Time limit of a training run: 10 GPU hours for 10^9 parameters and 20,000 videos, at least 30 minutes."""
    hours = 10 * model.size_b * study.curation.videos * recipe.epochs / 20_000
    return max(30, round(60 * hours / max(gpus(study, model, recipe), 1)))


def inference_minutes(study: StudySettings, model: ModelSettings) -> int:
    """Time limit of an evaluation or a prediction: half a GPU hour for 10^9 parameters, at least two hours."""
    return max(120, round(30 * model.size_b / max(gpus(study, model), 1)))

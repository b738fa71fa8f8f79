"""The configuration: one pydantic model a section, unknown keys forbidden. Imports no stage."""

from .attention import AttentionSettings
from .benchmarks import BenchmarkSettings, BenchmarksSettings, MetricSettings
from .budgets import BudgetsSettings, DinoSettings, OracleSettings, PredictorSettings, RandomSettings
from .compute import ComputeSettings
from .dataset import DURATIONS, SUBSETS, CurationSettings, DatasetSettings, Shares
from .evaluation import AnalysisSettings, EvaluationSettings, FiguresSettings
from .experiments import ExperimentSettings
from .frames import FramesSettings
from .hub import HubSettings
from .images import ImagesSettings
from .miniature import MiniatureSettings
from .models import ModelSettings
from .recipes import LearningRates, LoraSettings, RecipeSettings
from .section import InputError, Section, to_json
from .study import StudySettings, load_study
from .theory import TheorySettings

__all__ = [
    "DURATIONS",
    "SUBSETS",
    "AnalysisSettings",
    "AttentionSettings",
    "BenchmarkSettings",
    "BenchmarksSettings",
    "BudgetsSettings",
    "ComputeSettings",
    "CurationSettings",
    "DatasetSettings",
    "DinoSettings",
    "EvaluationSettings",
    "ExperimentSettings",
    "FiguresSettings",
    "FramesSettings",
    "HubSettings",
    "ImagesSettings",
    "InputError",
    "LearningRates",
    "LoraSettings",
    "MetricSettings",
    "MiniatureSettings",
    "ModelSettings",
    "OracleSettings",
    "PredictorSettings",
    "RandomSettings",
    "RecipeSettings",
    "Section",
    "Shares",
    "StudySettings",
    "TheorySettings",
    "load_study",
    "to_json",
]

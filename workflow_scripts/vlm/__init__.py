"""The one place that knows models: loading by family, model inputs from conversations and frames, generation.

Training, evaluation, budget prediction, gradients and attention all go through this package, so none of them can
differ in sampling, resolution or temporal positions. It imports no stage.
"""

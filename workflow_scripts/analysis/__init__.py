"""Stage `analysis`: from answers to scores and differences, each with its uncertainty."""

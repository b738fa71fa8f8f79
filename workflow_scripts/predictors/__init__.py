"""Support package: how a predictor is asked for a budget and how its answer is read. Imports no stage."""

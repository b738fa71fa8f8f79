"""The mathematics behind the measurements of the paper's theory: no stage, no model, only vectors and their moments."""

"""Stage `figures`: pictures and tables of the analysis, one module each, fit for a paper."""

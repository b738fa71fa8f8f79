"""A package, so that no package of the same name among the installed ones is taken for it."""

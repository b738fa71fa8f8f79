"""Stage `frames`: each video opened once, the frames that any budget needs kept with their true timestamps."""

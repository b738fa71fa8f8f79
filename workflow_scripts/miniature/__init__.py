"""The miniature world: a generator of scenes, videos and questions, laid out like the real data, and its small models."""

"""The miniature world: scenes, videos and questions laid out like the real data, and small models of real classes."""

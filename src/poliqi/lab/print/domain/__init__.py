"""The tissue's outer shape: primitives, meshes and label volumes, less obstacles; distances, spans, records."""

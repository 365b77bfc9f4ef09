"""Training without 3D truth, or with little of it."""

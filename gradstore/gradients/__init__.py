"""Model + batch -> per-example gradients -> direction -> projection -> store."""

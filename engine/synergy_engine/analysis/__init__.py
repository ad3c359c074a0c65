"""All measures of a system or a batch of attention at once, under a named convention."""

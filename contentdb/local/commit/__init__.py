"""From bytes to a blob: one by one, or in groups that share the cost of durability."""

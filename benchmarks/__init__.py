"""How far contentdb is from what the hardware allows, and from what one would use instead.

``python -m benchmarks --help`` shows the parts. Reading order: `cases` (the questions), `fills`,
`reads` and `commands` (the workloads), `floors`, `ours` and `rivals` (who is asked), `runner`
(rounds of fresh processes), `report` and `figures` (the answers).
"""

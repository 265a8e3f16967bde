"""The fault matrix: every fault in every mode and state, judged by the promises; ``python -m faults`` runs it."""

"""Guards: small functions that say allow, ask or deny for one tool call; the strictest answer wins."""

"""Where the sample clusters' keys come from: deterministic, so that a test can see that they
are fresh.
"""

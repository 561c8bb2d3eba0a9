"""The tabs of the terminal, one module each, and the full-screen value editor."""

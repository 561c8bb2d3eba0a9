"""Schedules made by hand, for what chance meets too seldom. Each asserts what must hold in it."""

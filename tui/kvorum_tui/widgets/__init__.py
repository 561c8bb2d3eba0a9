"""Widgets of the terminal. All long lists are painted line by line, so that their length does not
matter.
"""

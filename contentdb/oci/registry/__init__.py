"""Asking a registry: who we are there, what it answers, and when to try again."""

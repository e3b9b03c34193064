"""Requests to a registry: credentials, answers, and retries."""

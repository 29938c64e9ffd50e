"""Keeps the processes of one machine running: web, cluster and (for the demo) the provider.

Knows nothing of recordings.
"""

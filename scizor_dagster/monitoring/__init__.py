"""What a system that watches from outside is told: figures of the stores, computed when it asks.

What belongs here: which figures there are, reading them, and their text form. What does not: who may ask
(`api.metrics`), what is an alarm (`deploy/prometheus/alerts.yml`), and the watchdog, which judges by itself.
"""

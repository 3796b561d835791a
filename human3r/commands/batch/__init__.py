"""``batch``: reconstruct many clips in parallel worker processes.

A clip is a ``ClipTask``; ``tasks`` runs one, ``local`` and ``on_ray`` run all, ``report`` writes the outcome.
"""

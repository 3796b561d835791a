"""``batch``: many clips, each in a process that it shares with no other one at the same time.

A clip is a ``ClipTask``; ``tasks`` runs one, ``local`` and ``on_ray`` run all, ``report`` writes what became of them.
"""

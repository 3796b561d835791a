"""The commands of ``human3r.cli``; heavy packages are imported only by the command that runs."""

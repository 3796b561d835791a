"""What the commands of ``human3r.cli`` do; each module loads the rest of the program only when it runs."""

"""The web page: a Gradio app with the viser viewer on the same port.

It uses only the names that ``human3r`` exports; nothing in ``human3r`` depends on it.
"""

"""The web page: a Gradio app with the viser viewer on the same port.

It uses only what ``human3r`` exports; nothing in ``human3r`` knows about it.
"""

"""The visitor's camera as a stream: feed, run, recording and socket of a live run; the page's part is ``panel``."""

"""Speed and memory of the models on this machine, and the tables that report them."""

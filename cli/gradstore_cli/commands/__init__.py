"""One file for each command, or group of commands; each calls its click command ``command``."""

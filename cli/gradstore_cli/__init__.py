"""The command line of gradstore: parses, calls the library, prints; nothing else."""

"""Load generators: wrk when it is installed, else one of our own."""

"""Networks, priors on their leaves, and the emission that every sensor model shares."""

"""What copies of sites are made of: their sources, their fit, their files, their own identity."""

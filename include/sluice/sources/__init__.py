"""Where documents come from: one file or folder for each scheme."""
